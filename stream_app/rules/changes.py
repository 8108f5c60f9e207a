"""What somebody wants of the rules, held against what there is: which versions are to be put, and how two releases differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from stream_app.errors import RuleError
from stream_app.rules.rule import Rule
from stream_app.rules.rules_log import InForce, RulesLog

_TOLD = ("expression", "sentence", "effect", "action", "mode", "share", "valid_from", "valid_until", "expected_share")
"""What an author decides of a rule, in the order in which it is told."""


def in_force(log: RulesLog) -> dict[str, Rule]:
    """The rules of the release in force, by code, as they are known: who approved one later is in it."""
    release = log.in_force
    return {} if release is None else {one.rule.code: _known(log, one.rule) for one in release.rules}


def _known(log: RulesLog, rule: Rule) -> Rule:
    return log.rules.get(rule.code, {}).get(rule.version, rule)


def newest(log: RulesLog, code: str) -> Rule:
    """The newest version of a rule.

    Raises:
        RuleError: there is none; with the nearest that there is.
    """
    if versions := log.rules.get(code):
        return versions[max(versions)]
    known = ", ".join(sorted(log.rules)[:_MOST_NAMED]) or "none"
    raise RuleError(f"There is no rule {code!r}; there are: {known}. Put it first: fraudstream rules put FILE.")


_MOST_NAMED = 20


def version_of(log: RulesLog, wanted: Rule, author: str) -> Rule:
    """The version of a rule that says what is wanted: the newest one or the one in force, where that says the same; else the next one, which is to
    be put.
    """
    versions = log.rules.get(wanted.code, {})
    there = [versions[max(versions)]] if versions else []
    there += [one for code, one in in_force(log).items() if code == wanted.code]
    same = next((one for one in there if _said(one) == _said(wanted)), None)
    return same or msgspec.structs.replace(wanted, version=max(versions, default=0) + 1, author=author, approver=None)


def is_known(log: RulesLog, rule: Rule) -> bool:
    """Whether this version is there."""
    return rule.version in log.rules.get(rule.code, {})


def _said(rule: Rule) -> dict[str, object]:
    return {name: getattr(rule, name) for name in _TOLD}


def released(log: RulesLog, named: str) -> InForce:
    """A release of the past by the beginning of its name.

    Raises:
        RuleError: none is named so, or several are.
    """
    found = {one.name: one for one in log.releases if one.name.startswith(named)}
    if len(found) != 1:
        told = "no release of the past begins" if not found else f"{len(found)} releases of the past begin"
        raise RuleError(f"{told} with {named!r}. `fraudstream rules history` shows their names.")
    return next(iter(found.values()))


def before(log: RulesLog) -> InForce:
    """The last release that holds something else than the one in force.

    Raises:
        RuleError: there is none.
    """
    now = log.in_force
    for one in reversed(log.releases):
        if now is not None and one.name != now.name:
            return one
    raise RuleError(
        "No release before this one is known. `fraudstream rules history` shows those that are; `fraudstream rules disable CODE` takes a rule out of force."
    )


def differences(of: Mapping[str, Rule], to: Mapping[str, Rule]) -> Iterator[str]:
    """What changes from some rules to others, a line for each rule that does."""
    for code in sorted(of.keys() | to.keys()):
        was, is_now = of.get(code), to.get(code)
        if was is None and is_now is not None:
            yield f"+ {described(is_now)}"
        elif was is not None and is_now is None:
            yield f"- {described(was)}"
        elif was is not None and is_now is not None and (was.version != is_now.version or _said(was) != _said(is_now)):
            said, says = _said(was), _said(is_now)
            fields = [f"{name} {_worded(said[name])} → {_worded(says[name])}" for name in changed(was, is_now)]
            yield f"~ {code} {was.version} → {is_now.version}: {'; '.join(fields) or 'the same, put again'}"


def changed(was: Rule, wanted: Rule) -> Iterator[str]:
    """Of what an author decides, the names of the fields that differ."""
    return (name for name in _TOLD if getattr(was, name) != getattr(wanted, name))


def _worded(value: object) -> str:
    return "none" if value is None else str(value)


def described(rule: Rule) -> str:
    """A rule in one line."""
    does = rule.effect if rule.action is None else rule.action
    share = "" if rule.share == 1 else f", {rule.share:.0%} of the cards"
    return f"{rule.code} {rule.version} ({rule.mode}, {does}{share}): {rule.expression}"


def acting(rules: Sequence[Rule], log: RulesLog) -> list[Rule]:
    """Those of some rules that come to act on payments: live ones that are not in force yet, in this version."""
    now = in_force(log)
    return [rule for rule in rules if rule.mode == "live" and (rule.code not in now or now[rule.code].version != rule.version)]
