"""Fit the model: a random forest of scikit-learn. The same data, parameters and seed give the same forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats, Vectors

JOBS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Parameters of the forest. No class weights: they would take the scores away from probabilities.

    The defaults were chosen on two validation windows of the Handbook's data, never on a test window, with the cost of a row in mind.
    """

    trees: int = 100
    max_depth: int = 12
    min_leaf: int = 5
    seed: int = 0


def fit(vectors: Vectors, is_fraud: NDArray[np.bool_], forest: Forest) -> Any:
    """Fit a forest.

    Args:
        vectors: float32 [transactions, features].
        is_fraud: what was known of each transaction.
        forest: the parameters.

    Returns:
        A fitted `RandomForestClassifier` that predicts on one core: several would add the trees up in an order that changes.
    """
    model = RandomForestClassifier(
        n_estimators=forest.trees, max_depth=forest.max_depth, min_samples_leaf=forest.min_leaf, n_jobs=JOBS, random_state=forest.seed
    )
    model.fit(vectors, is_fraud)
    return model.set_params(n_jobs=1)


def scores_of(model: Any, vectors: Vectors) -> Floats:
    """The model's probability of fraud of each transaction, float64."""
    return np.asarray(model.predict_proba(vectors)[:, 1], dtype=np.float64)
