"""The three figures that the field compares models by."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from sklearn.metrics import average_precision_score, roc_auc_score

from training.fitting.evaluate import card_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.fitting.evaluate import Scored


@dataclass(frozen=True, slots=True)
class Figures:
    """How good one model is: area under the ROC curve, average precision, card precision@100."""

    auc: float
    average_precision: float
    card_precision_at_100: float


def figures_of(what: Scored) -> Figures:
    """The figures of one test, over scores rounded to 1e-5."""
    return Figures(
        float(roc_auc_score(what.is_fraud, what.rounded)),
        float(average_precision_score(what.is_fraud, what.rounded)),
        card_precision(what),
    )


def mean_of(figures: Sequence[Figures]) -> Figures:
    """The mean of each figure."""
    return Figures(
        fmean(one.auc for one in figures),
        fmean(one.average_precision for one in figures),
        fmean(one.card_precision_at_100 for one in figures),
    )
