"""Plots of a model's quality, as PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve

from training.fitting.team import team_figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stream_app.features.definitions import Feature
    from training.fitting.evaluate import Scored
    from training.fitting.measure import Fitted

BINS = 10
MOST_FEATURES, LONGEST_MEANING = 20, 90
LEVELS = 200
"""Thresholds that the plot of money tries."""


@dataclass(frozen=True, slots=True)
class Review:
    """What one alert costs, in the base currency."""

    cost: float
    currency: str


def draw(folder: Path, fitted: Fitted, review: Review, importances: Sequence[tuple[Feature, float]]) -> tuple[Path, ...]:
    """Write precision-recall curve, reliability, threshold against money, and feature importance into `folder`.

    Args:
        folder: it is there.
        fitted: with the scored windows.
        review: of one alert.
        importances: of each feature, its share.

    Returns:
        The files.
    """
    validation, test = fitted.scores
    return (
        _precision_recall(folder / "precision_recall.png", test, fitted.threshold),
        _reliability(folder / "reliability.png", {"before calibration": fitted.before, "calibrated": test}),
        _money(folder / "threshold_money.png", validation, fitted.threshold, review),
        _importance(folder / "feature_importance.png", importances),
    )


def _precision_recall(path: Path, test: Scored, threshold: float) -> Path:
    precision, recall, levels = precision_recall_curve(test.is_fraud, test.rounded)
    area, chance = average_precision_score(test.is_fraud, test.rounded), float(test.is_fraud.mean())
    figure, axes = axes_of(f"Precision and recall on the test window, {int(test.is_fraud.sum()):,} frauds", "recall", "precision")
    axes.step(recall, precision, where="post", label=f"average precision {area:.3f}")
    axes.axhline(chance, color="grey", linestyle="--", label=f"by chance {chance:.3f}")
    at = int(np.searchsorted(levels, threshold))
    if at < len(levels):
        axes.plot(recall[at], precision[at], "o", color="tab:orange", label=f"threshold {threshold:.5f}")
    else:
        axes.plot([], [], " ", label=f"threshold {threshold:.5f}: above every score")
    axes.legend(loc="upper right")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return written(figure, path)


def _reliability(path: Path, scores: Mapping[str, Scored]) -> Path:
    """Bins of equal width, each with how many payments it has: most fall into the first, and a share of five says little."""
    figure, axes = axes_of("Reliability on the test window", "mean score of a bin; numbers: its payments, as calibrated", "share of frauds")
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfect")
    for name, what in scores.items():
        share, score = calibration_curve(what.is_fraud, what.rounded, n_bins=BINS)
        axes.plot(score, share, "o-", label=name)
    counts = np.histogram(what.rounded, bins=BINS, range=(0, 1))[0]
    for x, y, count in zip(score, share, counts[counts > 0], strict=True):
        axes.annotate(f"{count:,}", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=7, color="dimgrey")
    axes.legend()
    return written(figure, path)


def _money(path: Path, validation: Scored, threshold: float, review: Review) -> Path:
    """Net saving at every threshold, by the alerts that it makes: where the best lies, and how flat it is there."""
    levels = np.unique(validation.rounded)
    levels = levels[np.unique(np.linspace(0, len(levels) - 1, LEVELS).astype(np.int64))]
    found = [team_figures(validation, float(level), review.cost) for level in levels]
    money = [one.net_saving_a_day for one in found]
    figure, axes = axes_of(
        f"Alerts and money on the validation window, {review.cost:g} {review.currency} a review",
        "alerts a day",
        f"net saving a day, {review.currency}",
    )
    axes.plot([one.alerts_a_day for one in found], money)
    best, chosen = found[int(np.argmax(money))], team_figures(validation, threshold, review.cost)
    for what, level, color, marker in (
        (best, float(levels[int(np.argmax(money))]), "tab:green", "^"),
        (chosen, threshold, "tab:orange", "o"),
    ):
        word = "chosen" if what is chosen else "saves most"
        told = f"{word}: threshold {level:.5f}, {what.alerts_a_day:,.1f} alerts a day, {what.net_saving_a_day:,.0f} {review.currency}"
        axes.plot(what.alerts_a_day, what.net_saving_a_day, marker, color=color, label=told)
    axes.set(xscale="log", ylim=(min(0, 1.1 * chosen.net_saving_a_day), None))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), fontsize=9)
    return written(figure, path)


def _importance(path: Path, importances: Sequence[tuple[Feature, float]]) -> Path:
    """The largest, each with its name and in words; the rest as one bar: dozens of names do not fit."""
    ranked = sorted(importances, key=lambda pair: -pair[1])
    told, rest = ranked[:MOST_FEATURES], ranked[MOST_FEATURES:]
    labels = [f"{feature.name}\n{shorten(feature.meaning, LONGEST_MEANING, placeholder=' …')}" for feature, _ in told]
    shares = [share for _, share in told]
    if rest:
        labels, shares = [*labels, f"the other {len(rest)} together"], [*shares, sum(share for _, share in rest)]
    figure, axes = axes_of(f"What the model looks at: {len(told)} of its {len(ranked)} features", "share of all importance", "")
    figure.set_size_inches(11, 1.2 + 0.42 * len(labels))
    places = np.arange(len(labels))[::-1]
    bars = axes.barh(places, shares, color=["tab:blue"] * len(told) + ["lightgrey"] * bool(rest))
    axes.bar_label(bars, labels=[f"{share:.1%}" for share in shares], padding=3, fontsize=8)
    axes.set_yticks(places, labels, fontsize=8)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set(xlim=(0, 1.12 * max(shares)), ylim=(-0.6, len(labels) - 0.4))
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
