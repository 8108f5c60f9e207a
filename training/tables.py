"""The book's tables, run on a history: every model on every fold, by scikit-learn and by ONNX Runtime.

1. features of the whole history, by the serving code;
2. for each fold and seed: fit, export, score the test by either runtime;
3. figures of a seed are the mean over the folds; a row holds the mean over the seeds and their spread.

The fraud team's figures are the first seed's, at a threshold that is never chosen on the test: see `training.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sklearn.metrics import average_precision_score, roc_auc_score

from stream_app.features.definitions import HANDBOOK, VELOCITY
from stream_app.features.profiles import DEFAULT_PROFILE, HANDBOOK_PROFILE
from training.evaluate import Scored, card_precision, card_ranks, scored, threshold_for
from training.export import check_parity, onnx_scores, onnx_session, to_onnx_model
from training.fit import fit, scores_of
from training.protocol import Figures, FoldParts, parts_of
from training.team import TeamFigures, team_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.definitions import Feature
    from training.backfill import Backfill
    from training.fit import Recipe
    from training.protocol import Fold, Protocol
    from training.split import Part

    type Told = Callable[[str], None]

PROFILES: Mapping[str, tuple[Feature, ...]] = MappingProxyType({HANDBOOK_PROFILE: HANDBOOK, DEFAULT_PROFILE: VELOCITY})
"""Lists of features to measure: the book's own, and what a model is trained on here. Each is the beginning of the latter."""

CHANCE = frozenset({"random_forest", "extra_trees"})
"""Kinds that draw lots: the others are the same with every seed, and fitted once."""


@dataclass(frozen=True, slots=True)
class Row:
    """A model's figures.

    Attributes:
        profile: one of `PROFILES`.
        model: its kind.
        runtime: what scored: sklearn or onnx.
        chosen_on: validation where the book's own validation folds chose it; none where it was taken as the book gives it.
        mean: over the seeds, each the mean over the folds.
        by_seed: of each seed.
        published: the book's; None where it has no such row.
        team: the fraud team's figures, mean over the folds; the first seed's.
    """

    profile: str
    model: str
    runtime: str
    chosen_on: str
    mean: Figures
    by_seed: tuple[Figures, ...]
    published: Figures | None
    team: TeamFigures


@dataclass(frozen=True, slots=True)
class Table:
    """What came of a protocol: its folds with their transactions, the rows, the largest difference of the two runtimes' scores."""

    protocol: Protocol
    folds: tuple[FoldParts, ...]
    rows: tuple[Row, ...]
    parity: float


@dataclass(frozen=True, slots=True)
class _Bench:
    """A history whose features are computed."""

    frame: pd.DataFrame
    features: Backfill

    def vectors(self, part: Part, profile: str) -> Vectors:
        return self.features.vectors[part.rows, : len(PROFILES[profile])]

    def scored(self, part: Part, scores: Floats) -> Scored:
        times, cards = self.frame["event_time"].to_numpy(), card_ranks(self.frame["card_id"])
        return scored(scores, part.is_fraud, times[part.rows], cards[part.rows], self.features.amounts[part.rows])


@dataclass(frozen=True, slots=True)
class _Tried:
    """A fitted model's test, scored by each runtime."""

    by_runtime: Mapping[str, Scored]
    parity: float


def run(
    frame: pd.DataFrame, features: Backfill, protocol: Protocol, profiles: Sequence[str], seeds: int, told: Told = lambda _: None
) -> Table:
    """Run a protocol.

    Args:
        frame: transactions with labels, each fraud known seven days after.
        features: of `VELOCITY`, over that frame.
        protocol: which; its recipes are the models.
        profiles: names in `PROFILES`.
        seeds: how many, from 0 on.
        told: is given each step as it begins.

    Raises:
        DataError: the history does not hold the protocol's days.
        ModelError: ONNX Runtime scores otherwise than scikit-learn.
    """
    bench = _Bench(frame, features)
    folds = tuple(parts_of(frame, fold) for fold in protocol.folds)
    rows: list[Row] = []
    parity = 0.0
    for profile in profiles:
        for recipe in protocol.recipes.values():
            told(f"{profile}, {recipe.model}")
            tried = [
                [_tried(bench, parts, profile, replace(recipe, seed=seed)) for parts in folds]
                for seed in range(seeds if recipe.model in CHANCE else 1)
            ]
            thresholds = [_threshold(bench, fold, profile, recipe) for fold in protocol.folds]
            rows += _rows(protocol, profile, recipe, tried, thresholds)
            parity = max(parity, *(one.parity for seed in tried for one in seed))
    return Table(protocol, folds, tuple(rows), parity)


def figures_of(what: Scored) -> Figures:
    """The book's three figures of one test."""
    return Figures(
        float(roc_auc_score(what.is_fraud, what.rounded)),
        float(average_precision_score(what.is_fraud, what.rounded)),
        card_precision(what),
    )


def mean_of(figures: Sequence[Figures]) -> Figures:
    """The mean of each figure."""
    return Figures(
        fmean(one.auc for one in figures),
        fmean(one.average_precision for one in figures),
        fmean(one.card_precision_at_100 for one in figures),
    )


def _fitted(bench: _Bench, parts: FoldParts, profile: str, recipe: Recipe) -> Any:
    return fit(bench.vectors(parts.train, profile), parts.train.is_fraud, recipe)


def _tried(bench: _Bench, parts: FoldParts, profile: str, recipe: Recipe) -> _Tried:
    model, test = _fitted(bench, parts, profile, recipe), bench.vectors(parts.test, profile)
    exported = to_onnx_model(model, len(PROFILES[profile])).SerializeToString()
    parity = check_parity(model, exported, test)
    scores = {"sklearn": scores_of(model, test), "onnx": onnx_scores(onnx_session(exported), test)}
    return _Tried({runtime: bench.scored(parts.test, values) for runtime, values in scores.items()}, parity)


def _threshold(bench: _Bench, fold: Fold, profile: str, recipe: Recipe) -> float:
    """The threshold of a fold: 1 % of the payments of its training days, scored by a model that was fitted two weeks before."""
    parts = parts_of(bench.frame, fold.earlier)
    scores = scores_of(_fitted(bench, parts, profile, recipe), bench.vectors(parts.test, profile))
    return threshold_for(bench.scored(parts.test, scores))


def _rows(
    protocol: Protocol, profile: str, recipe: Recipe, tried: Sequence[Sequence[_Tried]], thresholds: Sequence[float]
) -> Iterator[Row]:
    for runtime in ("sklearn", "onnx"):
        by_seed = tuple(mean_of([figures_of(one.by_runtime[runtime]) for one in folds]) for folds in tried)
        team = [team_figures(one.by_runtime[runtime], at) for one, at in zip(tried[0], thresholds, strict=True)]
        means = {name: fmean(getattr(one, name) for one in team) for name in TeamFigures.__slots__}
        published = protocol.published.get(recipe.model)
        yield Row(profile, recipe.model, runtime, "none", mean_of(by_seed), by_seed, published, TeamFigures(**means))
