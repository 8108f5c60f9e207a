"""Champion against challenger, from what both said of the same payments. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from stream_app.features.aggregations import DAY_MS
from stream_app.features.compute import Floats
from stream_app.messages.alert import Score
from stream_app.messages.transaction import PaymentKey
from stream_app.scoring.ranking import card_precisions, places_of, rounded

MATURE_MS = 7 * DAY_MS
"""A payment counts as genuine once it is so much older than the newest and no label says otherwise."""


@dataclass(frozen=True, slots=True)
class BothScores:
    """What both models say of a payment: (score, whether it alerts) of the champion and of the challenger."""

    transaction_id: str
    card_id: str
    event_time: int
    amount: float
    champion: tuple[float, bool]
    challenger: tuple[float, bool]


@dataclass(frozen=True, slots=True)
class Quality:
    """Average precision over payments and card precision@100, on mature payments; NaN where none of them is fraud."""

    average_precision: float
    card_precision: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Champion against challenger.

    Attributes:
        payments: that both judged.
        agreement: share of them on which both alert, or neither does.
        only_champion, only_challenger: alerts that only one would raise, the largest amount first.
        mature, frauds: payments whose labels have had their time, and those of them that are fraud.
        champion, challenger: how good each is on them.
    """

    payments: int
    agreement: float
    only_champion: tuple[BothScores, ...]
    only_challenger: tuple[BothScores, ...]
    mature: int
    frauds: int
    champion: Quality
    challenger: Quality


def both_scores(score: Score) -> BothScores | None:
    """Both say of a payment; None where one model scored alone."""
    other = score.beside
    if other is None:
        return None
    decided, said = (score.score, score.action is not None), (other.score, other.action is not None)
    champion, challenger = (said, decided) if other.role == "champion" else (decided, said)
    return BothScores(score.transaction_id, score.card_id, score.event_time, score.amount, champion, challenger)


def compare(payments: Sequence[BothScores], frauds: Mapping[PaymentKey, bool]) -> Comparison:
    """Compare both on the same payments, at least one; `frauds` has the newest label of each payment that has one."""
    only = {
        who: sorted((p for p in payments if p.champion[1] is champion and p.challenger[1] is not champion), key=attrgetter("amount"))[::-1]
        for who, champion in (("champion", True), ("challenger", False))
    }
    newest = max(p.event_time for p in payments)
    mature = [p for p in payments if p.event_time <= newest - MATURE_MS]
    labels = np.array([frauds.get(PaymentKey.of(p), False) for p in mature], dtype=bool)
    disagreed = len(only["champion"]) + len(only["challenger"])
    of_champion, of_challenger = (
        quality(mature, scores, labels)
        for scores in (np.array([p.champion[0] for p in mature]), np.array([p.challenger[0] for p in mature]))
    )
    agreement, found = 1 - disagreed / len(payments), int(labels.sum())
    champion, challenger = tuple(only["champion"]), tuple(only["challenger"])
    return Comparison(len(payments), agreement, champion, challenger, len(mature), found, of_champion, of_challenger)


def quality(payments: Sequence[BothScores], scores: Floats, labels: NDArray[np.bool_]) -> Quality:
    """How good one model's scores of these payments are; see `ranking` for how they are ranked."""
    if not labels.any():
        return Quality(float("nan"), float("nan"))
    times_ms, cards = np.array([p.event_time for p in payments], dtype=np.int64), places_of([p.card_id for p in payments])
    return Quality(average_precision(rounded(scores), labels), float(card_precisions(scores, labels, times_ms, cards).mean()))


def average_precision(scores: Floats, labels: NDArray[np.bool_]) -> float:
    """Precision at each score, weighed by the recall that it adds; payments of one score count at once. At least one is fraud."""
    order = np.argsort(-scores, kind="stable")
    hits, last = np.cumsum(labels[order]), np.flatnonzero(np.append(np.diff(scores[order]) != 0, np.array([True])))
    gained = np.diff(hits[last], prepend=0)
    return float((hits[last] / (last + 1) * gained).sum() / hits[-1])
