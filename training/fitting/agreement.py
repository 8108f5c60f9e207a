"""How far the reasons that alerts get are those of Shapley values: contributions along the path, of exact ones; sampled ones, of many more orders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from stream_app.explaining.reasons import REASONS_PER_ALERT
from stream_app.explaining.sampling import Sampled
from stream_app.explaining.shapley import shapley

if TYPE_CHECKING:
    from stream_app.explaining.contributions import Additive
    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.plan import Ints

SAMPLE = 200
SAMPLE_OF_SAMPLED, MANY_ORDERS = 20, 64


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


def agreement(additive: Additive, alerts: Vectors) -> Agreement:
    """Explain alerts by both, at most `SAMPLE`, of sampled reasons `SAMPLE_OF_SAMPLED`, spread evenly.

    Args:
        additive: what the model adds up.
        alerts: float32 [alerts, features]; at least one.
    """
    sample = alerts[
        np.unique(np.linspace(0, len(alerts) - 1, SAMPLE_OF_SAMPLED if isinstance(additive, Sampled) else SAMPLE).astype(np.int64))
    ]
    finer = replace(additive, orders=MANY_ORDERS).contributions(sample) if isinstance(additive, Sampled) else shapley(additive, sample)
    told, exact = _strongest(additive.contributions(sample)), _strongest(finer)
    shared = (told[:, :, None] == exact[:, None, :]).any(axis=2)
    return Agreement(len(sample), float((told[:, 0] == exact[:, 0]).mean()), float(shared.mean()))


def _strongest(contributions: Floats) -> Ints:
    return np.argsort(-contributions, axis=1, kind="stable")[:, :REASONS_PER_ALERT]
