"""Plots of a table of the book, as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import precision_recall_curve

from training.fitting.plots import axes_of, written

if TYPE_CHECKING:
    from pathlib import Path

    from training.book.tables import HandbookTable

FIGURES = {"auc": "AUC ROC", "average_precision": "average precision", "card_precision_at_100": "card precision@100"}


def draw_table(out: Path, table: HandbookTable) -> tuple[Path, ...]:
    """Write the figures beside the published, and precision against recall of the first test, beside the file `out`.

    Returns:
        The files.
    """
    return *(_figures(out, table, name) for name in FIGURES), _curves(out, table)


def _figures(out: Path, table: HandbookTable, name: str) -> Path:
    """A bar a model, the range over its seeds, the published figure as a line across it."""
    rows = [row for row in table.rows if row.runtime == "onnx"]
    figure, axes = axes_of(f"{table.protocol.name}: {FIGURES[name]}", FIGURES[name], "")
    places = np.arange(len(rows))[::-1]
    found = np.array([getattr(row.figures, name) for row in rows])
    seeds = [[getattr(one, name) for one in row.by_seed] for row in rows]
    ranges = np.array([[max(0, at - min(all_)), max(0, max(all_) - at)] for at, all_ in zip(found, seeds, strict=True)]).T
    axes.barh(places, found, xerr=ranges, height=0.6)
    for place, row in zip(places, rows, strict=True):
        if row.published:
            axes.plot([getattr(row.published, name)] * 2, [place - 0.4, place + 0.4], color="black")
    axes.set_yticks(places, [f"{row.recipe.model}, {row.profile}" for row in rows])
    axes.set(xlim=(found.min() * 0.9, found.max() * 1.05))
    return written(figure, out.with_suffix(f".{name}.png"))


def _curves(out: Path, table: HandbookTable) -> Path:
    figure, axes = axes_of(f"{table.protocol.name}: test {table.folds[0].test.window.dates()}", "recall", "precision")
    for row in table.rows:
        if row.runtime == "onnx":
            precision, recall, _ = precision_recall_curve(row.first.is_fraud, row.first.rounded)
            axes.step(recall, precision, where="post", label=f"{row.recipe.model}, {row.profile}")
    axes.legend()
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    return written(figure, out.with_suffix(".precision_recall.png"))
