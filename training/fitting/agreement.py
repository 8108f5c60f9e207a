"""How far the reasons that alerts get, contributions along the path, are those of exact Shapley values: measured on a sample of alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stream_app.explaining.onnx_graph import additive_of
from stream_app.explaining.reasons import REASONS_PER_ALERT
from stream_app.explaining.shapley import shapley

if TYPE_CHECKING:
    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.plan import Ints

SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a sample of alerts.

    Attributes:
        alerts: how many.
        same_first: share whose first feature is the same by both.
        shared_of_three: mean share of the three strongest features that are among the three of the other.
    """

    alerts: int
    same_first: float
    shared_of_three: float


def agreement(exported: bytes, alerts: Vectors) -> Agreement:
    """Explain alerts by both, at most `SAMPLE`, spread evenly.

    Args:
        exported: the ONNX file.
        alerts: float32 [alerts, features]; at least one.
    """
    sample = alerts[np.unique(np.linspace(0, len(alerts) - 1, SAMPLE).astype(np.int64))]
    additive = additive_of(exported)
    path, exact = _strongest(additive.contributions(sample)), _strongest(shapley(additive, sample))
    shared = (path[:, :, None] == exact[:, None, :]).any(axis=2)
    return Agreement(len(sample), float((path[:, 0] == exact[:, 0]).mean()), float(shared.mean()))


def _strongest(contributions: Floats) -> Ints:
    return np.argsort(-contributions, axis=1, kind="stable")[:, :REASONS_PER_ALERT]
