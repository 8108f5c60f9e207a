"""Drift: nothing where nothing changed, much where a feature did, a day and no more, and the same as the textbook's sum."""

from __future__ import annotations

import math
from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.features.aggregations import DAY_S
from stream_app.features.definitions import Feature
from stream_app.features.model_metadata import Baseline, ModelMetadata
from stream_app.scoring.drift import HOURS, LEAST_ROWS, MOST_ROWS_A_BATCH, Drift
from tests.unit.scoring.test_scorer import HOUR, START, FakeModel
from training.fitting.baseline import BINS, baseline_of

FEATURES = (Feature("amount"), Feature("weekend"), Feature("count", "card", DAY_S))
METADATA: ModelMetadata = msgspec.structs.replace(FakeModel.metadata, features=tuple((f.name, f.hash) for f in FEATURES))
AMOUNT, COUNT = FEATURES[0].name, FEATURES[2].name


def rows(count: int, seed: int = 1, *, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and scores: amounts of a gamma distribution, weekends, counts of a Poisson distribution."""
    random = np.random.default_rng(seed)
    columns = [factor * random.gamma(2, 20, count), random.random(count) < 0.3, random.poisson(2, count)]
    return np.column_stack(columns).astype(np.float32), random.beta(1, 20, count).astype(np.float32)


PARTS = 16 * MOST_ROWS_A_BATCH
"""The least number of rows, in batches that are looked at as a whole, that an index is taken of."""


def fed(drift: Drift, vectors: np.ndarray, scores: np.ndarray, at_ms: int = START) -> Drift:
    """All rows in batches that are looked at as a whole; what is left over waits."""
    for begin in range(0, len(scores), MOST_ROWS_A_BATCH):
        part = slice(begin, begin + MOST_ROWS_A_BATCH)
        drift.add(vectors[part], scores[part], np.full(len(scores[part]), at_ms))
    return drift


def drift() -> Drift:
    """Against 20,000 rows."""
    return Drift(METADATA, baseline_of(*rows(20_000)))


def test_the_same_payments_show_nothing() -> None:
    """Other draws of the same; the calendar is left out, the score is not."""
    found = fed(drift(), *rows(5_000, seed=2)).indices()
    assert set(found) == {AMOUNT, COUNT, "score"}
    assert all(0 <= value < 0.02 for value in found.values()), found


def test_amounts_in_another_unit_show_and_nothing_else_does() -> None:
    """Cents in place of euros."""
    found = fed(drift(), *rows(5_000, seed=2, factor=100)).indices()
    assert found[AMOUNT] > 1
    assert found[COUNT] < 0.02


def test_few_payments_show_no_index() -> None:
    """It would be noise."""
    followed = fed(drift(), *rows(PARTS - 1))
    assert followed.indices() == {}
    assert followed.rows == PARTS - MOST_ROWS_A_BATCH < LEAST_ROWS
    assert fed(followed, *rows(1)).indices() != {}
    assert followed.rows == PARTS


def test_a_day_counts_and_no_more() -> None:
    """What drifted is forgotten a day later, hour by hour.

    hour   0         1 … 23     24
           cents     euros      euros → the cents have left
    """
    followed = fed(drift(), *rows(3 * PARTS, factor=100))
    fed(followed, *rows(3 * PARTS, seed=3), at_ms=START + (HOURS - 1) * HOUR)
    assert followed.indices()[AMOUNT] > 0.25
    fed(followed, *rows(64, seed=4), at_ms=START + HOURS * HOUR)
    assert followed.rows == 3 * PARTS + 64
    assert followed.indices()[AMOUNT] < 0.02


def test_payments_a_day_behind_are_left_out() -> None:
    """Their hour has left; it must not be counted in the place of another."""
    followed = fed(drift(), *rows(2 * PARTS), at_ms=START + HOURS * HOUR)
    fed(followed, *rows(2 * PARTS, factor=100), at_ms=START)
    assert followed.rows == 2 * PARTS


@given(hours=st.lists(st.integers(0, 80), min_size=1, max_size=30))
def test_what_is_counted_is_what_lies_within_the_day(hours: list[int]) -> None:
    """Whatever the order of the hours: a batch each, against the plain rule."""
    followed, newest, kept = drift(), 0, list[int]()
    vectors, scores = rows(MOST_ROWS_A_BATCH)
    for hour in hours:
        fed(followed, vectors, scores, START + hour * HOUR)
        newest = max(newest, hour)
        kept = [h for h in [*kept, hour] if h > newest - HOURS]
        assert followed.rows == MOST_ROWS_A_BATCH * len(kept)


@given(
    wild=st.lists(st.integers(-200 * 24, 200 * 24), min_size=1, max_size=MOST_ROWS_A_BATCH // 2 - 1), seed=st.randoms(use_true_random=False)
)
def test_payments_with_a_wild_time_blind_nobody(wild: list[int], seed: Random) -> None:
    """Fewer than half of each batch, however far ahead or behind: the others are counted at their hour, and so are those that follow."""
    followed = drift()
    vectors, scores = rows(MOST_ROWS_A_BATCH)
    times = START + HOUR * np.array(wild + [0] * (MOST_ROWS_A_BATCH - len(wild)))
    for n in range(3):
        seed.shuffle(order := list(range(len(times))))
        followed.add(vectors, scores, times[order])
        assert followed.rows == (n + 1) * MOST_ROWS_A_BATCH
    assert fed(followed, vectors, scores).rows == 4 * MOST_ROWS_A_BATCH


def test_one_payment_far_ahead_blinds_nobody_though_it_comes_alone() -> None:
    """It waits for others, and they say what hour it is."""
    followed = drift()
    followed.add(*rows(1), np.array([START + 129 * 24 * HOUR]))
    fed(followed, *rows(2 * PARTS))
    assert followed.rows >= 2 * PARTS - MOST_ROWS_A_BATCH


def test_of_a_large_batch_every_nth_is_looked_at() -> None:
    """The work of a batch is bounded."""
    followed = drift()
    vectors, scores = rows(10 * MOST_ROWS_A_BATCH)
    followed.add(vectors, scores, np.full(len(scores), START))
    assert followed.rows == MOST_ROWS_A_BATCH


def whole(now: tuple[int, ...]) -> tuple[int, ...]:
    """As many more as leave none waiting."""
    return (now[0] + -sum(now) % MOST_ROWS_A_BATCH, *now[1:])


@given(
    now=st.tuples(*4 * (st.integers(0, LEAST_ROWS),)).filter(lambda now: sum(now) >= LEAST_ROWS).map(whole),
    before=st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
)
def test_the_index_is_the_textbooks_sum(now: tuple[int, ...], before: list[float]) -> None:
    """Four bins of so many rows each against shares."""
    shares = tuple(share / sum(before) for share in before)
    plain = ((0.5, 1.5, 2.5), shares)
    baseline = Baseline(edges=(plain[0],) * 4, shares=(plain[1],) * 4)
    column = np.random.default_rng(1).permutation(np.repeat(np.arange(4, dtype=np.float32), now))
    found = fed(Drift(METADATA, baseline), np.column_stack([column] * 3), column).indices()[COUNT]
    parts = [max(count / sum(now), 1e-4) for count in now]
    assert found == pytest.approx(sum((p - q) * math.log(p / q) for p, q in zip(parts, shares, strict=True)), rel=1e-6, abs=1e-9)


@given(values=st.lists(st.sampled_from([0.0, 1.0, 2.0, 7.5]) | st.floats(-1e6, 1e6, width=32), min_size=1, max_size=200))
def test_a_baseline_has_bounded_bins_that_hold_every_row(values: list[float]) -> None:
    """Few values make few bins; the shares add up to one and are those of the values themselves."""
    column = np.array(values, dtype=np.float32)
    baseline = baseline_of(column[:, None], column.astype(np.float64))
    edges, shares = baseline.edges[0], baseline.shares[0]
    assert baseline.edges[1] == edges
    assert len(edges) + 1 == len(shares) <= BINS
    assert list(edges) == sorted(set(edges))
    bounds = [-math.inf, *edges, math.inf]
    for low, high, share in zip(bounds, bounds[1:], shares, strict=False):
        assert share == pytest.approx(sum(low < value <= high for value in column.tolist()) / len(values))
