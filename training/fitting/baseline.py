"""How features and scores are spread over the training data: the bins that a worker holds its payments against, to see drift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stream_app.features.model_metadata import Baseline

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from stream_app.features.compute import Floats, Vectors

BINS = 10


def baseline_of(vectors: Vectors, scores: Floats) -> Baseline:
    """Bins of equal weight for each feature and for the score, fewer where values repeat, as counts do.

    Args:
        vectors: float32 [rows, features], of the train window.
        scores: of rows that the model was *not* fitted on: on its own data it is surer than it will be.
    """
    columns = [_binned(column) for column in (*vectors.T, scores)]
    return Baseline(tuple(edges for edges, _ in columns), tuple(shares for _, shares in columns), float(np.mean(scores)))


def _binned(values: ArrayLike) -> tuple[tuple[float, ...], tuple[float, ...]]:
    column = np.asarray(values, dtype=np.float32)
    edges = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1], method="higher"))
    counts = np.bincount(np.searchsorted(edges, column, side="left"), minlength=len(edges) + 1)
    return tuple(edges.astype(np.float64).tolist()), tuple((counts / len(column)).tolist())
