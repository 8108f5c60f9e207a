"""Which contributions become reasons; contributions along the path and Shapley values, against brute force."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.explaining.contributions import LEAF, NODE, Linear, Trees, settled
from stream_app.explaining.reason_codes import reason_code
from stream_app.explaining.reasons import LEAST_SHARE, REASONS_PER_ALERT, Reasons
from stream_app.explaining.sentences import Usual
from stream_app.explaining.shapley import shapley
from stream_app.features.aggregations import DAY_S, DELAY_S, HOUR_S
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import PAYMENTS, Feature

AMOUNT, COUNT = Feature("amount"), Feature("count", "card", DAY_S)
UNKNOWN = Usual(0, 0)
FEATURES = 4


class _Apart(Reasons):
    """Reasons of features of which each has a code of its own."""

    def __init__(self, features: list[Feature], contributions: Callable[[Vectors], Floats]) -> None:
        super().__init__(features, contributions)
        self._codes = [feature.name for feature in features]


def told(*added: float) -> list[float]:
    """The contributions of the reasons of one decision."""
    features = [Feature("attributes", field=f"v{n}") for n in range(len(added))]
    vectors = np.arange(len(added), dtype=np.float32)[None]
    [found] = _Apart(features, lambda _: np.array([added])).of(vectors, [UNKNOWN], "EUR")
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


@given(st.lists(st.integers(-20, 100).map(float), min_size=len(PAYMENTS), max_size=len(PAYMENTS)))
def test_no_code_is_told_twice_and_of_each_the_strongest_speaks(added: list[float]) -> None:
    """Of every list: three codes, or fewer where fewer raise the score enough; the strongest feature of the decision comes first."""
    vectors = np.full((1, len(PAYMENTS)), 7, dtype=np.float32)
    [found] = Reasons(PAYMENTS, lambda _: np.array([added])).of(vectors, [UNKNOWN], "EUR")
    least = LEAST_SHARE * sum(x for x in added if x > 0)
    best = {reason_code(f): max(x for x, g in zip(added, PAYMENTS, strict=True) if reason_code(g) == reason_code(f)) for f in PAYMENTS}
    enough = sorted((x for x in best.values() if x > 0 and (x >= least or x == max(added))), reverse=True)
    assert [r.contribution for r in found] == enough[:REASONS_PER_ALERT]
    assert all(best[r.code] == r.contribution == added[[f.name for f in PAYMENTS].index(r.feature)] for r in found)
    assert len({r.code for r in found}) == len(found)


RISK, KNOWN = (Feature(name, "terminal", 30 * DAY_S, DELAY_S) for name in ("risk", "count"))
MEAN, LATELY = (Feature(name, "card", HOUR_S) for name in ("mean_amount", "count"))


def texts(features: list[Feature], vector: list[float], *added: float) -> list[tuple[str, float, str]]:
    """Code, contribution and sentence of each reason of one decision."""
    [found] = Reasons(features, lambda _: np.array([added])).of(np.array([vector], dtype=np.float32), [UNKNOWN], "EUR")
    return [(r.code, r.contribution, r.text) for r in found]


def test_a_risk_says_of_how_many_payments_it_is_where_the_model_counts_them() -> None:
    """The same window's count is the evidence; of a model without it the share stands alone."""
    (_, _, text), *_ = texts([KNOWN, RISK], [9, 7 / 9], 0.0, 1.0)
    assert text == "7 of the 9 payments of this terminal in the 30 days that ended a week ago were fraud."
    (_, _, text), *_ = texts([Feature("count", "terminal", 30 * DAY_S), RISK], [9, 7 / 9], 0.0, 1.0)
    assert text == "78% of this terminal's payments in the 30 days that ended a week ago were fraud."


def test_a_mean_of_the_payment_alone_is_its_amount() -> None:
    """The payment is not its own explanation: what such a mean added counts for the amount; a mean of others, or of several, stands."""
    features = [AMOUNT, LATELY, MEAN]
    assert texts(features, [347.5, 1, 347.5], 0.1, 0.0, 0.3) == [("AMOUNT", 0.4, "The amount is 347.50 EUR.")]
    assert [code for code, *_ in texts(features, [347.5, 2, 347.5], 0.1, 0.0, 0.3)] == ["CARD_SPEND", "AMOUNT"]
    assert [code for code, *_ in texts(features, [347.5, 1, 20.0], 0.1, 0.0, 0.3)] == ["CARD_SPEND", "AMOUNT"]
    assert [code for code, *_ in texts([LATELY, MEAN], [1, 347.5], 0.0, 0.3)] == ["CARD_SPEND"]
    assert [code for code, *_ in texts([AMOUNT, MEAN], [347.5, 347.5], 0.1, 0.3)] == ["CARD_SPEND", "AMOUNT"]


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
