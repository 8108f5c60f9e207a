"""The protocols of the Fraud Detection Handbook's tables, and the transactions that each fold fits and scores.

    |-- train 7 days --|-- delay 7 days --|-- test 7 days --|

In training every fraud is known. On each day of a test the cards are left out that had a fraud in the training days, or on any day up to
eight days before: their frauds are known by then, and the bank has blocked them. Chapter 3 has one fold. Chapter 5 has four, a week
apart, and reports the mean over them; choices are made on four folds of their own that end before the first test begins.

Each fold has an `earlier` one, two weeks before: a model fitted there is tested in the fold's own training days. The threshold of the
fold is taken from those scores, so that it is never chosen on the test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.features.profiles import DEFAULT_PROFILE, HANDBOOK_PROFILE, PAYMENTS_PROFILE
from training.data.split import FoldParts, Part, Window, known_cards
from training.fitting.figures import Figures
from training.fitting.fit import Recipe

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pandas as pd

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7


@dataclass(frozen=True, slots=True)
class Fold:
    """One training and the test after it; `start_ms` is the first moment of the training days."""

    start_ms: int

    @property
    def train(self) -> Window:
        """The days to fit on."""
        return Window("train", self.start_ms, self.start_ms + TRAIN_DAYS * DAY_MS)

    @property
    def test(self) -> Window:
        """The days to score, once the labels of the training days are in."""
        begins = self.start_ms + (TRAIN_DAYS + DELAY_DAYS) * DAY_MS
        return Window("test", begins, begins + TEST_DAYS * DAY_MS)

    @property
    def earlier(self) -> Fold:
        """The fold whose test is this one's training days."""
        return Fold(self.start_ms - (TRAIN_DAYS + DELAY_DAYS) * DAY_MS)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A table of the book.

    Attributes:
        name: as the command takes it.
        folds: the tests that are reported, in the book's order.
        validation: the folds to choose on.
        profiles: of features, that are measured where none is asked for.
        seeds: of the forests, where no number is asked for.
        recipes: our models for its rows, with the book's parameters where it has the model.
        chosen: our models for our own features, each the best of its kind on the validation folds; see `training.fitting.search`.
        published: the book's figures by model.
        best: the book's figures of the model it chose on validation; None where it chose none.
        expected: transactions and frauds of (train, test) of each fold on the Handbook's own data; those that are published.
    """

    name: str
    folds: tuple[Fold, ...]
    validation: tuple[Fold, ...]
    profiles: tuple[str, ...]
    seeds: int
    recipes: Mapping[str, Recipe]
    chosen: Mapping[str, Recipe]
    published: Mapping[str, Figures]
    best: Figures | None = None
    expected: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()

    def of(self, profile: str) -> Mapping[str, Recipe]:
        """The models of a profile's rows, by kind."""
        return self.recipes if profile == HANDBOOK_PROFILE else self.chosen

    def only(self, models: Collection[str]) -> Protocol:
        """The protocol with these kinds of models alone."""
        recipes, chosen = ({name: one[name] for name in one if name in models} for one in (self.recipes, self.chosen))
        return replace(self, recipes=recipes, chosen=chosen)


def parts_of(frame: pd.DataFrame, fold: Fold) -> FoldParts:
    """The transactions of a fold: rows to fit on and rows to score.

    Args:
        frame: transactions with labels, each fraud known seven days after.
        fold: the days.

    Raises:
        DataError: the history does not hold these days, or they hold no fraud.
    """
    times, is_fraud = frame["event_time"].to_numpy(), frame["is_fraud"].to_numpy()
    out = known_cards(frame, fold.test)
    parts = []
    for window, within in ((fold.train, fold.train.holds(times)), (fold.test, fold.test.holds(times) & ~out)):
        rows = np.flatnonzero(within)
        part = Part(window, rows, is_fraud[rows])
        if not 0 < part.frauds < len(rows):
            raise DataError(
                f"The {window} has {len(rows)} transactions, {part.frauds} of them frauds: the protocol cannot be run on this history. "
                "Give the Handbook's data, 2018-04-01 to 2018-09-30, or measure your own with `python -m training.train`."
            )
        parts.append(part)
    return FoldParts(*parts)


def _starts(*days: str) -> tuple[Fold, ...]:
    return tuple(Fold(int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000) for day in days)


_BOOSTING, _EXTRA = "hist_gradient_boosting", "extra_trees"
_FULL_TREES: dict[str, int | None] = {"n_estimators": 100, "max_depth": None, "min_samples_leaf": 1}
_DEPTH_20: dict[str, int | None] = {"n_estimators": 100, "max_depth": 20, "min_samples_leaf": 1}

_VALIDATION = _starts("2018-07-11", "2018-07-04", "2018-06-27", "2018-06-20")
_CHOSEN: Mapping[str, Recipe] = MappingProxyType(
    {
        "random_forest": Recipe(model="random_forest", parameters={"max_depth": 20, "min_samples_leaf": 1}),
        _EXTRA: Recipe(model=_EXTRA, parameters={"max_depth": 20, "min_samples_leaf": 1, "max_features": 0.5}),
        _BOOSTING: Recipe(
            model=_BOOSTING,
            parameters={"max_iter": 200, "max_leaf_nodes": 31, "min_samples_leaf": 20, "max_features": 0.3},
            fraud_weight=10.0,
        ),
        "logistic_regression": Recipe(model="logistic_regression", parameters={"C": 1.0}),
    }
)
"""Of each kind the best on these folds, with our own features: what `fraudstream evaluate --search` finds."""

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "handbook-ch3": Protocol(
            name="handbook-ch3",
            folds=_starts("2018-07-25"),
            validation=_VALIDATION,
            profiles=(HANDBOOK_PROFILE,),
            seeds=3,
            recipes=MappingProxyType(
                {
                    "logistic_regression": Recipe(model="logistic_regression"),
                    "random_forest": Recipe(model="random_forest", parameters=_FULL_TREES),
                    _EXTRA: Recipe(model=_EXTRA, parameters=_FULL_TREES),
                    _BOOSTING: Recipe(model=_BOOSTING),
                }
            ),
            chosen=_CHOSEN,
            published=MappingProxyType(
                {"logistic_regression": Figures(0.871, 0.606, 0.291), "random_forest": Figures(0.867, 0.658, 0.287)}
            ),
            expected=(((67_240, 598), (58_264, 385)),),
        ),
        "handbook-ch5": Protocol(
            name="handbook-ch5",
            folds=_starts("2018-08-15", "2018-08-08", "2018-08-01", "2018-07-25"),
            validation=_VALIDATION,
            profiles=(HANDBOOK_PROFILE, DEFAULT_PROFILE, PAYMENTS_PROFILE),
            seeds=5,
            recipes=MappingProxyType(
                {
                    "logistic_regression": Recipe(model="logistic_regression"),
                    "random_forest": Recipe(model="random_forest", parameters=_DEPTH_20),
                    _EXTRA: Recipe(model=_EXTRA, parameters=_DEPTH_20),
                    _BOOSTING: Recipe(model=_BOOSTING),
                }
            ),
            chosen=_CHOSEN,
            published=MappingProxyType({"random_forest": Figures(0.870, 0.678, 0.299)}),
            best=Figures(0.869, 0.687, 0.303),
        ),
    }
)
"""The tables that can be run, by name."""
