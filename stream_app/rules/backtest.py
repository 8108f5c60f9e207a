"""What rules would have done: each one's hits over past payments, held against their labels and against the other rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_app.features.aggregations import DAY_MS
from stream_app.features.compute import Floats
from stream_app.features.plan import Ints
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.machine import Truths
from stream_app.rules.power import ACTIONS, Claims, DecidedBy, decide
from stream_app.rules.rule import Rule
from stream_app.rules.verdicts import RuleBook, Verdicts

EXAMPLES = 3
"""Of each rule so many payments are kept that would be decided otherwise without it."""


@dataclass(frozen=True, slots=True)
class Example:
    """A payment that would be decided otherwise without a rule.

    Attributes:
        is_fraud: None where nobody says.
        text: the rule's sentence.
    """

    card_id: str
    transaction_id: str
    is_fraud: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule would have done.

    Attributes:
        hits: payments that it hits; a day: `hits_a_day`.
        share: of all payments.
        flips: those that would be decided otherwise without it, by the other rules, the lists and the model.
        money: of the payments that it hits, in the base currency; one without a rate counts as nothing.
        precision, recall: of frauds among its hits, of hits among the frauds; None where there are none, or no labels.
        money_caught: the frauds' money that it hits; None without labels.
        overlap: payments that it hits with each other rule, by code; those that it shares none with are left out.
        with_model: payments that it hits and the model alerts.
        examples: the first of those that it flips.
    """

    code: str
    hits: int
    hits_a_day: float
    share: float
    flips: int
    money: float
    precision: float | None
    recall: float | None
    money_caught: float | None
    overlap: dict[str, int]
    with_model: int
    examples: tuple[Example, ...]


@dataclass(slots=True)
class Backtest:
    """Adds up what a book of live rules says of one micro-batch after the other.

    Attributes:
        payments: how many were looked at.
        failed: why, by code, of rules that could not be run.
    """

    book: RuleBook
    rules: Sequence[Rule]
    payments: int = 0
    frauds: int = 0
    labelled: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    _together: Ints = field(init=False)
    _sums: Floats = field(init=False)
    _flips: Ints = field(init=False)
    _examples: list[list[Example]] = field(init=False)
    _span_ms: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = len(self.rules)
        self._together = np.zeros((count, count), dtype=np.int64)
        self._sums = np.zeros((4, count))  # frauds, money, money of frauds, alerts of the model
        self._flips = np.zeros(count, dtype=np.int64)
        self._examples = [[] for _ in range(count)]

    def add(self, batch: ScoredBatch, is_fraud: Truths | None) -> None:
        """Add payments; `is_fraud`: bool [payments], None where nobody says."""
        found = self.book.verdicts(batch)
        hits, money = found.hits.astype(np.int64), np.nan_to_num(batch.money)
        frauds = np.zeros(len(batch)) if is_fraud is None else is_fraud.astype(np.float64)
        self.payments += len(batch)
        self.frauds += int(frauds.sum())
        self.labelled = self.labelled or is_fraud is not None
        self.failed.update(found.failed)
        self._together += hits @ hits.T
        self._sums += np.stack([hits @ frauds, hits @ money, hits @ (money * frauds), hits @ (batch.actions > 0)])
        for n in range(len(self.rules)):
            flipped = self._flipped(n, found, batch)
            self._flips[n] += len(flipped)
            self._keep(n, flipped, found, batch, is_fraud)
        times = [p.event_time for p in batch.payments]
        first, last = self._span_ms or (times[0], times[0])
        self._span_ms = min(first, *times), max(last, *times)

    def _flipped(self, n: int, found: Verdicts, batch: ScoredBatch) -> Ints:
        """The payments that would be decided otherwise without a rule; where a list decides, none."""
        places = np.flatnonzero(found.hits[n] & (found.decided_by < DecidedBy.BLOCK))
        others = [(found.hits[m, places], one) for m, one in enumerate(self.rules) if m != n]
        nothing = np.zeros(len(places), dtype=np.bool_)
        rule, suppress = np.zeros(len(places), dtype=np.int8), nothing.copy()
        for hits, one in others:
            suppress |= hits & (one.effect == "suppress")
            rule = np.maximum(rule, hits * ACTIONS.index(one.action)).astype(np.int8)
        without, _ = decide(Claims(nothing, nothing, nothing, suppress, rule, batch.actions[places]))
        flipped: Ints = places[without != found.actions[places]]
        return flipped

    def _keep(self, n: int, flipped: Ints, found: Verdicts, batch: ScoredBatch, is_fraud: Truths | None) -> None:
        kept = self._examples[n]
        for place in flipped[: EXAMPLES - len(kept)].tolist():
            payment = batch.payments[place]
            text = next(hit.text for hit in found.rule_hits(place) if hit.code == self.rules[n].code)
            kept.append(Example(payment.card_id, payment.transaction_id, None if is_fraud is None else bool(is_fraud[place]), text))

    @property
    def days(self) -> float:
        """How long it was from the first payment to the last, a day at least."""
        first, last = self._span_ms or (0, 0)
        return max(1.0, (last - first) / DAY_MS)

    def results(self) -> list[RuleResult]:
        """Of each rule that could be run, in the order of the book."""
        return [self._result(n) for n, rule in enumerate(self.rules) if rule.code not in self.failed]

    def _result(self, n: int) -> RuleResult:
        hits = int(self._together[n, n])
        frauds, money, caught, alerts = (float(of_rules[n]) for of_rules in self._sums)
        others = {one.code: int(self._together[n, m]) for m, one in enumerate(self.rules) if m != n and self._together[n, m]}
        return RuleResult(
            self.rules[n].code,
            hits,
            hits / self.days,
            hits / self.payments if self.payments else 0.0,
            int(self._flips[n]),
            money,
            frauds / hits if self.labelled and hits else None,
            frauds / self.frauds if self.frauds else None,
            caught if self.labelled else None,
            others,
            int(alerts),
            tuple(self._examples[n]),
        )
