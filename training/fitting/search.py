"""Which recipe? Chosen on prequential validation folds: each fits on some days and is tested after the gap; all end before the test.

    fold 1    |-- train --|-- gap --|-- test --|
    fold 0           |-- train --|-- gap --|-- test --|     what is reported on begins later

A recipe's figure is the mean of the average precision over the folds. Of equal ones the earlier of the list is taken. Nothing here sees
the test that is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.errors import DataError
from training.data.split import FoldParts
from training.fitting.figures import Figures, figures_of, mean_of
from training.fitting.fit import Hyperparameters, Recipe

if TYPE_CHECKING:
    from training.fitting.bench import Bench


_DEEP: Hyperparameters = {"max_depth": 20, "min_samples_leaf": 1}

SPACE: tuple[Recipe, ...] = tuple(
    Recipe(model=model, parameters=parameters, fraud_weight=weight)
    for model, choices in (
        ("logistic_regression", ({"C": 0.01}, {"C": 1.0})),
        (
            "hist_gradient_boosting",
            (
                {},
                {"max_leaf_nodes": 31, "min_samples_leaf": 20},
                {"max_iter": 200, "max_leaf_nodes": 31, "min_samples_leaf": 20, "max_features": 0.3},
            ),
        ),
        ("extra_trees", ({}, _DEEP, {**_DEEP, "max_features": 0.5})),
        ("random_forest", ({}, _DEEP)),
    )
    for parameters in choices
    for weight in (1.0, 10.0)
)
"""What `--search` tries: cheap kinds first."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A recipe and its figures, mean over the validation folds."""

    recipe: Recipe
    figures: Figures

    def __str__(self) -> str:
        given = {**self.recipe.parameters, "fraud_weight": self.recipe.fraud_weight}
        told = ", ".join(f"{name} {value}" for name, value in given.items())
        found = self.figures
        return (
            f"{self.recipe.model} ({told}): average precision {found.average_precision:.4f}, AUC ROC {found.auc:.4f}, "
            f"card precision@100 {found.card_precision_at_100:.4f}"
        )


def search(
    bench: Bench, folds: Sequence[FoldParts], recipes: Sequence[Recipe], told: Callable[[Tried], None] = lambda _: None
) -> tuple[Tried, ...]:
    """Try every recipe on every fold.

    Args:
        bench: the history.
        folds: the validation folds; at least one.
        recipes: to try.
        told: is given each as it is done.

    Returns:
        The best first.

    Raises:
        DataError: there is no fold to choose on.
    """
    if not folds:
        raise DataError("The history has no validation fold to choose a model on. Give a longer one, or train without --search.")
    tried = []
    for recipe in recipes:
        tried.append(Tried(recipe, mean_of([figures_of(bench.tested(parts, recipe)) for parts in folds])))
        told(tried[-1])
    return tuple(sorted(tried, key=lambda one: -one.figures.average_precision))


def best_of_kind(tried: Sequence[Tried]) -> dict[str, Recipe]:
    """Of each kind of model the best, the best kind first.

    Args:
        tried: the best first.
    """
    found: dict[str, Recipe] = {}
    for one in tried:
        found.setdefault(one.recipe.model, one.recipe)
    return found
