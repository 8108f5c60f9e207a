"""Which contributions become reasons; contributions along the path and Shapley values, against brute force."""

from __future__ import annotations

from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.explaining.contributions import LEAF, NODE, Linear, Trees, settled
from stream_app.explaining.reasons import LEAST_SHARE, REASONS_PER_ALERT, Reasons
from stream_app.explaining.sentences import Usual
from stream_app.explaining.shapley import shapley
from stream_app.features.aggregations import DAY_S
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import VELOCITY, Feature

AMOUNT, COUNT = Feature("amount"), Feature("count", "card", DAY_S)
UNKNOWN = Usual(0, 0)
FEATURES = 4


def told(*added: float) -> list[float]:
    """The contributions of the reasons of one decision."""
    features = [f for f in VELOCITY if f.entity != "terminal"][: len(added)]
    vectors = np.arange(len(added), dtype=np.float32)[None]
    [found] = Reasons(features, lambda _: np.array([added])).of(vectors, [UNKNOWN], "EUR")
    names = [f.name for f in features]
    assert all(added[names.index(r.feature)] == r.contribution and r.value == names.index(r.feature) for r in found)
    return [r.contribution for r in found]


@given(st.lists(st.integers(-20, 100).map(float), min_size=5, max_size=5))
def test_reasons_are_the_three_largest_contributions_to_risk(added: list[float]) -> None:
    """None of those that lower the score, however large; nor one below 5 % of all that raise it, but the strongest."""
    least = LEAST_SHARE * sum(x for x in added if x > 0)
    largest = sorted(added, reverse=True)[:REASONS_PER_ALERT]
    assert told(*added) == [x for x in largest if x > 0 and (x >= least or x == largest[0])]


@pytest.mark.parametrize(
    ("added", "reasons"),
    [
        ((90, 6, 4, 0, 0), [90, 6]),  # 4 of 100 are less than the least share
        ((90, 5, 5, 0, 0), [90, 5, 5]),
        ((30, 30, 20, 20, 0), [30, 30, 20]),
        ((90, 6, 4, -80, -19), [90, 6]),  # what lowers the score makes no reason of what hardly raises it
        ((-1, -2, 0, -4, -5), []),
    ],
)
def test_what_hardly_raises_the_score_is_no_reason(added: tuple[float, ...], reasons: list[float]) -> None:
    """Under 5 % of what raises it is left out, and never more than three are told."""
    assert told(*added) == reasons


def test_an_alert_of_many_small_contributions_has_the_strongest_as_its_reason() -> None:
    """Twenty features that add 4 to 5 % each would leave an alert without a word."""
    assert told(4.9, *[4.0] * 20) == [4.9]


def test_each_decision_has_the_reasons_of_its_own_row() -> None:
    """Three decisions in one call: what explains one does not explain the other."""
    vectors = np.array([[5, 0], [0, 7], [0, 0]], dtype=np.float32)
    first, second, none = Reasons([AMOUNT, COUNT], lambda rows: rows.astype(np.float64)).of(vectors, [UNKNOWN] * 3, "EUR")
    assert [(r.code, r.contribution) for r in first] == [("AMOUNT", 5)]
    assert [(r.code, r.contribution) for r in second] == [("CARD_VELOCITY", 7)]
    assert none == ()


