"""May a version take the champion's place? Gates, each with what it found: numbers in, a verdict out.

A challenger need not be better, only not worse: a figure of its is worse where a bootstrap interval of the difference to the champion's,
on the same held-out period, lies below 0 as a whole. Cards are drawn for the average precision, days for the card precision: payments
of one card are no independent witnesses, nor are the hundred cards of one day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import average_precision_score

from training.fitting.evaluate import card_precisions
from training.fitting.guards import Usefulness
from training.fitting.team import REVIEW_COST, days_of, team_figures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints
    from training.fitting.evaluate import Scored

ROUNDS = 200
MOST_ALERTS = 1.5
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


def useful(candidate: Scored) -> Gate:
    """The gate of a version that no other is compared with: it finds more than chance does, and than the amount alone."""
    found = Usefulness.of(candidate)
    return Gate("better than chance and the amount", found.is_useful, str(found))


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


def team_not_worse(challenger: tuple[Scored, float], champion: tuple[Scored, float], seed: int = 0) -> tuple[Gate, ...]:
    """The gates of the fraud team's figures: money detected, net saving, genuine cards alerted, and how many alerts there are.

    Days are drawn, as for the card precision. Alerts may be `MOST_ALERTS` times the champion's: a team can work through so many. The
    latter two hold also where the net saving is surely larger: more alerts, also more wrong ones, may pay.

    Args:
        challenger: its scores, and its threshold.
        champion: its scores of the same payments, and its own threshold.
        seed: of the draws.
    """
    days = [days_of(*one) for one in (challenger, champion)]
    figures = [team_figures(*one) for one in (challenger, champion)]
    drawn = np.random.default_rng(seed).integers(0, len(days[0].alerts), (ROUNDS, len(days[0].alerts)))
    first, second = (one.summed(drawn) for one in days)
    saving = [one.found_money - REVIEW_COST * one.alerts for one in (first, second)]
    pays = bool(np.percentile(saving[0] - saving[1], INTERVAL[0]) > 0)
    ratio = _gate("false-positive ratio by card", [one.false_positive_ratio for one in figures], second.genuine_share - first.genuine_share)
    alerts = [one.alerts_a_day for one in figures]
    return (
        _gate("money detected", [one.money_detected for one in figures], first.money_detected - second.money_detected),
        _gate("net saving a day", [one.net_saving_a_day for one in figures], (saving[0] - saving[1]) / len(days[0].alerts)),
        replace(ratio, passed=ratio.passed or pays),
        Gate("alerts a day", pays or alerts[0] <= MOST_ALERTS * alerts[1], f"{alerts[0]:.1f}, the champion's are {alerts[1]:.1f}"),
    )


def _gate(name: str, figures: list[float], differences: Floats) -> Gate:
    low, high = np.percentile(differences, INTERVAL)
    found = f"{figures[0]:.4f}, the champion's is {figures[1]:.4f}; 95 % interval of the gain {low:+.4f} to {high:+.4f}"
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
