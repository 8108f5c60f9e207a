"""What a person must be told before a model is put to use: that it finds nothing, that a column gives the truth away, that a threshold is not what it seems.

All of it is read off the validation window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from training.fitting.evaluate import budget_of, threshold_by_cost
from training.fitting.team import team_figures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.features.compute import Vectors
    from stream_app.features.definitions import Feature
    from training.fitting.evaluate import Scored
    from training.fitting.measure import ChosenOnValidation

GIVES_AWAY = 0.99
"""AUC of a feature alone, from which on it is taken for the truth itself."""
DEVIATIONS = 2.0
"""Standard deviations of the AUC of drawn scores, by which a model must be above .5: one in 44 that find nothing is."""
MANY_TIED = 0.1
"""Share of the alerts that have the lowest score that alerts: from there on it is told."""
LEAST_GAIN = 0.01
"""By which a threshold must save more than the chosen one to be named."""


@dataclass(frozen=True, slots=True)
class Usefulness:
    """Whether scores find more frauds than chance does, and than the amount alone.

    Attributes:
        auc_roc, average_precision: of the scores.
        auc_by_chance: the AUC that drawn scores seldom pass, with so many frauds.
        by_chance, by_amount: the average precision of each.
    """

    auc_roc: float
    auc_by_chance: float
    average_precision: float
    by_chance: float
    by_amount: float

    @staticmethod
    def of(what: Scored) -> Usefulness:
        """Of scores whose truth is known."""
        truth, frauds = what.is_fraud, int(np.count_nonzero(what.is_fraud))
        genuine = len(truth) - frauds
        deviation = np.sqrt(
            (len(truth) + 1) / (12 * max(1, frauds) * max(1, genuine))
        )  # of the Mann-Whitney statistic where there is no difference
        return Usefulness(
            float(roc_auc_score(truth, what.rounded)),
            float(0.5 + DEVIATIONS * deviation),
            float(average_precision_score(truth, what.rounded)),
            float(truth.mean()),
            float(average_precision_score(truth, what.amounts)),
        )

    @property
    def is_useful(self) -> bool:
        """Better than both."""
        return self.auc_roc > self.auc_by_chance and self.average_precision > max(self.by_chance, self.by_amount)

    def __str__(self) -> str:
        return (
            f"average precision {self.average_precision:.4f} and AUC {self.auc_roc:.4f}; by chance {self.by_chance:.4f} and up to "
            f"{self.auc_by_chance:.4f}, by the amount alone {self.by_amount:.4f}"
        )


def warnings_of(decisions: ChosenOnValidation, vectors: Vectors, features: Sequence[Feature]) -> tuple[str, ...]:
    """All that is to be told, a sentence each.

    Args:
        decisions: what was chosen on validation.
        vectors: float32 [payments of validation, features].
        features: what the columns are.
    """
    return (*_giving_away(decisions.validation, vectors, features), *_of_threshold(decisions))


def _giving_away(what: Scored, vectors: Vectors, features: Sequence[Feature]) -> Iterator[str]:
    for feature, column in zip(features, vectors.T, strict=True):
        area = float(roc_auc_score(what.is_fraud, column))
        if max(area, 1 - area) >= GIVES_AWAY:
            yield (
                f"{feature.name} alone tells frauds from the rest (AUC {max(area, 1 - area):.4f}): it may be made of the label, or be known only after "
                "the payment. If it is, leave it out."
            )


def _of_threshold(decisions: ChosenOnValidation) -> Iterator[str]:
    what, threshold, target = decisions.validation, decisions.threshold, decisions.target
    alerts = what.rounded[what.scores >= threshold]
    lowest = alerts.min()
    tied, above = int(np.count_nonzero(alerts == lowest)), int(np.count_nonzero(alerts > lowest))
    budget = budget_of(what, target.alerts_a_day)
    if target.by_budget and len(alerts) > budget:
        yield (
            f"The budget, {budget / what.days:,.1f} alerts a day, cannot be met: the payments of the highest score are alerted together, {tied:,} in "
            f"the validation window, {len(alerts) / what.days:,.1f} a day."
        )
    elif tied > 1 and tied >= MANY_TIED * len(alerts):
        yield (
            f"{tied:,} payments of validation share the lowest score that alerts, {lowest:.5f}: with them there are {len(alerts) / what.days:,.1f} alerts a "
            f"day, without them {above / what.days:,.1f}."
        )
    yield from _saving_more(what, threshold, target.cost)


def _saving_more(what: Scored, threshold: float, cost: float) -> Iterator[str]:
    best = threshold_by_cost(what, cost)
    most, chosen = team_figures(what, best, cost), team_figures(what, threshold, cost)
    if most.net_saving_a_day > chosen.net_saving_a_day + LEAST_GAIN * abs(chosen.net_saving_a_day):
        yield (
            f"An alert from {best:.5f} on would save most, at {cost:g} a review: {most.net_saving_a_day:,.2f} a day with {most.alerts_a_day:,.1f} alerts, "
            f"where the chosen threshold saves {chosen.net_saving_a_day:,.2f} (--review-cost {cost:g} without a budget takes it)."
        )
