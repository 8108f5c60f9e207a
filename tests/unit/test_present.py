"""What time it is: by the clock, and by most records where that is later; no minority of them moves it."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from stream_app.majority import LEAST, MOST, Majority, median, sample
from stream_app.present import BEHIND_S, Present
from tests.unit.test_scorer import HOUR, NOW, SECOND, FakeClock

MINUTE, DAY = 60 * SECOND, 24 * HOUR
WILD = st.integers(-400 * DAY, 400 * DAY)
FEW = st.lists(WILD, max_size=LEAST - 1)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is logged."""
    lines = list[str]()
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="INFO")
    yield lines
    logger.remove(sink)


@given(good=st.integers(0, 5), wild=FEW, seed=st.randoms(use_true_random=False))
def test_no_minority_moves_what_most_say(good: int, wild: list[int], seed: Random) -> None:
    """However wild, and in whatever order they come: the median lies among what most say."""
    said = [NOW + n % (good + 1) for n in range(MOST - len(wild))] + [NOW + w for w in wild]
    seed.shuffle(said)
    majority = Majority()
    majority.add(said)
    assert majority.says == median(said)
    assert NOW <= (majority.says or 0) <= NOW + good


@given(st.lists(WILD, max_size=LEAST - 1))
def test_a_few_say_nothing(said: list[int]) -> None:
    """One producer may have sent them all."""
    majority = Majority()
    majority.add(said)
    assert majority.says is None


@given(st.lists(st.integers(), max_size=3 * MOST + 7))
def test_of_many_some_are_asked_at_one_distance(values: list[int]) -> None:
    """A bounded number; a burst of them weighs no more than its share."""
    asked = sample(values)
    assert len(asked) <= MOST
    assert len(asked) * 2 >= min(len(values), MOST)
    assert all(value in values for value in asked)


@given(
    batches=st.lists(st.lists(WILD, max_size=30), max_size=3),
    off=st.integers(-5 * MINUTE, 5 * MINUTE),
    seed=st.randoms(use_true_random=False),
)
def test_it_is_the_clocks_time_as_long_as_most_records_do_not_lie_ahead(batches: list[list[int]], off: int, seed: Random) -> None:
    """Bursts of 30 and fewer among many others: never more than the clock of most producers is ahead, never earlier than the own clock."""
    present, clock = Present(FakeClock()), max(0, off)
    for burst in batches:
        said = [NOW + off] * 70 + [NOW + ahead for ahead in burst]
        seed.shuffle(said)
        assert present.at(sample(said)) in {NOW, NOW + clock}


def test_a_clock_that_is_hours_behind_is_set_right_by_most_records_and_told_once(told: list[str]) -> None:
    """Of the first few records nobody knows whose clock is wrong; when it is mended that is told too."""
    clock = FakeClock(NOW - 2 * HOUR)
    present = Present(clock)
    assert present.at([NOW] * (LEAST - 1)) == NOW - 2 * HOUR
    assert present.at([NOW]) == NOW
    assert present.at([NOW]) == NOW
    assert (present.behind_s, present.clock_ms()) == (7200.0, NOW - 2 * HOUR)
    clock.now = NOW
    assert present.at([NOW] * MOST) == NOW
    assert present.behind_s == 0
    assert ["7,200 s behind" in line for line in told] == [True, False]


def test_a_clock_that_is_minutes_behind_is_not_told_of(told: list[str]) -> None:
    """Clocks are."""
    present = Present(FakeClock())
    present.at([NOW + BEHIND_S * SECOND] * MOST)
    assert told == []


def test_records_of_the_past_say_nothing_of_the_clock() -> None:
    """A history is replayed with its own timestamps, or a partition lags by weeks."""
    present = Present(FakeClock())
    assert present.at([NOW - 30 * DAY + n * HOUR for n in range(MOST)]) == NOW
    assert present.behind_s == 0
