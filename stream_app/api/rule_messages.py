"""What the routes of rules and lists take and give: the records of their topics without what the API says by itself, closed."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.messages.alert import Action, RuleEffect, RuleMode
from stream_app.messages.event_time import EventTimeMs
from stream_app.rules.lists import MAX_AT_ONCE, ListedValue, ListValue
from stream_app.rules.power import Power
from stream_app.rules.rule import MAX_RULES, Code, ExpressionText, Person, ReleasePolicy, Rule, RuleVersion, Sentence, Share, Why
from stream_app.rules.tree import ListKind

MOST_PUT = 50
"""Rules of one request: each is a record that is awaited."""

type RuleCodes = Annotated[tuple[Code, ...], Meta(max_length=MAX_RULES)]


class _Authored(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who does this. With keys it is the key's name, and may be left out; without keys it must be said."""

    author: Person | None = None


class _Signed(_Authored, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who does this, and why."""

    why: Why


class RuleDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule as its author wants it, `rule.v1` without version, author and approver."""

    code: Code
    expression: ExpressionText
    sentence: Sentence
    effect: RuleEffect
    mode: RuleMode = "shadow"
    action: Action | None = None
    share: Share = 1.0
    valid_from: EventTimeMs | None = None
    valid_until: EventTimeMs | None = None
    expected_share: Share | None = None

    def rule(self, author: str) -> Rule:
        """As it would be put first."""
        return Rule(version=1, author=author, **msgspec.structs.asdict(self))


class RulesRequest(_Authored, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules to put. Nothing comes into force by it."""

    rules: Annotated[tuple[RuleDraft, ...], Meta(min_length=1, max_length=MOST_PUT)]


class ApprovalRequest(_Authored, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version of a rule to approve; without one, the newest."""

    code: Code
    version: RuleVersion | None = None


class ReleaseRequest(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules whose newest versions come into force.

    Attributes:
        bands: of the model; null: its own again; left out: as they are.
        confirm: codes of live rules that may hit as much as they do.
    """

    codes: RuleCodes = ()
    bands: ReleasePolicy | msgspec.UnsetType | None = msgspec.UNSET
    confirm: RuleCodes = ()


class DisableRequest(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules to take out of force."""

    codes: Annotated[tuple[Code, ...], Meta(min_length=1, max_length=MAX_RULES)]


class ListRequest(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A list to make; of one that there is, its power."""

    of: ListKind
    power: Power = "ask"


class EntriesRequest(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Entries to put on a list."""

    entries: Annotated[tuple[ListedValue, ...], Meta(min_length=1, max_length=MAX_AT_ONCE)]


class RemovalRequest(_Signed, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Values to take off a list."""

    values: Annotated[tuple[ListValue, ...], Meta(min_length=1, max_length=MAX_AT_ONCE)]


class RuleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a rule, and whether it is in force."""

    rule: Rule
    in_force: bool


class ReleaseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The release in force."""

    name: str
    author: str
    why: str
    bands: ReleasePolicy | None


class RulesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The release in force; of each rule the version in force, and the newest where that is another."""

    release: ReleaseAnswer | None
    rules: tuple[RuleAnswer, ...]


class PutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that says what was wanted; `new` where it was put now."""

    code: str
    version: int
    new: bool


class PutsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of each rule, in order."""

    rules: tuple[PutAnswer, ...]


class ReleasedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The release in force now, and what it changed; nothing where it was in force already."""

    release: str
    changes: tuple[str, ...]


class ListAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A list, and how many entries it holds, those that have ended among them."""

    name: str
    of: ListKind
    power: Power
    entries: int
    author: str
    why: str


class ListsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All lists."""

    lists: tuple[ListAnswer, ...]


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An entry. `until`: its end in event time, ms; null: it has none."""

    value: str
    until: int | None
    author: str
    why: str


class EntriesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A list with its first entries, as many as were asked for."""

    list: ListAnswer
    entries: tuple[EntryAnswer, ...]
