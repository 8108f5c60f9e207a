"""Where rules and lists meet the scorer: the columns of a micro-batch in, verdicts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from stream_app.errors import RuleError
from stream_app.features.definitions import Feature
from stream_app.features.plan import Ints
from stream_app.messages.alert import Action, Decider, RuleHit, RuleMode, Seen
from stream_app.messages.refusals import shown
from stream_app.rules.columns import BatchReading, ScoredBatch
from stream_app.rules.lists import Lists
from stream_app.rules.machine import Truths
from stream_app.rules.names import RuleName, ValueKind, features_of
from stream_app.rules.power import ACTIONS, DECIDERS, Actions, Claims, Power, decide
from stream_app.rules.program import compiled
from stream_app.rules.rule import CheckedRule
from stream_app.rules.tree import FIELD_OF_KIND


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What rules, lists and model together decide, of each payment of a micro-batch.

    Attributes:
        actions: int8 [payments], by place in `power.ACTIONS`.
        decided_by: int8 [payments], as `power.DecidedBy`.
        hits: bool [rules, payments], shadow and live; a rule that failed hits nothing.
        listed: bool [payments] of each list with power of its own that holds something of a payment, by name.
        failed: why, by code, of rules that could not be run.
    """

    actions: Actions
    decided_by: Actions
    hits: Truths
    listed: Mapping[str, Truths]
    failed: Mapping[str, str]
    _rules: Sequence[CheckedRule]
    _reading: BatchReading

    def action(self, place: int) -> Action | None:
        """What is done about a payment."""
        return ACTIONS[int(self.actions[place])]

    def decider(self, place: int) -> Decider:
        """Whose word that is."""
        return DECIDERS[int(self.decided_by[place])]

    def lists(self, place: int) -> tuple[str, ...]:
        """The lists with power of their own that hold something of a payment."""
        return tuple(name for name, holds in self.listed.items() if holds[place])

    def rule_hits(self, place: int) -> tuple[RuleHit, ...]:
        """The rules that hit a payment, with the values that they saw; in the order of the release."""
        return tuple(self._hit(self._rules[n], place) for n in np.flatnonzero(self.hits[:, place]).tolist())

    def hit_counts(self, places: Ints) -> tuple[dict[tuple[str, RuleMode], int], dict[tuple[str, RuleMode], float]]:
        """How many of these payments each rule hit, by its code and mode, and their money as far as it is known; those that hit none are left out."""
        of = self.hits[:, places]
        counts = of.sum(axis=1)
        rules = np.flatnonzero(counts)
        money = of[rules] @ np.nan_to_num(self._reading.batch.money[places]).clip(0)
        named = [(self._rules[n].rule.code, self._rules[n].rule.mode) for n in rules.tolist()]
        return dict(zip(named, counts[rules].tolist(), strict=True)), dict(zip(named, money.tolist(), strict=True))

    def places(self) -> NDArray[np.int64]:
        """The payments that any rule hit, or any list with power holds."""
        found = self.hits.any(axis=0)
        for holds in self.listed.values():
            found |= holds
        return np.flatnonzero(found)

    def _hit(self, checked: CheckedRule, place: int) -> RuleHit:
        rule = checked.rule
        values = {name.name: self._seen(name, place) for name in checked.names}
        text = "".join(before + ("" if name is None else _told(name, values[name.name])) for before, name in checked.parts)
        return RuleHit(rule.code, rule.version, rule.mode, rule.effect, rule.action, values, text)

    def _seen(self, name: RuleName, place: int) -> Seen:
        if name.kind is ValueKind.TEXT:
            return self._reading.texts(name.name).values[place]
        try:
            value = float(self._reading.numbers(name.name)[place])
        except RuleError:  # a feature that the sentence alone asks for, and nobody computed
            return None
        if np.isnan(value):
            return None
        return bool(value) if name.kind is ValueKind.BOOL else int(value) if name.kind is ValueKind.TIME else value


