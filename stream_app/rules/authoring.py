"""Changes of rules as their authors ask for them, held against what there is: by commands and by the API alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from stream_app.errors import RuleError
from stream_app.rules.changes import acting, in_force, newest
from stream_app.rules.lists import Lists
from stream_app.rules.rule import Approval, CheckedRule, Release, ReleasePolicy, Rule, checked_rule, digest_of, release_of
from stream_app.rules.rules_log import RulesLog


def check_lists(rules: Iterable[CheckedRule], lists: Lists) -> None:
    """Refuse rules whose lists are not there.

    Raises:
        RuleError: a rule asks a list that there is not, or of values of another kind.
    """
    for one in rules:
        for name in one.expression.lists:
            if name not in lists.known:
                raise RuleError(
                    f"Rule {one.rule.code!r} asks list @{name}, which there is not. Make it: fraudstream lists create {name} --of KIND."
                )
        if one.expression.lists:
            checked_rule(one.rule, lists.kinds)


def approval_of(log: RulesLog, code: str, version: int | None, approver: str) -> tuple[Rule, Approval]:
    """A version of a rule as it is written now, None: the newest, and another person's word for it.

    Raises:
        RuleError: there is none.
    """
    rule = newest(log, code) if version is None else log.rules.get(code, {}).get(version)
    if rule is None:
        raise RuleError(f"There is no version {version} of rule {code!r}. `fraudstream rules show {code}` shows those that are.")
    return rule, Approval(rule.code, rule.version, digest_of(rule), approver)


def without(log: RulesLog, codes: Collection[str]) -> dict[str, Rule]:
    """The rules in force but for some.

    Raises:
        RuleError: one is not in force.
    """
    now = in_force(log)
    if absent := [code for code in codes if code not in now]:
        raise RuleError(f"Rule {absent[0]!r} is not in force; these are: {', '.join(now) or 'none'}.")
    return {code: rule for code, rule in now.items() if code not in codes}


def next_release(
    log: RulesLog, wanted: Mapping[str, Rule], signature: tuple[str, str], policy: ReleasePolicy | None, *, needs_approval: bool
) -> Release | None:
    """The release that brings rules into force, with bands of the model or None for its own; None where they are in force.

    Args:
        log: that it follows.
        wanted: the rules, by code.
        signature: author, and why.
        policy: bands.
        needs_approval: whether another person must have approved each live rule.

    Raises:
        RuleError: nobody did.
    """
    now = log.in_force
    previous = now.name if now else None
    one = release_of([wanted[code] for code in sorted(wanted)], *signature, previous, policy)
    if one.name == previous:
        return None
    if needs_approval and (lacking := log.unapproved(one)):
        raise RuleError(
            f"Nobody approved {', '.join(lacking)} (FRAUDSTREAM_RULES_NEED_APPROVAL). Another than the author does it: "
            f"fraudstream rules approve {lacking[0]} --as PERSON; then release again."
        )
    return one


def unconfirmed(log: RulesLog, rules: Sequence[Rule], confirmed: Collection[str]) -> list[Rule]:
    """Those of some rules that come to act on payments, and whose author did not say that they may hit as much as they do."""
    return [rule for rule in acting(rules, log) if rule.code not in confirmed]
