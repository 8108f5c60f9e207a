"""A Prometheus histogram that takes an array at a time: prometheus_client's own takes one value, a few us each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

_MOST_WAITING = 1000


class BatchHistogram(Collector):
    """Counts values below or at each bound; small arrays wait, to be counted together."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self._bounds = np.array(bounds, dtype=np.float64)
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0
        self._waiting: list[NDArray[Any]] = []
        self._how_many = 0
        registry.register(self)

    def observe(self, values: NDArray[Any]) -> None:
        """Count all values of an array, which is kept for a while."""
        self._waiting.append(values)
        self._how_many += len(values)
        if self._how_many > _MOST_WAITING:
            self._count()

    def _count(self) -> None:
        if not self._waiting:
            return
        array = np.concatenate(self._waiting, dtype=np.float64)
        self._waiting, self._how_many = [], 0
        self._counts += np.bincount(np.searchsorted(self._bounds, array, side="left"), minlength=len(self._counts))
        self._sum += float(array.sum())

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        self._count()
        below = np.cumsum(self._counts).tolist()
        bounds = [*map(floatToGoString, self._bounds.tolist()), "+Inf"]
        yield HistogramMetricFamily(self._name, self._text, buckets=[*zip(bounds, below, strict=True)], sum_value=self._sum)
