"""Made-up payments that both models judged, and what they add up to."""

from __future__ import annotations

from typing import NamedTuple

from stream_app.comparing.answer import comparison_of
from stream_app.comparing.judged_payments import JudgedScore, ModelPair
from stream_app.comparing.known_labels import KnownLabels
from stream_app.comparing.live_comparison import LiveComparison
from stream_app.comparing.live_figures import LiveCosts
from stream_app.comparing.live_sums import LiveSpan, LiveSums
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import Beside, ModelReference, Source
from stream_app.messages.money import Money
from stream_app.messages.transaction import Label

PAIR = ModelPair(ModelReference("fraud", "3"), ModelReference("fraud", "5"))
THRESHOLD = 0.5
BEGIN = 20_000 * DAY_MS
"""2024-10-04T00:00Z."""
COSTS = LiveCosts(unit=100, review=5.0, alerts_a_day=None)


class Judged(NamedTuple):
    """A payment: its day, card, both scores, money and what its label says; None: it has none."""

    day: int
    card: str
    champion: float
    challenger: float
    amount: float = 10.0
    fraud: bool | None = None


def score(number: int, of: Judged, pair: ModelPair = PAIR, currency: str = "EUR") -> JudgedScore:
    """Its score, as the worker publishes it where the champion decides."""
    beside = Beside("challenger", pair.challenger, of.challenger, THRESHOLD, None)
    return JudgedScore(
        transaction_id=f"t{number}",
        event_time=BEGIN + of.day * DAY_MS + number,
        card_id=of.card,
        terminal_id="m",
        amount=of.amount,
        currency=currency,
        score=of.champion,
        threshold=THRESHOLD,
        model=pair.champion,
        source=Source("transactions", 0, number),
        beside=beside,
    )


def label(number: int, of: Judged, *, is_fraud: bool, days_later: float = 3) -> Label:
    """Its label."""
    at = BEGIN + of.day * DAY_MS + number
    return Label(f"t{number}", of.card, "m", at, of.amount, is_fraud, at + round(days_later * DAY_MS))


def sums_of(payments: list[Judged], days: int = 8, shown: int = 3) -> tuple[LiveSums, KnownLabels]:
    """All of them, added up; those of later days are not due. One label of another payment is from the end, so that labels are young enough."""
    labels = KnownLabels(BEGIN)
    for number, of in enumerate(payments):
        if of.fraud is not None:
            labels.add(label(number, of, is_fraud=of.fraud))
    labels.add(label(10**6, Judged(days, "other", 0, 0), is_fraud=False))
    due = BEGIN + days * DAY_MS
    sums = LiveSums(LiveSpan(BEGIN, due + 30 * DAY_MS, due), PAIR, Money("EUR"), labels, shown)
    for number, of in enumerate(payments):
        sums.add(score(number, of))
    return sums, labels


def compared(payments: list[Judged], costs: LiveCosts = COSTS, days: int = 8) -> LiveComparison:
    """The comparison of all of them."""
    return comparison_of(*sums_of(payments, days), costs, "EUR", 7.0)
