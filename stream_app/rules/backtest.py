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
from stream_app.rules.verdicts import RuleBook, Verdicts

EXAMPLES = 3
"""Of each rule so many payments are kept that no other rule hits."""


@dataclass(frozen=True, slots=True)
class Example:
    """A payment that one rule alone hits: without it, it would be decided otherwise.

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
        alone: those that no other rule hits.
        money: of the payments that it hits, in the base currency; one without a rate counts as nothing.
        precision, recall: of frauds among its hits, of hits among the frauds; None where there are none, or no labels.
        money_caught: the frauds' money that it hits; None without labels.
        overlap: payments that it hits with each other rule, by code; those that it shares none with are left out.
        examples: payments that it alone hits.
    """

    code: str
    hits: int
    hits_a_day: float
    share: float
    alone: int
    money: float
    precision: float | None
    recall: float | None
    money_caught: float | None
    overlap: dict[str, int]
    examples: tuple[Example, ...]


@dataclass(slots=True)
class Backtest:
    """Adds up what a book says of one micro-batch after the other; the mode of its rules does not matter, nor who else decides.

    Attributes:
        payments: how many were looked at.
        failed: why, by code, of rules that could not be run.
    """

    book: RuleBook
    codes: Sequence[str]
    payments: int = 0
    frauds: int = 0
    labelled: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    _together: Ints = field(init=False)
    _sums: Floats = field(init=False)
    _alone: Ints = field(init=False)
    _examples: list[list[Example]] = field(init=False)
    _span_ms: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = len(self.codes)
        self._together = np.zeros((count, count), dtype=np.int64)
        self._sums = np.zeros((3, count))  # frauds, money, money of frauds
        self._alone = np.zeros(count, dtype=np.int64)
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
        self._sums += np.stack([hits @ frauds, hits @ money, hits @ (money * frauds)])
        alone = found.hits & (hits.sum(axis=0) == 1)
        self._alone += alone.sum(axis=1)
        self._keep(found, batch, alone, is_fraud)
        times = [p.event_time for p in batch.payments]
        first, last = self._span_ms or (times[0], times[0])
        self._span_ms = min(first, *times), max(last, *times)

    def _keep(self, found: Verdicts, batch: ScoredBatch, alone: Truths, is_fraud: Truths | None) -> None:
        for n, kept in enumerate(self._examples):
            for place in np.flatnonzero(alone[n])[: EXAMPLES - len(kept)].tolist():
                payment = batch.payments[place]
                fraud = None if is_fraud is None else bool(is_fraud[place])
                kept.append(Example(payment.card_id, payment.transaction_id, fraud, found.rule_hits(place)[0].text))

    @property
    def days(self) -> float:
        """How long it was from the first payment to the last, a day at least."""
        first, last = self._span_ms or (0, 0)
        return max(1.0, (last - first) / DAY_MS)

    def results(self) -> list[RuleResult]:
        """Of each rule that could be run, in the order of the book."""
        return [self._result(n) for n, code in enumerate(self.codes) if code not in self.failed]

    def _result(self, n: int) -> RuleResult:
        hits = int(self._together[n, n])
        frauds, money, caught = (float(of_rules[n]) for of_rules in self._sums)
        others = {code: int(self._together[n, m]) for m, code in enumerate(self.codes) if m != n and self._together[n, m]}
        return RuleResult(
            self.codes[n],
            hits,
            hits / self.days,
            hits / self.payments if self.payments else 0.0,
            int(self._alone[n]),
            money,
            frauds / hits if self.labelled and hits else None,
            frauds / self.frauds if self.frauds else None,
            caught if self.labelled else None,
            others,
            tuple(self._examples[n]),
        )
