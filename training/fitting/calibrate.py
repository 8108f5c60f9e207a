"""From raw scores to probabilities: one sigmoid (Platt, 1999), fitted on the validation window, part of the exported graph.

It is monotone: no rank moves, and a threshold on the probability is a threshold on the raw score. What it changes is what a score means:
of the payments that score 0.2, two in ten are frauds, also where frauds were weighted in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from stream_app.errors import DataError
from training.fitting.boosted_trees import LIGHTGBM, adds_trees, library_of
from training.fitting.fit import scores_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats, Vectors


@dataclass(frozen=True, slots=True)
class Calibration:
    """Probability of a raw score: 1 / (1 + exp(-(slope x raw + intercept))); the slope is above 0."""

    slope: float
    intercept: float

    def probabilities(self, raw: Floats) -> Floats:
        """Of each raw score."""
        return _logistic(self.slope * raw + self.intercept)

    def raw(self, probability: float) -> float:
        """The raw score of a probability between 0 and 1."""
        return float((np.log(probability) - np.log1p(-probability) - self.intercept) / self.slope)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A fitted classifier with its calibration; it predicts as a classifier of scikit-learn does."""

    inner: Any
    calibration: Calibration

    def predict_proba(self, vectors: Vectors) -> Floats:
        """Probability of either class, float64 [rows, 2]."""
        fraud = self.calibration.probabilities(raw_scores_of(self.inner, vectors))
        return np.column_stack([1 - fraud, fraud])


def calibrate(model: Any, vectors: Vectors, is_fraud: NDArray[np.bool_]) -> Calibrated:
    """Fit the sigmoid of a fitted model.

    Args:
        model: as `fit` gives it; it is not changed.
        vectors: of the validation window.
        is_fraud: what was known of it.

    Raises:
        DataError: the validation window's frauds do not score higher than its other payments: a sigmoid would turn the ranks around.
    """
    raw = raw_scores_of(model, vectors)
    found = CalibratedClassifierCV(FrozenEstimator(_RawScores().fit()), method="sigmoid").fit(raw[:, None], is_fraud)
    (sigmoid,) = found.calibrated_classifiers_[0].calibrators  # of 1 / (1 + exp(a x raw + b))
    slope, intercept = -float(sigmoid.a_), -float(sigmoid.b_)
    if not slope > 0:
        raise DataError(
            "The frauds of the validation window do not score higher than its other payments: the model learnt nothing that holds there. "
            "Give a longer history, or one whose frauds are alike in the train and validation windows."
        )
    return Calibrated(model, Calibration(slope, intercept))


class _RawScores(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """Takes raw scores, float64 [rows, 1], for what they are: each library has another name for what makes them."""

    def fit(self) -> _RawScores:
        """There is nothing to learn."""
        self.classes_ = np.array([False, True])
        return self

    def decision_function(self, raw: Floats) -> Floats:
        """The same."""
        return raw[:, 0]

    def predict(self, raw: Floats) -> NDArray[np.bool_]:
        """scikit-learn asks for one, and never calls it here."""
        return np.asarray(raw[:, 0] > 0)


def raw_scores_of(model: Any, vectors: Vectors) -> Floats:
    """What the model adds up for each transaction, float64: boosted trees and a logistic regression log-odds, any other a probability."""
    inner = model.inner if isinstance(model, Calibrated) else model
    if not adds_log_odds(inner):
        return scores_of(inner, vectors)
    if library := library_of(_last(inner)):
        raw = inner.predict(vectors, raw_score=True) if library == LIGHTGBM else inner.predict(vectors, output_margin=True)
    else:
        raw = inner.decision_function(vectors)
    return np.asarray(raw, dtype=np.float64)


def adds_log_odds(model: Any) -> bool:
    """Whether the raw score of a classifier is the log-odds; else it is a probability already."""
    return adds_trees(_last(model)) or isinstance(_last(model), LogisticRegression)


def _last(model: Any) -> Any:
    return model[-1] if isinstance(model, Pipeline) else model


def uncalibrated(model: Calibrated, raw: Floats) -> Floats:
    """The probabilities that the model would give without calibration."""
    return _logistic(raw) if adds_log_odds(model.inner) else raw


def _logistic(log_odds: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow however far from 0."""
    return np.asarray(np.exp(-np.logaddexp(0, -log_odds)), dtype=np.float64)
