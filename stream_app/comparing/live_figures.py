"""Figures of two models over a span of days, each with an interval by bootstrap: days are drawn, for the payments of a day are no independent witnesses.

1. a draw is a weight for each day, how often it was drawn; the first one has each day once: the figures themselves;
2. sums of days are weighed, and so are the counts at each level of the score, from which precision, recall and ranks follow;
3. the interval is that of the differences, challenger less champion, draw by draw.

*At as many alerts:* both alert the payments that they score highest, as many as the champion alerts at its own threshold, or as a budget says.
Of payments that tie at the border a share counts, as if a team took them in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream_app.comparing.live_comparison import AT_ONE_BUDGET, AT_OWN_THRESHOLDS, LiveFigure
from stream_app.comparing.live_sums import LEVELS, SIDES, LiveSums
from stream_app.features.compute import Floats

ROUNDS = 400
INTERVAL = (2.5, 97.5)
"""Percentiles of the differences: a 95 % interval."""
_AT_ONCE = 40
"""Draws whose levels are in memory together: each has a number for every level."""


class LiveCosts(NamedTuple):
    """What alerts cost.

    Attributes:
        unit: minor units of one major unit.
        review: of one alert, major units.
        alerts_a_day: the budget that both are given; None: as many as the champion alerts.
    """

    unit: int
    review: float
    alerts_a_day: float | None


class _Ranked(NamedTuple):
    """What ranks give, of each draw: average precision; frauds and their money within the budget."""

    average_precision: Floats
    caught: Floats
    caught_minor: Floats


def live_figures(sums: LiveSums, costs: LiveCosts, seed: int = 0) -> tuple[LiveFigure, ...]:
    """The figures of sums that have a fraud.

    Args:
        sums: of both models.
        costs: what alerts cost.
        seed: of the draws; the same gives the same intervals.
    """
    days = sorted(sums.days)
    weights = _drawn(len(days), seed)
    alerts, caught, minor = (
        np.array([getattr(sums.days[day], name) for day in days], dtype=np.float64) for name in ("alerts", "caught", "caught_minor")
    )
    frauds, fraud_minor = (weights @ np.array([getattr(sums.days[day], n) for day in days], float) for n in ("frauds", "fraud_minor"))
    own = [(weights @ alerts[:, side], weights @ caught[:, side], weights @ minor[:, side]) for side in SIDES]
    budget = own[0][0] if costs.alerts_a_day is None else np.full(len(weights), costs.alerts_a_day * len(days))
    ranked = [_ranked(sums, days, weights, budget, side) for side in SIDES]
    cards = weights @ np.array(sums.card_precisions()).T / len(days)

    def saving(found_minor: Floats, alerted: Floats) -> Floats:
        return (found_minor / costs.unit - costs.review * alerted) / len(days)

    pairs = {
        "alerts a day": [mine[0] / len(days) for mine in own],
        "precision": [_share(mine[1], mine[0]) for mine in own],
        "recall": [_share(mine[1], frauds) for mine in own],
        "money found": [_share(mine[2], fraud_minor) for mine in own],
        AT_OWN_THRESHOLDS: [saving(mine[2], mine[0]) for mine in own],
        "average precision": [one.average_precision for one in ranked],
        "card precision@100": [cards[:, side] for side in SIDES],
        "precision, at as many alerts": [_share(one.caught, budget) for one in ranked],
        "recall, at as many alerts": [_share(one.caught, frauds) for one in ranked],
        AT_ONE_BUDGET: [saving(one.caught_minor, budget) for one in ranked],
    }
    return tuple(_figure(name, *pair) for name, pair in pairs.items())


def _drawn(days: int, seed: int) -> Floats:
    """float64 [1 + rounds, days]; draws without any fraud among them count too: they have found none of it."""
    drawn = np.random.default_rng(seed).integers(0, days, (ROUNDS, days))
    counts = [np.bincount(one, minlength=days) for one in drawn]
    return np.array([np.ones(days), *counts], dtype=np.float64)


def _figure(name: str, champion: Floats, challenger: Floats) -> LiveFigure:
    low, high = np.percentile((challenger - champion)[1:], INTERVAL)
    return LiveFigure(name, float(champion[0]), float(challenger[0]), float(low), float(high))


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _ranked(sums: LiveSums, days: list[int], weights: Floats, budget: Floats, side: int) -> _Ranked:
    """Levels from the highest to the lowest; those that no payment has are left out."""
    counts = np.array([sums.days[day].levels[side] for day in days])
    used = np.flatnonzero(counts.any(axis=0))[::-1]
    of_level = np.zeros(LEVELS, dtype=np.int64)
    of_level[used] = np.arange(len(used))
    rows = np.array(sums.frauds, dtype=np.int64).reshape(-1, 4)
    at = (np.searchsorted(days, rows[:, 0]), of_level[rows[:, 1 + side]])
    frauds, minor = np.zeros((2, len(days), len(used)))
    np.add.at(frauds, at, 1)
    np.add.at(minor, at, rows[:, 3])
    by_level = counts[:, used].astype(np.float64)
    found = []
    for begin in range(0, len(weights), _AT_ONCE):
        run = slice(begin, begin + _AT_ONCE)
        payments, of_frauds, of_minor = (np.cumsum(weights[run] @ each, axis=1) for each in (by_level, frauds, minor))
        found.append(_ranked_run(payments, of_frauds, of_minor, budget[run]))
    return _Ranked(*(np.concatenate(parts) for parts in zip(*found, strict=True)))


def _ranked_run(payments: Floats, frauds: Floats, minor: Floats, budget: Floats) -> _Ranked:
    """Of running sums, float64 [draws, levels]."""
    gained = np.diff(frauds, prepend=0.0, axis=1)
    precision = (gained * _share(frauds, payments)).sum(axis=1)
    draws = np.arange(len(budget))
    border = np.minimum((payments < budget[:, None]).sum(axis=1), payments.shape[1] - 1)
    before = np.maximum(border - 1, 0)

    def above(sums: Floats) -> Floats:
        return np.where(border > 0, sums[draws, before], 0.0)

    share = np.minimum(1.0, _share(budget - above(payments), payments[draws, border] - above(payments)))

    def within(sums: Floats) -> Floats:
        found: Floats = above(sums) + share * (sums[draws, border] - above(sums))
        return found

    return _Ranked(_share(precision, frauds[:, -1]), within(frauds), within(minor))
