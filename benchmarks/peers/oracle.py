"""What every system of this benchmark computes, written down plainly: the features, and their values by brute force.

Count and mean amount of card and terminal over an hour, a day, 7 and 30 days, as tiles (docs/tiles.md), and the amount. With k(x) = floor(x / hop)
the window at time t holds the tiles k(t - window) + 1 … k(t), the present payment included. Money is added up in cents.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from stream_app.features.aggregations import DAY_S, HOPS_S, HOUR_S
from stream_app.features.definitions import Feature

WINDOWS_S = (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
FEATURES = (
    Feature("amount"),
    *(
        Feature(aggregation, entity, window_s)
        for entity in ("card", "terminal")
        for window_s in WINDOWS_S
        for aggregation in ("count", "mean_amount")
    ),
)
"""The columns of the model, in the order in which every system fills them."""


class Payment(NamedTuple):
    """What features are made of."""

    time_ms: int
    card: str
    terminal: str
    cents: int


class Oracle:
    """Keeps every payment, and scans them anew for each feature. Payments come in the order of their times."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], list[Payment]] = defaultdict(list)

    def vector(self, payment: Payment) -> list[float]:
        """The features of a payment, itself counted."""
        vector = [payment.cents / 100]
        for entity in (("card", payment.card), ("terminal", payment.terminal)):
            payments = self._of[entity]
            payments.append(payment)
            for window_s in WINDOWS_S:
                vector += _count_and_mean(payments, payment.time_ms, window_s)
        return vector


def _count_and_mean(payments: list[Payment], now_ms: int, window_s: int) -> tuple[float, float]:
    hop_ms = HOPS_S[window_s] * 1000
    first, last = (now_ms - window_s * 1000) // hop_ms + 1, now_ms // hop_ms
    within = [p.cents for p in payments if first <= p.time_ms // hop_ms <= last]
    return float(len(within)), sum(within) / (100 * len(within))