def _told(name: RuleName, value: Seen) -> str:
    """A value in a sentence."""
    if value is None:
        return "unknown"
    if name.kind is ValueKind.TIME:
        return datetime.fromtimestamp(float(value) / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return shown(value) if isinstance(value, str) else f"{value:,.2f}".rstrip("0").rstrip(".")


def features_asked(rules: Iterable[CheckedRule]) -> tuple[Feature, ...]:
    """What a plan must compute for these rules and their sentences."""
    return features_of(name for rule in rules for name in rule.names)


class RuleBook:
    """One release of rules and the lists beside it, bound to the columns of a scorer. This is the seam: the scorer needs nothing else of rules.

    What the scorer must do:

    1. ask `features` of a book of the release and add them to its plan, beside those of the models: rules may ask for features that no
       model uses. `columns` are then the names of the plan's features in order, and the scorer and the book are changed together: a new
       release is bound off the live path and taken between two micro-batches;
    2. decide the model's own actions by the release's thresholds, where it has some (`ReleasePolicy`), else by its own;
    3. give `verdicts` the payments that get a decision, as `ScoredBatch` says: `payments` of `Intake.payments.messages[scored.payments]`,
       `money` of `Intake.events.minor[scored.events] / unit` (NaN where it is -1), `vectors` of `Computed.vectors[scored.events]` with *all*
       columns, `scores` of the model that decides for each payment, `actions` of step 2;
    4. alert what `Verdicts.actions` says and not what the model says; put `decided_by`, `rule_hits` and `lists` into score and alert, and the
       offsets of both topics that the book was bound at into their headers. What stands from an earlier life is copied, never decided anew.

    A book is changed by nobody. Its lists are changed between two micro-batches, never within one; `verdicts` keeps no state.
    """

    def __init__(self, rules: Sequence[CheckedRule], lists: Lists, columns: Sequence[str] = ()) -> None:
        self._rules = tuple(rules)
        self._lists = lists
        self._places = {name: place for place, name in enumerate(columns)}
        self._program = compiled([rule.condition for rule in self._rules])
        live = [one.rule for one in self._rules]
        self._suppresses = np.array([r.mode == "live" and r.effect == "suppress" for r in live], dtype=np.bool_)
        self._actions = np.array([ACTIONS.index(r.action) if r.mode == "live" and r.action else 0 for r in live], dtype=np.int8)

    @property
    def features(self) -> tuple[Feature, ...]:
        """What the plan of the scorer must compute for the rules and their sentences."""
        return features_asked(self._rules)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to ask now: no rule, and no list that does something by itself."""
        return not self._rules and next(self._lists.of_power(), None) is None

    def verdicts(self, batch: ScoredBatch) -> Verdicts:
        """What is decided about each payment of a micro-batch."""
        reading = BatchReading(batch, self._places, self._lists)
        hits = self._program.hits(reading.columns(self._program))
        if failed := self._failed(reading):
            hits[[rule.rule.code in failed for rule in self._rules]] = False
        listed, held = self._listed(reading)
        rule = (hits * self._actions[:, None]).max(axis=0, initial=0).astype(np.int8)
        suppress = hits[self._suppresses].any(axis=0)
        claims = Claims(held["final_block"], held["allow"], held["block"], suppress, rule, batch.actions)
        actions, decided_by = decide(claims)
        return Verdicts(actions, decided_by, hits, listed, failed, self._rules, reading)

    def _failed(self, reading: BatchReading) -> dict[str, str]:
        """The rules that need a column that could not be made."""
        if not reading.failed:
            return {}
        needs = zip(self._rules, self._program.needs, strict=True)
        return {rule.rule.code: reading.failed[places[0]] for rule, of in needs if (places := [p for p in of if p in reading.failed])}

    def _listed(self, reading: BatchReading) -> tuple[dict[str, Truths], dict[Power, Truths]]:
        """The lists with power that hold something of any payment; and for each power, of which payments."""
        held: dict[Power, Truths] = {power: np.zeros(len(reading.batch), dtype=np.bool_) for power in ("final_block", "allow", "block")}
        listed: dict[str, Truths] = {}
        for one in self._lists.of_power():
            field = FIELD_OF_KIND[one.of]
            holds: Truths = self._lists.held(one.name, field, reading.texts(field), reading.times_ms) == 1
            if holds.any():
                listed[one.name] = holds
                held[one.power] |= holds
        return listed, held