@st.composite
def ensembles(draw: st.DrawFn) -> tuple[Trees, Vectors]:
    """Up to three trees of depth up to 5 over four features, each asked any number of times, and three payments."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grown: list[tuple[Any, ...]] = []
    roots = [_grow(grown, rng, int(rng.integers(0, 6))) for _ in range(draw(st.integers(1, 3)))]
    trees = Trees(settled(np.array(grown, dtype=NODE)), np.array(roots), float(rng.normal()))
    return trees, rng.integers(-3, 4, (3, FEATURES)).astype(np.float32)


def _grow(grown: list[tuple[Any, ...]], rng: np.random.Generator, depth: int) -> int:
    at = len(grown)
    grown.append((LEAF, 0, 0, 0.0, rng.normal(), float(rng.integers(1, 9))))
    if depth and rng.random() > 0.2:
        low, high = _grow(grown, rng, depth - 1), _grow(grown, rng, depth - 1)
        grown[at] = (rng.integers(FEATURES), low, high, float(rng.integers(-3, 4)), 0.0, grown[low][5] + grown[high][5])
    return at


def worth(trees: Trees, at: int, row: Vectors, known: set[int]) -> float:
    """What a tree is expected to say when only these features are known: both branches count by cover where the asked one is not."""
    node = trees.nodes[at]
    if node["feature"] == LEAF:
        return float(node["value"])
    low, high = (worth(trees, int(node[side]), row, known) for side in ("low", "high"))
    if node["feature"] in known:
        return low if row[node["feature"]] <= node["split"] else high
    covers = trees.nodes["cover"][[node["low"], node["high"]]]
    return float(np.average([low, high], weights=covers))


def due(trees: Trees, row: Vectors, feature: int) -> float:
    """A Shapley value by its definition: over all coalitions of the other features."""
    others, total = [f for f in range(FEATURES) if f != feature], 0.0
    for size in range(FEATURES):
        share = factorial(size) * factorial(FEATURES - 1 - size) / factorial(FEATURES)
        for some in combinations(others, size):
            with_it, without = ({*some, feature}, set(some))
            total += share * sum(worth(trees, root, row, with_it) - worth(trees, root, row, without) for root in trees.roots)
    return total


def raw(trees: Trees, row: Vectors) -> float:
    """The raw score: every feature is known."""
    return trees.base + sum(worth(trees, root, row, set(range(FEATURES))) for root in trees.roots)


@given(ensembles())
def test_both_kinds_of_contributions_add_up_to_the_raw_score(case: tuple[Trees, Vectors]) -> None:
    """With what is expected of a payment of which nothing is known."""
    trees, rows = case
    assert trees.expected == pytest.approx(trees.base + sum(worth(trees, root, rows[0], set()) for root in trees.roots))
    for found in (trees.contributions(rows), shapley(trees, rows)):
        for row, added in zip(rows, found, strict=True):
            assert trees.expected + added.sum() == pytest.approx(raw(trees, row))


@given(ensembles())
def test_shapley_values_are_those_of_their_definition(case: tuple[Trees, Vectors]) -> None:
    """Each feature's mean worth over all orders, by brute force."""
    trees, rows = case
    found = shapley(trees, rows)
    expected: Floats = np.array([[due(trees, row, feature) for feature in range(FEATURES)] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_step_down_the_path_belongs_to_the_feature_that_was_asked() -> None:
    """One tree, by hand; covers in brackets, so that the nodes' means are 0.3 and 0.5.

    amount <= 10? (10)    yes: 0.0 (4)
                          no:  count <= 3? (6)    yes: 0.2 (4)
                                                  no:  1.1 (2)
    """  # fmt: skip
    rows = [(0, 1, 2, 10, 0, 10), (LEAF, 0, 0, 0, 0.0, 4), (1, 3, 4, 3, 0, 6), (LEAF, 0, 0, 0, 0.2, 4), (LEAF, 0, 0, 0, 1.1, 2)]
    tree = Trees(settled(np.array(rows, dtype=NODE)), np.array([0]), 0.0)
    assert tree.expected == pytest.approx(0.3)
    found = tree.contributions(np.array([[10, 9], [11, 3], [11, 4]], dtype=np.float32))
    np.testing.assert_allclose(found, [[-0.3, 0], [0.2, -0.3], [0.2, 0.6]], atol=1e-12)


def test_a_linear_model_gives_each_feature_its_weight_times_its_distance_from_the_mean() -> None:
    """Twice 3 above the mean, minus once 1 below it."""
    model = Linear(np.array([2.0, -1.0]), np.array([1.0, 5.0]), 0.5)
    rows = np.array([[4, 4]], dtype=np.float32)
    np.testing.assert_array_equal(model.contributions(rows), [[6.0, 1.0]])
    np.testing.assert_array_equal(shapley(model, rows), [[6.0, 1.0]])
