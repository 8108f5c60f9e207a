"""Champion against challenger, from what both said of the same payments. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np

from stream_app.features.compute import Floats
from stream_app.messages.alert import Score

MATURE_MS = 7 * 86_400_000
"""A payment counts as genuine once it is so much older than the newest and no label says otherwise."""
CARDS_A_DAY = 100
_DAY_MS = 86_400_000


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


def compare(payments: Sequence[BothScores], frauds: Mapping[tuple[str, str], bool]) -> Comparison:
    """Compare both on the same payments, at least one; `frauds` has the newest label of each (card, transaction) that has one."""
    only = {
        who: sorted((p for p in payments if p.champion[1] is champion and p.challenger[1] is not champion), key=attrgetter("amount"))[::-1]
        for who, champion in (("champion", True), ("challenger", False))
    }
    newest = max(p.event_time for p in payments)
    mature = [p for p in payments if p.event_time <= newest - MATURE_MS]
    labels = np.array([frauds.get((p.card_id, p.transaction_id), False) for p in mature], dtype=bool)
    disagreed = len(only["champion"]) + len(only["challenger"])
    of_champion, of_challenger = (
        Quality(average_precision(scores, labels), card_precision(mature, scores, labels))
        for scores in (np.array([p.champion[0] for p in mature]), np.array([p.challenger[0] for p in mature]))
    )
    agreement, found = 1 - disagreed / len(payments), int(labels.sum())
    champion, challenger = tuple(only["champion"]), tuple(only["challenger"])
    return Comparison(len(payments), agreement, champion, challenger, len(mature), found, of_champion, of_challenger)


def average_precision(scores: Floats, labels: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Precision at each score, weighed by the recall that it adds; payments of one score count at once. NaN without frauds."""
    if not labels.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits, last = np.cumsum(labels[order]), np.flatnonzero(np.append(np.diff(scores[order]) != 0, np.array([True])))
    gained = np.diff(hits[last], prepend=0)
    return float((hits[last] / (last + 1) * gained).sum() / hits[-1])


def card_precision(payments: Sequence[BothScores], scores: Floats, labels: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """Mean over the days of the share of compromised cards among the 100 highest; cards found on earlier days are left out."""
    if not labels.any():
        return float("nan")
    rows = sorted(zip(payments, scores.tolist(), labels.tolist(), strict=True), key=lambda row: row[0].event_time)
    found, shares = set[str](), list[float]()
    for _, of_day in groupby(rows, key=lambda row: row[0].event_time // _DAY_MS):
        cards: dict[str, tuple[float, bool]] = {}
        for payment, score, fraud in of_day:
            if payment.card_id not in found:
                best, is_fraud = cards.get(payment.card_id, (0.0, False))
                cards[payment.card_id] = max(best, score), is_fraud or fraud
        top = sorted(cards.items(), key=lambda card: -card[1][0])[:CARDS_A_DAY]
        caught = {card for card, (_, fraud) in top if fraud}
        shares.append(len(caught) / CARDS_A_DAY)
        found |= caught
    return float(np.mean(shares))
