"""What time it is: by the clock, whatever records say; a server's clock contradicts it, and what most records say over minutes is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loguru import logger

from stream_app.delivery.trusted_clock import BEHIND_S, MINUTES, ServerClock, TrustedClock
from stream_app.errors import ClockBehind, Unavailable
from stream_app.messages.majority import LEAST, MOST, Majority, median, sample
from tests.unit.scoring.test_scorer import HOUR, NOW, SECOND, FakeClock

MINUTE, DAY = 60 * SECOND, 24 * HOUR
WILD = st.integers(-400 * DAY, 400 * DAY)
FEW = st.lists(WILD, max_size=LEAST - 1)
MOST_BEHIND_S = 1800


@dataclass
class Watch(FakeClock):
    """A clock that goes as fast as a test says, and may be set."""

    elapsed_ms: int = 0

    def go(self, ms: int) -> None:
        """So much time passes."""
        self.now += ms
        self.elapsed_ms += ms

    def elapsed_s(self) -> float:
        """See `ports.Clock`."""
        return self.elapsed_ms / 1000


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is logged."""
    lines = list[str]()
    sink = logger.add(lambda line: lines.append(str(line)), format="{message}", level="INFO")
    yield lines
    logger.remove(sink)


def minutes(present: TrustedClock, clock: Watch, ahead_ms: int, count: int) -> None:
    """So many minutes with records that lie so far ahead, every ten seconds some; the first record of the next minute ends the last."""
    for _ in range(count * 6):
        assert present.at([clock.now + ahead_ms] * 20) == clock.now
        clock.go(10 * SECOND)


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


@given(batches=st.lists(st.tuples(st.lists(WILD, max_size=3 * MOST), st.integers(0, 3 * MINUTE)), max_size=30))
def test_no_records_move_the_present(batches: list[tuple[list[int], int]]) -> None:
    """However many, however long, and also where there are no others."""
    clock = Watch()
    present = TrustedClock(clock)
    for ahead, pause_ms in batches:
        clock.go(pause_ms)
        assert present.at([clock.now + a for a in ahead]) == clock.now


@given(
    burst=st.integers(1, 1000),
    ahead=st.integers(2 * HOUR, 400 * DAY),
    quiet=st.integers(0, 20),
    pause_ms=st.integers(0, MINUTE),
    size=st.integers(1, 300),
)
@example(burst=200, ahead=2 * HOUR, quiet=2, pause_ms=MINUTE, size=100)
def test_a_burst_is_not_told_as_what_most_records_say(burst: int, ahead: int, quiet: int, pause_ms: int, size: int) -> None:
    """Within a minute, after any number of batches, in batches of any size, and where a minute ends amid it."""
    clock = Watch()
    present = TrustedClock(clock)
    for _ in range(quiet):
        present.at([clock.now] * 3)
        clock.go(20 * SECOND)
    for first in range(0, burst, size):
        present.at(sample([clock.now + ahead] * min(size, burst - first)))
        clock.go(pause_ms * size // burst if size < burst else 0)
    for _ in range(40):
        present.at([clock.now] * 3)
        assert present.behind_s == 0
        clock.go(20 * SECOND)


def test_a_clock_that_is_hours_behind_is_told_by_most_records_of_some_minutes_and_once(told: list[str]) -> None:
    """When it is mended that is told too; the present is the clock's all the while."""
    clock = Watch(NOW - 2 * HOUR)
    present = TrustedClock(clock)
    minutes(present, clock, 2 * HOUR, MINUTES)
    assert (present.behind_s, told) == (0, [])
    minutes(present, clock, 2 * HOUR, MINUTES)
    assert present.behind_s == 7200
    clock.now += 2 * HOUR
    minutes(present, clock, 0, MINUTES)
    assert present.behind_s == 0
    assert ["7,200 s behind" in line for line in told] == [True, False]


def test_a_clock_that_is_minutes_behind_is_not_told_of(told: list[str]) -> None:
    """Clocks are."""
    clock = Watch()
    present = TrustedClock(clock)
    minutes(present, clock, BEHIND_S * SECOND, MINUTES + 1)
    assert (present.behind_s, told) == (BEHIND_S, [])


def test_records_of_the_past_say_nothing_of_the_clock() -> None:
    """A history is replayed with its own timestamps, or a partition lags by weeks."""
    clock = Watch()
    present = TrustedClock(clock)
    minutes(present, clock, -30 * DAY, MINUTES + 1)
    assert present.behind_s == 0


@given(behind_ms=st.integers(-400 * DAY, 400 * DAY))
def test_a_clock_too_far_behind_the_witness_decides_nothing(behind_ms: int) -> None:
    """One that is minutes behind does, and one that is ahead: it refuses nobody who is on time."""
    present = TrustedClock(Watch(NOW - behind_ms), MOST_BEHIND_S)
    if behind_ms <= MOST_BEHIND_S * SECOND:
        present.heard(NOW)
        assert present.at([NOW]) == NOW - behind_ms
        return
    with pytest.raises(ClockBehind, match="s behind that of Redis"):
        present.heard(NOW)
    with pytest.raises(ClockBehind):
        present.at([NOW])


@given(back_ms=st.integers(0, 3 * HOUR), passed_ms=st.integers(0, 3 * HOUR))
def test_a_clock_that_is_set_back_is_known_before_the_next_record(back_ms: int, passed_ms: int) -> None:
    """Nobody need ask the witness again for it: what has passed since is known."""
    clock = Watch()
    present = TrustedClock(clock, MOST_BEHIND_S)
    present.heard(NOW)
    clock.go(passed_ms)
    clock.now -= back_ms
    if back_ms <= MOST_BEHIND_S * SECOND:
        assert present.at([NOW]) == clock.now
        return
    with pytest.raises(ClockBehind):
        present.at([NOW])


def test_a_witness_that_is_away_is_asked_again_and_one_that_contradicts_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches the server tells that it is away."""
    monkeypatch.setattr("stream_app.delivery.trusted_clock._LOOK_EVERY_S", 0.0)
    answers = iter([NOW, None, NOW, NOW + HOUR])

    async def ask() -> int:
        answer = next(answers)
        if answer is None:
            raise Unavailable("away")
        return answer

    with pytest.raises(ClockBehind):
        asyncio.run(ServerClock(TrustedClock(Watch(), MOST_BEHIND_S), ask).run())
    assert list(answers) == []
