"""What champion and challenger said of a payment, read off its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from stream_app.messages.alert import Beside, ModelReference, Probability, Source
from stream_app.messages.money import Money
from stream_app.messages.transaction import Transaction


class JudgedScore(Transaction, frozen=True, gc=False, kw_only=True):
    """A score (`score.v1`) as far as it is compared: its vector and its reasons are not decoded."""

    score: Probability
    threshold: Probability
    model: ModelReference
    source: Source
    beside: Beside | None = None


class ModelPair(NamedTuple):
    """Who is compared with whom."""

    champion: ModelReference
    challenger: ModelReference

    @classmethod
    def of(cls, score: JudgedScore) -> ModelPair | None:
        """The two that judged a payment; None where one scored alone."""
        other = score.beside
        if other is None:
            return None
        return cls(other.model, score.model) if other.role == "champion" else cls(score.model, other.model)


class OneSays(NamedTuple):
    """What one model says of a payment: its score, and whether that alerts at its threshold. What rules and lists make of it is no matter."""

    score: float
    alerts: bool


@dataclass(frozen=True, slots=True)
class BothScores:
    """What both models say of a payment.

    Attributes:
        minor: its money in minor units of the base currency; -1 where there is no rate.
    """

    transaction_id: str
    card_id: str
    event_time: int
    minor: int
    champion: OneSays
    challenger: OneSays


def both_scores(score: JudgedScore, money: Money) -> BothScores | None:
    """Both say of a payment; None where one model scored alone."""
    other = score.beside
    if other is None:
        return None
    decided, said = OneSays(score.score, score.score >= score.threshold), OneSays(other.score, other.score >= other.threshold)
    champion, challenger = (said, decided) if other.role == "champion" else (decided, said)
    amount = money.of(score)
    minor = round(amount * money.unit) if amount == amount else -1  # noqa: PLR0124 - NaN: there is no rate
    return BothScores(score.transaction_id, score.card_id, score.event_time, minor, champion, challenger)
