"""What payments that both models judged add up to, day by day: nothing of it grows with their number.

Ranks are taken over scores rounded to 1e-5 (`ranking`), so payments are counted by level: every ranking figure is exact. Frauds are kept one by
one; there are no more of them than labels.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import NamedTuple

import numpy as np

from stream_app.comparing.judged_payments import BothScores, JudgedScore, ModelPair, OneSays, both_scores
from stream_app.comparing.known_labels import KnownLabels
from stream_app.comparing.seen_offsets import SeenOffsets
from stream_app.comparing.top_cards import TopCards
from stream_app.features.aggregations import DAY_MS
from stream_app.features.plan import Ints
from stream_app.messages.money import Money
from stream_app.scoring.ranking import DIGITS

SCALE: int = 10**DIGITS
LEVELS = SCALE + 1
SIDES = (0, 1)
"""The champion's place, and the challenger's."""


class LiveSpan(NamedTuple):
    """Event times, Unix ms: payments are compared from `begins` to `ends`, figures are taken of those before `due`; ends are not included."""

    begins_ms: int
    ends_ms: int
    due_ms: int


@dataclass(slots=True)
class DaySums:
    """A day's due payments. Lists and the levels have an entry for each side.

    Attributes:
        levels: int32 [2, levels], payments at each level of the score.
        alerts, caught, caught_minor: payments that alert at the side's own threshold; frauds among them, and their money.
        frauds, fraud_minor: frauds, and their money.
    """

    levels: Ints = field(default_factory=lambda: np.zeros((2, LEVELS), dtype=np.int32))
    alerts: list[int] = field(default_factory=lambda: [0, 0])
    caught: list[int] = field(default_factory=lambda: [0, 0])
    caught_minor: list[int] = field(default_factory=lambda: [0, 0])
    frauds: int = 0
    fraud_minor: int = 0


class LargestAlerts:
    """Alerts that only one would raise: how many, their money, and the largest of them."""

    def __init__(self, most: int) -> None:
        self.count = 0
        self.minor = 0
        self._most = most
        self._heap: list[tuple[int, int, BothScores]] = []

    def add(self, both: BothScores) -> None:
        """One more."""
        self.count += 1
        self.minor += max(0, both.minor)
        entry = (both.minor, -self.count, both)  # of one amount the first to come stays, and payments are never compared
        if len(self._heap) < self._most:
            heappush(self._heap, entry)
        elif self._most:
            heappushpop(self._heap, entry)

    def largest(self) -> list[BothScores]:
        """The largest first."""
        return [both for *_, both in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


class LiveSums:
    """The sums of one pair of models over a span.

    Attributes:
        judged, agreed: payments of the span that both judged, each once; those on which both alert, or neither does.
        not_due: those whose labels have not had their time.
        labelled, frauds_found: those that have a label; those whose label says fraud.
        only: alerts of one side only.
        apart: what is in none of this, by why.
        days: the due payments.
        frauds: of the due payments, as rows of day, level of the champion, level of the challenger, money.
    """

    def __init__(self, span: LiveSpan, pair: ModelPair, money: Money, labels: KnownLabels, shown: int) -> None:
        self.span = span
        self.pair = pair
        self.judged = self.agreed = self.not_due = self.labelled = self.frauds_found = 0
        self.only = (LargestAlerts(shown), LargestAlerts(shown))
        self.apart: Counter[str] = Counter()
        self.days: dict[int, DaySums] = {}
        self.frauds = array("q")
        self._money = money
        self._labels = labels
        self._seen = SeenOffsets()
        self._top = tuple(TopCards(span.begins_ms // DAY_MS) for _ in SIDES)
        self._fraud_cards: set[tuple[int, str]] = set()

    def add(self, score: JudgedScore) -> None:
        """A score of any time, in any order."""
        begins, ends, due = self.span
        if not begins <= score.event_time < ends:
            return
        if not self._seen.add(score.source.partition, score.source.offset):
            self.apart["published twice"] += 1
            return
        both, pair = both_scores(score, self._money), ModelPair.of(score)
        if both is None:
            self.apart["judged by one model alone"] += 1
            return
        if pair != self.pair:
            self.apart["judged by another pair of versions"] += 1
            return
        self.judged += 1
        self.apart["without a rate: their money counts as 0"] += both.minor < 0
        self._compare(both)
        label = self._labels.is_fraud(both)
        self.labelled += label is not None
        self.frauds_found += label is True
        if both.event_time < due:
            self._count(both, is_fraud=label is True)
        else:
            self.not_due += 1

    def card_precisions(self) -> list[list[float]]:
        """Of each side card precision@100 of each day, in order."""
        return [[share for _, share in sorted(top.precisions(self._fraud_cards).items())] for top in self._top]

    def _compare(self, both: BothScores) -> None:
        said = (both.champion.alerts, both.challenger.alerts)
        self.agreed += said[0] == said[1]
        for side in SIDES:
            if said[side] and not said[1 - side]:
                self.only[side].add(both)

    def _count(self, both: BothScores, *, is_fraud: bool) -> None:
        day, minor = both.event_time // DAY_MS, max(0, both.minor)
        sums = self.days.get(day) or self.days.setdefault(day, DaySums())
        levels = [_level(says) for says in (both.champion, both.challenger)]
        for side, says in zip(SIDES, (both.champion, both.challenger), strict=True):
            sums.levels[side, levels[side]] += 1
            sums.alerts[side] += says.alerts
            sums.caught[side] += says.alerts and is_fraud
            sums.caught_minor[side] += minor if says.alerts and is_fraud else 0
            self._top[side].add(day, both.card_id, levels[side])
        if is_fraud:
            sums.frauds += 1
            sums.fraud_minor += minor
            self.frauds.extend((day, *levels, minor))
            self._fraud_cards.add((day, both.card_id))


def _level(says: OneSays) -> int:
    return round(says.score * SCALE)
