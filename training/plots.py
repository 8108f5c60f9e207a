"""Plots of a model's quality, as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.evaluate import Scored

BINS = 10


def draw(folder: Path, test: Scored, threshold: float, importances: Sequence[tuple[str, float]]) -> tuple[Path, ...]:
    """Write precision-recall curve, reliability and feature importance into `folder`.

    Args:
        folder: it is there.
        test: the scored test window.
        threshold: marked in the curve.
        importances: (feature, its share).

    Returns:
        The files.
    """
    return (
        _precision_recall(folder / "precision_recall.png", test, threshold),
        _reliability(folder / "reliability.png", test),
        _importance(folder / "feature_importance.png", importances),
    )


def _precision_recall(path: Path, test: Scored, threshold: float) -> Path:
    precision, recall, levels = precision_recall_curve(test.is_fraud, test.rounded)
    figure, axes = _axes("Precision and recall on the test window", "recall", "precision")
    axes.step(recall, precision, where="post")
    at = int(np.searchsorted(levels, threshold))
    if at < len(levels):
        axes.plot(recall[at], precision[at], "o", label=f"threshold {threshold:.5f}")
        axes.legend()
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return _written(figure, path)


def _reliability(path: Path, test: Scored) -> Path:
    """Ten bins of equal width; most transactions fall into the first."""
    share, score = calibration_curve(test.is_fraud, test.rounded, n_bins=BINS)
    figure, axes = _axes("Reliability on the test window", "mean score", "share of frauds")
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfect")
    axes.plot(score, share, "o-", label="model")
    axes.legend()
    return _written(figure, path)


def _importance(path: Path, importances: Sequence[tuple[str, float]]) -> Path:
    figure, axes = _axes("Feature importance", "share", "")
    ranked = sorted(importances, key=lambda pair: pair[1])
    axes.barh([name for name, _ in ranked], [value for _, value in ranked])
    return _written(figure, path)


def _axes(title: str, x: str, y: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _written(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=110, format="png")
    return path
