"""Plots of a model's quality, as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

from training.fitting.team import team_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.fitting.evaluate import Scored
    from training.fitting.measure import Fitted

BINS = 10
LEVELS = 200
"""Thresholds that the plot of money tries."""


def draw(folder: Path, fitted: Fitted, review_cost: float, importances: Sequence[tuple[str, float]]) -> tuple[Path, ...]:
    """Write precision-recall curve, reliability, threshold against money, and feature importance into `folder`.

    Args:
        folder: it is there.
        fitted: with the scored windows.
        review_cost: of one alert, in the base currency.
        importances: (feature, its share).

    Returns:
        The files.
    """
    validation, test = fitted.scores
    return (
        _precision_recall(folder / "precision_recall.png", test, fitted.threshold),
        _reliability(folder / "reliability.png", {"before calibration": fitted.before, "calibrated": test}),
        _money(folder / "threshold_money.png", validation, fitted.threshold, review_cost),
        _importance(folder / "feature_importance.png", importances),
    )


def _precision_recall(path: Path, test: Scored, threshold: float) -> Path:
    precision, recall, levels = precision_recall_curve(test.is_fraud, test.rounded)
    figure, axes = axes_of("Precision and recall on the test window", "recall", "precision")
    axes.step(recall, precision, where="post")
    at = int(np.searchsorted(levels, threshold))
    if at < len(levels):
        axes.plot(recall[at], precision[at], "o", label=f"threshold {threshold:.5f}")
        axes.legend()
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return written(figure, path)


def _reliability(path: Path, scores: Mapping[str, Scored]) -> Path:
    """Ten bins of equal width; most transactions fall into the first."""
    figure, axes = axes_of("Reliability on the test window", "mean score", "share of frauds")
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfect")
    for name, what in scores.items():
        share, score = calibration_curve(what.is_fraud, what.rounded, n_bins=BINS)
        axes.plot(score, share, "o-", label=name)
    axes.legend()
    return written(figure, path)


def _money(path: Path, validation: Scored, threshold: float, review_cost: float) -> Path:
    """Net saving and alerts a day at every threshold: where the best lies, and how flat it is there."""
    levels = np.unique(validation.rounded)
    levels = levels[np.unique(np.linspace(0, len(levels) - 1, LEVELS).astype(np.int64))]
    found = [team_figures(validation, float(level), review_cost) for level in levels]
    figure, axes = axes_of(f"Threshold and money on the validation window, {review_cost:g} a review", "threshold", "net saving a day")
    axes.plot(levels, [one.net_saving_a_day for one in found])
    axes.axvline(threshold, color="grey", linestyle="--", label=f"threshold {threshold:.5f}")
    axes.set(ylim=(0, None))
    axes.legend(loc="lower right")
    beside = axes.twinx()
    beside.plot(levels, [one.alerts_a_day for one in found], color="tab:orange")
    beside.set(ylabel="alerts a day (orange)", yscale="log")
    return written(figure, path)


def _importance(path: Path, importances: Sequence[tuple[str, float]]) -> Path:
    figure, axes = axes_of("Feature importance", "share", "")
    ranked = sorted(importances, key=lambda pair: pair[1])
    axes.barh([name for name, _ in ranked], [value for _, value in ranked])
    return written(figure, path)


def axes_of(title: str, x: str, y: str) -> tuple[Figure, Any]:
    """An empty plot."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def written(figure: Figure, path: Path) -> Path:
    """Write the plot as PNG."""
    figure.savefig(path, dpi=110, format="png")
    return path
