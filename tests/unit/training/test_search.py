"""The search of a recipe: on validation folds that end before the test, the best average precision first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from training.data.split import FoldParts, Split, prequential
from training.fitting.bench import Bench
from training.fitting.fit import KINDS, Recipe
from training.fitting.measure import Truth
from training.fitting.search import SPACE, best_of_kind, search

if TYPE_CHECKING:
    from stream_app.features.plan import Ints

SPLIT = Split(train_days=7, gap_days=2, validation_days=3, test_days=3)
DEEP = Recipe(model="extra_trees", parameters={"n_estimators": 10})
FLAT = Recipe(model="extra_trees", parameters={"n_estimators": 10, "min_samples_leaf": 1500})
LINE = Recipe(model="logistic_regression")


def history(days: int = 40, a_day: int = 50) -> pd.DataFrame:
    """Cards of one payment each; every tenth is a fraud, known two days after."""
    rows = np.arange(days * a_day)
    times = rows // a_day * DAY_MS + rows % a_day
    return pd.DataFrame(
        {
            "event_time": times,
            "card_id": pd.Categorical([f"C{row:05d}" for row in rows.tolist()]),
            "is_fraud": rows % 10 == 0,
            "labelled_at": pd.array(times + 2 * DAY_MS, dtype="Int64"),
        }
    )


def bench(frame: pd.DataFrame) -> Bench:
    """Two features whose product tells the frauds apart: trees see it, a line does not."""
    rng = np.random.default_rng(3)
    sides = rng.choice([-1.0, 1.0], len(frame))
    same = np.where(frame["is_fraud"], sides, -sides)
    cards: Ints = np.arange(len(frame))
    truth = Truth(frame["event_time"].to_numpy(), cards, np.ones(len(frame)))
    return Bench(np.column_stack([sides, same]).astype(np.float32), truth)


@pytest.fixture
def folds() -> tuple[FoldParts, ...]:
    """Three of the history above."""
    frame = history()
    return prequential(frame, SPLIT.windows(0, 40 * DAY_MS - 1), 3)


def test_folds_lie_a_validation_window_apart_and_end_before_the_test(folds: tuple[FoldParts, ...]) -> None:
    """Forty days, the test being the last three.

    day      17 18 .. 25 26 .. 32 33 .. 37 .. 39
    fold 0   ..      [train 23-29] [32-34] [test 37-39]
    fold 1        [train 20-26] [29-31]
    """
    days = [(parts.train.window.start_ms // DAY_MS, parts.test.window.start_ms // DAY_MS) for parts in folds]
    assert days == [(23, 32), (20, 29), (17, 26)]
    assert max(parts.test.window.end_ms for parts in folds) <= 37 * DAY_MS
    assert folds[0].counts == ((350, 35), (150, 15))


def test_a_fold_before_the_history_is_left_out() -> None:
    """Twenty days hold two folds, not three."""
    frame = history(days=20)
    assert len(prequential(frame, SPLIT.windows(0, 20 * DAY_MS - 1), 3)) == 2


def test_what_was_not_known_yet_trains_nothing() -> None:
    """Frauds labelled after the fold's validation began count as genuine there."""
    frame = history()
    frame["labelled_at"] = (frame["event_time"] + 4 * DAY_MS).astype("Int64")
    first = prequential(frame, SPLIT.windows(0, 40 * DAY_MS - 1), 1)[0]
    assert first.train.frauds == 5 * 5


def test_the_best_on_the_folds_comes_first(folds: tuple[FoldParts, ...]) -> None:
    """A forest that sees the product, before one that may not split and a line that cannot see it."""
    tried = search(bench(history()), folds, [LINE, FLAT, DEEP])
    assert tried[0].recipe == DEEP
    assert tried[0].figures.average_precision > 0.99
    assert tried[1].figures.average_precision < 0.7
    assert best_of_kind(tried) == {"extra_trees": DEEP, "logistic_regression": LINE}


def test_the_truth_of_the_test_chooses_nothing(folds: tuple[FoldParts, ...]) -> None:
    """With every truth of the reported days turned around, the same figures come out."""
    turned = history()
    late = turned["event_time"] >= 37 * DAY_MS
    turned.loc[late, "is_fraud"] = ~turned.loc[late, "is_fraud"]
    again = prequential(turned, SPLIT.windows(0, 40 * DAY_MS - 1), 3)
    assert search(bench(history()), again, [LINE, DEEP]) == search(bench(history()), folds, [LINE, DEEP])


def test_without_a_fold_there_is_nothing_to_choose_on() -> None:
    """With the remedy."""
    with pytest.raises(DataError, match="Give a longer one, or train without --search"):
        search(bench(history()), (), [LINE])


def test_every_kind_is_searched_with_and_without_weights() -> None:
    """And each recipe of the list can be made. Those of the extra `boosting` may not be installed, and are not searched."""
    assert {recipe.model for recipe in SPACE} == set(KINDS) - {"lightgbm", "xgboost"}
    assert {recipe.fraud_weight for recipe in SPACE} == {1.0, 10.0}
    assert len({str(recipe.described()) for recipe in SPACE}) == len(SPACE)
