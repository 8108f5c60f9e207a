"""May a version take the champion's place? Gates, each with what it found: numbers in, a verdict out.

A challenger need not be better, only not worse: a figure of its is worse where a bootstrap interval of the difference to the champion's,
on the same held-out period, lies below 0 as a whole. Cards are drawn for the average precision, days for the card precision: payments
of one card are no independent witnesses, nor are the hundred cards of one day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score

from training.evaluate import card_precisions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints
    from training.evaluate import Scored

ROUNDS = 200
INTERVAL = (2.5, 97.5)
"""Percentiles of the differences: a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition.

    Attributes:
        name: as it is told.
        passed: whether it holds.
        found: what was found, in words.
        forceable: whether `--force` may pass it over; what a worker would refuse cannot be.
    """

    name: str
    passed: bool
    found: str
    forceable: bool = True


def not_worse(challenger: Scored, champion: Scored, seed: int = 0) -> tuple[Gate, Gate]:
    """The gates of average precision and card precision@100.

    Args:
        challenger: its scores.
        champion: its scores of the same payments.
        seed: of the draws; the same gives the same verdict.
    """
    rng = np.random.default_rng(seed)
    precision = [float(average_precision_score(one.is_fraud, one.rounded)) for one in (challenger, champion)]
    by_day = [card_precisions(one) for one in (challenger, champion)]
    return (
        _gate("average precision", precision, _by_cards(challenger, champion, rng)),
        _gate("card precision@100", [float(days.mean()) for days in by_day], _by_days(by_day[0] - by_day[1], rng)),
    )


def _gate(name: str, figures: list[float], differences: Floats) -> Gate:
    low, high = np.percentile(differences, INTERVAL)
    found = f"{figures[0]:.4f}, the champion's is {figures[1]:.4f}; 95 % interval of the difference {low:+.4f} to {high:+.4f}"
    return Gate(name, bool(high >= 0), found)


def _by_cards(challenger: Scored, champion: Scored, rng: np.random.Generator) -> Floats:
    _, card = np.unique(challenger.cards, return_inverse=True)
    cards = int(card.max()) + 1
    curves = [_Curve.of(one) for one in (challenger, champion)]
    differences: list[float] = []
    while len(differences) < ROUNDS:
        weights = np.bincount(rng.integers(0, cards, cards), minlength=cards)[card]
        if weights[challenger.is_fraud].any():
            first, second = (curve.average_precision(weights) for curve in curves)
            differences.append(first - second)
    return np.array(differences)


@dataclass(frozen=True, slots=True)
class _Curve:
    """Payments in the order of their scores, sorted once for all draws: scikit-learn would sort each time."""

    order: Ints
    ends: Ints
    is_fraud: NDArray[np.bool_]

    @classmethod
    def of(cls, what: Scored) -> _Curve:
        order = np.argsort(-what.rounded, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(what.rounded[order]) != 0, True))
        return cls(order, ends, what.is_fraud[order])

    def average_precision(self, weights: Ints) -> float:
        """With so many copies of each payment, at least one of them a fraud."""
        drawn = weights[self.order]
        frauds, alerts = np.cumsum(drawn * self.is_fraud)[self.ends], np.cumsum(drawn)[self.ends]
        return float(np.sum(np.diff(frauds, prepend=0) * frauds / np.maximum(alerts, 1)) / frauds[-1])


def _by_days(differences: Floats, rng: np.random.Generator) -> Floats:
    drawn = rng.integers(0, len(differences), (ROUNDS, len(differences)))
    return np.asarray(differences[drawn].mean(axis=1), dtype=np.float64)
