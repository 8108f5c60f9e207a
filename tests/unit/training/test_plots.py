"""The plots of a training run: what stands on them can be read."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from stream_app.features.definitions import VELOCITY
from training.fitting import plots
from training.fitting.evaluate import scored
from training.fitting.plots import MOST_FEATURES, Review

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures, in place of files."""
    figures: list[Figure] = []

    def kept(figure: Figure, path: Path) -> Path:
        figure.canvas.draw()
        figures.append(figure)
        return path

    monkeypatch.setattr(plots, "written", kept)
    return figures


def test_names_of_features_lie_apart_and_on_the_picture(drawn: list[Figure], tmp_path: Path) -> None:
    """Of 63, the largest with what they mean; the others as one, so that all shares add up to 1."""
    shares = np.arange(len(VELOCITY), dtype=np.float64) / np.arange(len(VELOCITY)).sum()
    plots._importance(tmp_path, list(zip(VELOCITY, shares.tolist(), strict=True)))
    axes: Any = drawn[0].axes[0]
    labels = axes.get_yticklabels()
    assert labels[0].get_text() == f"{VELOCITY[-1].name}\n{VELOCITY[-1].meaning}"
    assert labels[-1].get_text() == f"the other {len(VELOCITY) - MOST_FEATURES} together"
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == MOST_FEATURES + 1
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_money_is_shown_at_the_chosen_threshold_and_where_most_is_saved(drawn: list[Figure], tmp_path: Path) -> None:
    """Ten payments of 100 a day: the two frauds score highest, so two alerts save most, of which one is chosen."""
    rows = np.arange(10)
    what = scored(rows / 16, rows >= 8, np.zeros(10, dtype=np.int64), rows, np.full(10, 100.0))
    plots._money(tmp_path, what, 0.55, Review(5.0, "CHF"))
    axes: Any = drawn[0].axes[0]
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told == [
        "saves most: threshold 0.50000, 2.0 alerts a day, 190 CHF",
        "chosen: threshold 0.55000, 1.0 alerts a day, 95 CHF",
    ]
    assert axes.get_ylabel() == "net saving a day, CHF"
