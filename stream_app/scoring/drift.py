"""Are the payments still like those that the model was trained on? The population stability index of each feature, and of the score.

The index of a column is the sum of (p - q) · ln(p / q) over its bins, p the share of the payments now and q that of the training data:
0 where nothing changed; above 0.25 the change is a large one, by the usage of the trade. Below a few hundred payments it is noise.

Memory is bounded: one count for each hour of the last 24 of event time, column and bin. A day is the shortest time in which what
follows the hours of the day looks as it does in training. Features of the calendar alone (weekend, night) are left out for that reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_app.features.aggregations import CALENDAR
from stream_app.features.compute import Floats, Vectors
from stream_app.features.model_metadata import Baseline, ModelMetadata
from stream_app.features.plan import Ints
from stream_app.messages.majority import median

SCORE = "score"
HOURS = 24
LEAST_ROWS = 1_000
MOST_ROWS_A_BATCH = 64
"""So many are counted together, at the time that most of them say; of more every n-th is looked at: the index needs thousands of payments, not
all."""
_HOUR_MS = 3_600_000
_LEAST_SHARE = 1e-4


class Drift:
    """Follows the payments of one model."""

    def __init__(self, metadata: ModelMetadata, baseline: Baseline) -> None:
        """Compare with what the model was trained on.

        Args:
            metadata: of the model.
            baseline: its bins, features in order and then the score.
        """
        features = metadata.resolved()
        self._names = [f.name for f in features] + [SCORE]
        self._shown = [i for i, f in enumerate(features) if f.aggregation not in CALENDAR] + [len(features)]
        self._bins = max(len(shares) for shares in baseline.shares)
        edges = np.array([_padded(edges, self._bins - 1, np.inf) for edges in baseline.edges], dtype=np.float32)
        self._edges: Vectors = np.ascontiguousarray(edges.T)[:, None, :]
        self._first_bins = np.arange(len(self._names), dtype=np.int64) * self._bins
        self._shares: Floats = np.array([_padded(shares, self._bins, 0.0) for shares in baseline.shares])
        self._used: NDArray[np.bool_] = np.array([_padded([1.0] * len(shares), self._bins, 0.0) for shares in baseline.shares]) > 0
        self._counts: Ints = np.zeros((HOURS, len(self._names) * self._bins), dtype=np.int64)
        self._newest_hour = 0
        self._waiting: list[tuple[Vectors, Vectors, Ints]] = []
        self._how_many = 0

    def add(self, vectors: Vectors, scores: Vectors, times_ms: Ints) -> None:
        """Count payments; fewer than are counted together wait. All three are kept for a while."""
        self._waiting.append((vectors, scores, times_ms))
        self._how_many += len(scores)
        if self._how_many >= MOST_ROWS_A_BATCH:
            self._count()

    def _count(self) -> None:
        """Count those that wait at the hour of most of them; where they lag behind a whole day they are left out."""
        vectors, scores, times_ms = (np.concatenate(columns) for columns in zip(*self._waiting, strict=True))
        self._waiting, self._how_many = [], 0
        step = -(-len(scores) // MOST_ROWS_A_BATCH)
        hour = median(times_ms[::step].tolist()) // _HOUR_MS
        if hour <= self._newest_hour - HOURS:
            return
        if hour > self._newest_hour:
            for entered in range(max(self._newest_hour + 1, hour - HOURS + 1), hour + 1):
                self._counts[entered % HOURS] = 0
            self._newest_hour = hour
        rows = np.concatenate([vectors[::step], scores[::step, None]], axis=1)
        places = (rows > self._edges).sum(axis=0, dtype=np.int64) + self._first_bins
        self._counts[hour % HOURS] += np.bincount(places.ravel(), minlength=self._counts.shape[1])

    @property
    def rows(self) -> int:
        """How many payments are looked at now."""
        return int(self._counts[:, : self._bins].sum())

    def indices(self) -> dict[str, float]:
        """The index of each feature by name, and of `score`; empty while there are too few payments."""
        counts = self._counts.sum(axis=0).reshape(len(self._names), self._bins)
        rows = counts[0].sum()
        if rows < LEAST_ROWS:
            return {}
        now, before = np.maximum(counts / rows, _LEAST_SHARE), np.maximum(self._shares, _LEAST_SHARE)
        found = np.where(self._used, (now - before) * np.log(now / before), 0.0).sum(axis=1)
        return {self._names[i]: float(found[i]) for i in self._shown}


def _padded(values: Sequence[float], length: int, filler: float) -> list[float]:
    return [*values, *[filler] * (length - len(values))]
