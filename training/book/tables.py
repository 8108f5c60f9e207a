"""The book's tables, run on a history: every model on every fold, by scikit-learn and by ONNX Runtime.

1. features of the whole history, by the serving code;
2. for each fold and seed: fit, export, score the test by either runtime;
3. figures of a seed are the mean over the folds.

With the book's features a row is the book's own protocol, its seed 0 included; with ours it is the mean over the seeds. The spread over the
seeds stands beside either. The fraud team's figures are the first seed's, at a threshold that is never chosen on the test: see
`training.book.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import fmean
from types import MappingProxyType
from typing import TYPE_CHECKING

from stream_app.features.definitions import HANDBOOK, PAYMENTS, VELOCITY
from stream_app.features.profiles import DEFAULT_PROFILE, HANDBOOK_PROFILE, PAYMENTS_PROFILE
from training.book.protocol import parts_of
from training.fitting.bench import Bench
from training.fitting.evaluate import card_ranks, threshold_for
from training.fitting.export import difference_of, onnx_scores, onnx_session, to_onnx_model
from training.fitting.figures import Figures, figures_of, mean_of
from training.fitting.fit import scores_of
from training.fitting.measure import Truth
from training.fitting.team import TeamFigures, team_figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pandas as pd

    from stream_app.features.definitions import Feature
    from training.book.protocol import Protocol
    from training.data.backfill import Backfill
    from training.data.split import FoldParts
    from training.fitting.evaluate import Scored
    from training.fitting.fit import Recipe

    type Told = Callable[[str], None]

PROFILES: Mapping[str, tuple[Feature, ...]] = MappingProxyType(
    {HANDBOOK_PROFILE: HANDBOOK, DEFAULT_PROFILE: VELOCITY, PAYMENTS_PROFILE: PAYMENTS}
)
"""Lists of features to measure: the book's own, and what a model is trained on here. Each is the beginning of the next."""

CHANCE = frozenset({"random_forest", "extra_trees"})
"""Kinds that draw lots: the others are the same with every seed, and fitted once."""


@dataclass(frozen=True, slots=True)
class Row:
    """A model's figures.

    Attributes:
        profile: one of `PROFILES`.
        recipe: what was fitted, with the first seed.
        runtime: what scored: sklearn or onnx.
        by_seed: of each seed, the mean over the folds.
        published: the book's; None where it has no such row.
        team: the fraud team's figures, mean over the folds; the first seed's.
        first: the first fold's test by the first seed, for plots.
    """

    profile: str
    recipe: Recipe
    runtime: str
    by_seed: tuple[Figures, ...]
    published: Figures | None
    team: TeamFigures
    first: Scored

    @property
    def chosen_on(self) -> str:
        """`validation` where the book's validation folds chose the recipe; `none` where it is as the book gives it."""
        return "none" if self.profile == HANDBOOK_PROFILE else "validation"

    @property
    def figures(self) -> Figures:
        """The book's seed with the book's features, the mean over the seeds with ours."""
        return self.by_seed[0] if self.profile == HANDBOOK_PROFILE else mean_of(self.by_seed)


@dataclass(frozen=True, slots=True)
class HandbookTable:
    """What came of a protocol: its folds with their transactions, the rows, the largest difference of the two runtimes' scores."""

    protocol: Protocol
    folds: tuple[FoldParts, ...]
    rows: tuple[Row, ...]
    parity: float


@dataclass(frozen=True, slots=True)
class _Tested:
    """A fitted model's test, scored by each runtime."""

    by_runtime: Mapping[str, Scored]
    parity: float


def run(frame: pd.DataFrame, features: Backfill, protocol: Protocol, profiles: Sequence[str], seeds: int, told: Told) -> HandbookTable:
    """Run a protocol.

    Args:
        frame: transactions with labels, each fraud known seven days after.
        features: of the widest of the profiles, over that frame.
        protocol: which; its recipes are the models.
        profiles: names in `PROFILES`.
        seeds: how many, from 0 on.
        told: is given each step as it begins.

    Raises:
        DataError: the history does not hold the protocol's days.
        ModelError: ONNX Runtime scores otherwise than scikit-learn.
    """
    folds = tuple(parts_of(frame, fold) for fold in protocol.folds)
    rows: list[Row] = []
    parity = 0.0
    for profile in profiles:
        bench = bench_of(frame, features, profile)
        for recipe in protocol.of(profile).values():
            told(f"{profile}, {recipe.model}")
            tested = [
                [_tested(bench, parts, replace(recipe, seed=seed)) for parts in folds]
                for seed in range(seeds if recipe.model in CHANCE else 1)
            ]
            thresholds = [threshold_for(one) for one in _earlier(frame, bench, protocol, recipe, tested[0])]
            rows += _rows(protocol, profile, recipe, tested, thresholds)
            parity = max(parity, *(one.parity for seed in tested for one in seed))
    return HandbookTable(protocol, folds, tuple(rows), parity)


def bench_of(frame: pd.DataFrame, features: Backfill, profile: str) -> Bench:
    """The history with the features of one profile."""
    truth = Truth(frame["event_time"].to_numpy(), card_ranks(frame["card_id"]), features.amounts)
    return Bench(features.vectors[:, : len(PROFILES[profile])], truth)


def _tested(bench: Bench, parts: FoldParts, recipe: Recipe) -> _Tested:
    model, test = bench.fitted(parts, recipe), bench.vectors[parts.test.rows]
    session = onnx_session(to_onnx_model(model, bench.vectors.shape[1]).SerializeToString())
    scores = {"sklearn": scores_of(model, test), "onnx": onnx_scores(session, test)}
    parity = difference_of(scores["sklearn"], scores["onnx"])
    return _Tested({runtime: bench.scored(parts.test, values) for runtime, values in scores.items()}, parity)


def _earlier(frame: pd.DataFrame, bench: Bench, protocol: Protocol, recipe: Recipe, tested: Sequence[_Tested]) -> Iterator[Scored]:
    """Of each fold, its training days, scored by a model that was fitted two weeks before: its threshold is 1 % of them.

    Where that is another fold's test, as in chapter 5, it has been scored already: `tested` holds the folds with the first seed.
    """
    done = dict(zip(protocol.folds, tested, strict=True))
    for fold in protocol.folds:
        before = done.get(fold.earlier)
        yield before.by_runtime["sklearn"] if before else bench.tested(parts_of(frame, fold.earlier), recipe)


def _rows(
    protocol: Protocol, profile: str, recipe: Recipe, tested: Sequence[Sequence[_Tested]], thresholds: Sequence[float]
) -> Iterator[Row]:
    for runtime in ("sklearn", "onnx"):
        by_seed = tuple(mean_of([figures_of(one.by_runtime[runtime]) for one in folds]) for folds in tested)
        team = [team_figures(one.by_runtime[runtime], at) for one, at in zip(tested[0], thresholds, strict=True)]
        means = TeamFigures(**{name: fmean(getattr(one, name) for one in team) for name in TeamFigures.__slots__})
        published = protocol.published.get(recipe.model) if profile == HANDBOOK_PROFILE else protocol.best
        yield Row(profile, recipe, runtime, by_seed, published, means, tested[0][0].by_runtime[runtime])
