"""What a fraud team asks of a threshold: money found, genuine cards bothered, alerts to work through, and what is left of the saving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_app.features.aggregations import DAY_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints
    from training.fitting.evaluate import Scored

TINY = 1e-9
REVIEW_COST = 5.0
"""Cost of one review in the base currency, where none is given: ten minutes of an analyst at 30 an hour. An assumption: give your own."""


@dataclass(frozen=True, slots=True)
class TeamFigures:
    """A threshold, as the team that works through its alerts sees it.

    Attributes:
        alerts_a_day: mean over the days.
        precision: frauds among the alerts; 0 without alerts.
        recall: alerts among the frauds.
        money_detected: alerted frauds' share of the money of all frauds.
        false_positive_ratio: genuine cards alerted for each card alerted with a fraud, cards counted once a day; infinite where no fraud
            is alerted and a genuine card is, 0 without alerts.
        net_saving_a_day: money of the alerted frauds less the cost of reviewing every alert, in the base currency.
    """

    alerts_a_day: float
    precision: float
    recall: float
    money_detected: float
    false_positive_ratio: float
    net_saving_a_day: float


def team_figures(what: Scored, threshold: float, review_cost: float = REVIEW_COST) -> TeamFigures:
    """The figures of one window at a threshold.

    The money of a fraud counts in full where it is alerted, as if the review came in time; what it costs in trust is not counted.

    Args:
        what: scored transactions whose truth is known.
        threshold: score from which on a transaction is alerted.
        review_cost: of one alert, in the base currency.
    """
    alerts = what.scores >= threshold
    caught = alerts & what.is_fraud
    found_money, fraud_money = float(what.amounts[caught].sum()), float(what.amounts[what.is_fraud].sum())
    right, bothered = _cards(what, alerts)
    return TeamFigures(
        alerts_a_day=int(alerts.sum()) / what.days,
        precision=int(caught.sum()) / max(1, int(alerts.sum())),
        recall=int(caught.sum()) / max(1, int(what.is_fraud.sum())),
        money_detected=found_money / fraud_money if fraud_money else 0.0,
        false_positive_ratio=bothered / right if right else float("inf") if bothered else 0.0,
        net_saving_a_day=(found_money - review_cost * int(alerts.sum())) / what.days,
    )


@dataclass(frozen=True, slots=True)
class Days:
    """The sums that the figures are made of, one entry a day; arrays of one length."""

    found_money: Floats
    fraud_money: Floats
    alerts: Floats
    right_cards: Floats
    bothered_cards: Floats

    def summed(self, drawn: Ints) -> Days:
        """The sums of each draw of days, an array of [draws, days]."""
        return Days(*(getattr(self, name)[drawn].sum(axis=1) for name in self.__slots__))

    @property
    def money_detected(self) -> Floats:
        """Alerted frauds' share of the money of all frauds."""
        return self.found_money / np.maximum(self.fraud_money, TINY)

    @property
    def genuine_share(self) -> Floats:
        """Genuine cards among the alerted ones: r / (1 + r) of the false-positive ratio r, so never infinite."""
        return self.bothered_cards / np.maximum(self.right_cards + self.bothered_cards, TINY)


def days_of(what: Scored, threshold: float) -> Days:
    """Each day's sums at a threshold."""
    days, place = np.unique(what.times_ms // DAY_MS, return_inverse=True)
    alerts = what.scores >= threshold
    cards = [_cards(what, alerts & (place == day)) for day in range(len(days))]

    def by_day(values: Floats) -> Floats:
        return np.bincount(place, weights=values, minlength=len(days))

    return Days(
        found_money=by_day(what.amounts * (alerts & what.is_fraud)),
        fraud_money=by_day(what.amounts * what.is_fraud),
        alerts=by_day(alerts.astype(np.float64)),
        right_cards=np.array([right for right, _ in cards], dtype=np.float64),
        bothered_cards=np.array([bothered for _, bothered in cards], dtype=np.float64),
    )


def _cards(what: Scored, alerts: NDArray[np.bool_]) -> tuple[int, int]:
    """Card-days with an alerted fraud, and card-days alerted that have none."""
    keys = (what.times_ms[alerts] // DAY_MS) * (int(what.cards.max(initial=0)) + 1) + what.cards[alerts]
    right = np.unique(keys[what.is_fraud[alerts]])
    return len(right), len(np.setdiff1d(keys, right))
