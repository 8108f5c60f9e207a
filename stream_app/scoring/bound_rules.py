"""Rules and lists as a scorer asks them: bound to its columns, beside its models. Where there are none, nothing is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from stream_app.explaining.reasons import REASONS_PER_ALERT
from stream_app.features.compute import Vectors
from stream_app.features.definitions import Feature
from stream_app.features.plan import Ints
from stream_app.messages.alert import Reason, RuleHit
from stream_app.messages.refusals import shown
from stream_app.messages.transaction import Transaction
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists import Lists
from stream_app.rules.power import ACTIONS, DECIDERS
from stream_app.rules.rule import CheckedRule, ReleasePolicy
from stream_app.rules.tree import FIELD_OF_KIND
from stream_app.rules.verdicts import RuleBook, Verdicts, features_asked
from stream_app.scoring.decision import Verdict
from stream_app.scoring.observation import EVERY_RULE, RuleCounts
from stream_app.scoring.rule_notes import HitCodes, NotedHits

OF_RULE, OF_LIST = "RULE", "LIST"
"""Codes of reasons that no model gave: `feature` is the rule's code, or the name of the list."""


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """A release of rules, and the lists beside it.

    Attributes:
        rules: in its order.
        lists: what they hold now. They are changed between two rounds, never within one.
        policy: threshold and bands of the models; None: their own.
        read: up to where both topics were read, as the header `source.rules` says it; empty where nobody reads them.
        failed: told why, by code, of rules that could not be run.
    """

    rules: tuple[CheckedRule, ...] = ()
    lists: Lists = field(default_factory=Lists)
    policy: ReleasePolicy | None = None
    read: Callable[[], bytes] = bytes
    failed: Callable[[Mapping[str, str]], None] = lambda _: None

    @property
    def features(self) -> tuple[Feature, ...]:
        """What must be computed for the rules."""
        return features_asked(self.rules)


class BoundRules:
    """Rules bound to a table of features."""

    def __init__(self, in_force: RulesInForce, columns: Sequence[str]) -> None:
        """Args: `columns` names those of the tables it will be given."""
        self._in_force = in_force
        self._book = RuleBook(in_force.rules, in_force.lists, columns)
        self._names = tuple(feature.name for feature in in_force.features)
        self._columns = [columns.index(name) for name in self._names]
        self._noted = NotedHits(in_force.rules)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to ask now."""
        return self._book.idle

    def unasked(self, table: Vectors) -> Ruling:
        """What is told of payments, float32 [payments, columns], that rules have no say in: what they ask for, and up to where was read."""
        return Ruling(None, self._in_force.lists, self._names, table[:, self._columns] if self._names else None, self._in_force.read())

    def ruling(self, batch: ScoredBatch) -> Ruling:
        """What is decided about payments."""
        told = self.unasked(batch.vectors)
        return Ruling(self._verdicts(batch), told.lists, told.names, told.vectors, told.read, self._noted)

    def _verdicts(self, batch: ScoredBatch) -> Verdicts | None:
        try:
            verdicts = self._book.verdicts(batch)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with rules: payments are decided without them
            self._in_force.failed({EVERY_RULE: f"{type(error).__name__}: {error}"})
            return None
        if verdicts.failed:
            self._in_force.failed(verdicts.failed)
        return verdicts


@dataclass(frozen=True, slots=True)
class Ruling:
    """What rules and lists say of the payments of a round.

    Attributes:
        verdicts: None where they have no say: the models decide.
        lists: that were asked.
        names: features that the rules ask for.
        vectors: float32 [payments, names]; None where there is none.
        read: see `RulesInForce`.
        noted: which hits are noted; None where there is none.
    """

    verdicts: Verdicts | None = None
    lists: Lists | None = None
    names: tuple[str, ...] = ()
    vectors: Vectors | None = None
    read: bytes = b""
    noted: NotedHits | None = None
    _hits: dict[int, tuple[RuleHit, ...]] = field(default_factory=dict)

    def features(self, place: int) -> dict[str, float]:
        """The values of what the rules ask for, by name."""
        return {} if self.vectors is None else dict(zip(self.names, self.vectors[place].tolist(), strict=True))

    def hits(self, place: int) -> tuple[RuleHit, ...]:
        """The rules that hit a payment: told in its alert and in its score, made once."""
        if self.verdicts is None:
            return ()
        if place not in self._hits:
            self._hits[place] = self.verdicts.rule_hits(place)
        return self._hits[place]

    def over(self, of_model: Verdict, place: int) -> Verdict:
        """The model's decision on a payment, as it is where these have a say: its case and its reasons are there already."""
        verdicts = self.verdicts
        if verdicts is None:
            return of_model
        return msgspec.structs.replace(
            of_model,
            action=verdicts.action(place),
            decided_by=verdicts.decider(place),
            rules=self.hits(place),
            lists=verdicts.lists(place),
        )

    def reasons(self, place: int, payment: Transaction) -> tuple[Reason, ...]:
        """Why a payment is alerted, by what decided that: the lists that block it, then the live rules that hit it, the worst action first."""
        if self.verdicts is None or self.lists is None or not self.verdicts.actions[place]:
            return ()
        by, known = self.verdicts.decider(place), self.lists.known
        blocking = [known[name] for name in self.verdicts.lists(place) if known[name].power == by]
        told = [
            (OF_LIST, one.name, f"{one.of.capitalize()} {shown(str(getattr(payment, FIELD_OF_KIND[one.of])))} is on the list {one.name}.")
            for one in blocking
        ]
        acting = [hit for hit in self.hits(place) if hit.mode == "live" and hit.effect == "alert"]
        acting.sort(key=lambda hit: -ACTIONS.index(hit.action))
        told += [(OF_RULE, hit.code, hit.text or hit.code) for hit in acting]
        return tuple(Reason(code, named, 1.0, None, 0.0, text) for code, named, text in told[:REASONS_PER_ALERT])

    def counts(self, run: slice, published: Sequence[int]) -> RuleCounts | None:
        """What is counted of a run of the payments, but for those that were decided before; None where rules have no say."""
        if self.verdicts is None:
            return None
        of_run = self._new(self.verdicts, run, published)
        decided = np.bincount(self.verdicts.decided_by[of_run], minlength=len(DECIDERS)).tolist()
        return RuleCounts(*self.verdicts.hit_counts(of_run), {by: n for by, n in zip(DECIDERS, decided, strict=True) if n})

    def to_note(self, run: slice, published: Sequence[int], alerted: Sequence[int]) -> tuple[dict[int, HitCodes], int]:
        """Of a run of the payments, the codes of rules that hit them and that are noted, by place; and how many hits are left out. Asked once."""
        if self.verdicts is None or self.noted is None:
            return {}, 0
        of_run = self._new(self.verdicts, run, published)
        codes, left_out = self.noted.of(self.verdicts.hits[:, of_run], np.isin(of_run, np.array(alerted, dtype=np.int64)))
        return {int(of_run[place]): one for place, one in codes.items()}, left_out

    @staticmethod
    def _new(verdicts: Verdicts, run: slice, published: Sequence[int]) -> Ints:
        """The places of a run that were not decided before."""
        here = np.ones(len(verdicts.actions), dtype=np.bool_)
        here[list(published)] = False
        places: Ints = np.flatnonzero(here[run]) + run.start
        return places


NO_RULING = Ruling()
