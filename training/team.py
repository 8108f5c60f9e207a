"""What a fraud team asks of a threshold: money found, genuine cards bothered, alerts to work through, and what is left of the saving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.split import DAY_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluate import Scored

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


def _cards(what: Scored, alerts: NDArray[np.bool_]) -> tuple[int, int]:
    """Card-days with an alerted fraud, and card-days alerted that have none."""
    keys = (what.times_ms[alerts] // DAY_MS) * (int(what.cards.max(initial=0)) + 1) + what.cards[alerts]
    right = np.unique(keys[what.is_fraud[alerts]])
    return len(right), len(np.setdiff1d(keys, right))
