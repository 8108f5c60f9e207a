"""Rules and releases of them, as they stand in the topic `fraud-rules`; and what is refused of a rule before anybody runs it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.errors import RuleError
from stream_app.messages.alert import Action, Probability, RuleEffect, RuleMode
from stream_app.messages.event_time import EventTimeMs
from stream_app.rules.expression import parse
from stream_app.rules.names import ATTRIBUTES, SCORE, RuleName, attribute, is_attribute, names, unknown
from stream_app.rules.program import Condition, RuleColumn
from stream_app.rules.tokens import MAX_BYTES
from stream_app.rules.tree import Expression, ListKind

MAX_RULES = 1_000
"""Of a release."""
MAX_SENTENCE = 300

# What ends a pattern: `$` alone also matches before a last line feed.
Code = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,47}$(?!\n)")]
Person = Annotated[str, Meta(pattern=r"^[\x20-\x7e]{1,64}$(?!\n)")]
Why = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$(?!\n)")]
RuleVersion = Annotated[int, Meta(ge=1, le=1_000_000)]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Share = Annotated[float, Meta(gt=0, le=1)]
ExpressionText = Annotated[str, Meta(min_length=1, max_length=MAX_BYTES)]
Sentence = Annotated[str, Meta(min_length=1, max_length=MAX_SENTENCE)]


class Rule(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="rule"):
    """One version of a rule, `rule.v1`.

    Attributes:
        code: its name; versions of one code follow one another.
        expression: it hits where this is true.
        sentence: what an analyst is told, with `{names}` of values.
        effect: it alerts with an action, or suppresses what other rules and the model would do.
        action: of a rule that alerts.
        mode: in shadow it is told and counted, and does nothing.
        share: of the cards that it looks at; a larger share has all cards of a smaller one.
        valid_from, valid_until: event time, ms, the end not included.
        expected_share: of all payments that it is expected to hit, as its backtest says: operators are told where it hits far more.
        approver: who signed it; of a record that is put, nobody.
    """

    code: Code
    version: RuleVersion
    expression: ExpressionText
    sentence: Sentence
    effect: RuleEffect
    author: Person
    mode: RuleMode = "shadow"
    action: Action | None = None
    share: Share = 1.0
    valid_from: EventTimeMs | None = None
    valid_until: EventTimeMs | None = None
    expected_share: Share | None = None
    approver: Person | None = None


class Approval(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="kind", tag="rule_approval"):
    """Another person's word for one version of a rule, `rule_approval.v1`: for these very contents."""

    code: Code
    version: RuleVersion
    sha256: Digest
    approver: Person


class RuleReference(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A version of a rule by its content."""

    code: Code
    version: RuleVersion
    sha256: Digest


class ReleasePolicy(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Threshold and bands of the model, where the team sets its own."""

    threshold: Probability
    step_up: Probability
    decline: Probability


class Release(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="release"):
    """Which versions of rules are in force from here on, `rule_release.v1`.

    Attributes:
        name: SHA-256 of its content, see `release_name`.
        previous: the name of the release that it follows; None of the first.
    """

    name: Digest
    rules: Annotated[tuple[RuleReference, ...], Meta(max_length=MAX_RULES)]
    author: Person
    why: Why
    previous: Digest | None = None
    policy: ReleasePolicy | None = None


_CANONICAL = msgspec.json.Encoder(order="deterministic")


def digest_of(rule: Rule) -> str:
    """SHA-256, in hex, over a rule's canonical bytes: what its author wrote, whoever signed it."""
    return hashlib.sha256(_CANONICAL.encode(msgspec.structs.replace(rule, approver=None))).hexdigest()


def reference_to(rule: Rule) -> RuleReference:
    """The reference to a rule."""
    return RuleReference(rule.code, rule.version, digest_of(rule))


def release_name(rules: Sequence[RuleReference], policy: ReleasePolicy | None) -> str:
    """SHA-256, in hex, over the canonical bytes of what a release holds: the same content has the same name, whoever releases it, and when."""
    return hashlib.sha256(_CANONICAL.encode([list(rules), policy])).hexdigest()


def release_of(rules: Sequence[Rule], author: str, why: str, previous: str | None, policy: ReleasePolicy | None = None) -> Release:
    """A release of rules, under its name."""
    references = tuple(map(reference_to, rules))
    return Release(release_name(references, policy), references, author, why, previous, policy)


@dataclass(frozen=True, slots=True)
class CheckedRule:
    """A rule that can be run.

    Attributes:
        names: that its expression and its sentence ask for.
        parts: of its sentence: a text, and the name whose value follows, if any.
    """

    rule: Rule
    expression: Expression
    names: tuple[RuleName, ...]
    parts: tuple[tuple[str, RuleName | None], ...]

    @property
    def condition(self) -> Condition:
        """When it hits."""
        rule = self.rule
        share = RuleColumn("share", rule.code, share=rule.share) if rule.share < 1 else None
        return Condition(self.expression.root, rule.valid_from, rule.valid_until, share)


def checked_rule(rule: Rule, lists: Mapping[str, ListKind] | None = None) -> CheckedRule:
    """A rule, if it can be run.

    Args:
        rule: as it was written.
        lists: those that there are; None where that is not to be asked.

    Raises:
        RuleError: naming the rule, what is wrong, and the place in the expression.
    """
    of = f"Rule {rule.code!r}, version {rule.version}"
    if (rule.effect == "alert") is (rule.action is None):
        raise RuleError(f"{of}: one that alerts has an action (review, step_up or decline), one that suppresses has none.")
    if rule.valid_from is not None and rule.valid_until is not None and rule.valid_until <= rule.valid_from:
        raise RuleError(f"{of}: valid_until is not after valid_from, so that it would never hit.")
    try:
        expression = parse(rule.expression, lists)
    except RuleError as error:
        raise RuleError(f"{of}, expression, {error}", error.line, error.column) from None
    try:
        parts = _parts(rule.sentence)
    except RuleError as error:
        raise RuleError(f"{of}, sentence: {error}") from None
    told = [name for _, name in parts if name is not None]
    return CheckedRule(rule, expression, tuple(dict.fromkeys([*expression.names, *told])), parts)


def _parts(sentence: str) -> tuple[tuple[str, RuleName | None], ...]:
    """See `CheckedRule.parts`. Nothing is formatted by Python: a name stands alone in its braces."""
    if not sentence.isprintable():
        raise RuleError("it holds a control character or a line end.")
    try:
        parsed = list(Formatter().parse(sentence))
    except ValueError as error:
        raise RuleError(f"its braces do not fit: {error}. Write {{{{ for a brace itself.") from None
    parts: list[tuple[str, RuleName | None]] = []
    for text, name, form, conversion in parsed:
        if form or conversion:
            raise RuleError(f"{{{name}}} stands for a value; nothing follows the name.")
        parts.append((text, None if name is None else _named(name)))
    return tuple(parts)


def _named(name: str) -> RuleName:
    of, dot, own = name.partition(".")
    if dot and of == ATTRIBUTES and is_attribute(own):
        return attribute(own)
    if name not in names():
        raise RuleError(unknown(name) if name else f"{{}} names no value, as {{{SCORE}}} does.")
    return names()[name]
