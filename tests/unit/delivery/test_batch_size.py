"""How many records a partition takes at once: few where another one decides payments as they come."""

from __future__ import annotations

import pytest

from stream_app.delivery.batch_size import BESIDE, IN_TIME_S, BatchSize
from tests.unit.delivery.world import World
from tests.unit.scoring.test_scorer import NOW, payment

MOST = 1000
HOUR_MS = 3_600_000


class Clock:
    """Stands still until it is moved."""

    now_s = 50.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


def test_who_catches_up_takes_little_beside_one_that_decides_as_payments_come() -> None:
    """Rule 2 of `batch_size`: for as long as the other one does, and not on its own account."""
    clock = Clock()
    sizes = BatchSize(clock)
    assert sizes.of(0, MOST) == MOST
    sizes.took(1, 0.01)
    assert (sizes.of(0, MOST), sizes.of(1, MOST), sizes.of(0, 3)) == (BESIDE, MOST, 3)
    clock.now_s += IN_TIME_S
    assert sizes.of(0, MOST) == MOST, "nothing came to the other one for a while"


def test_in_a_backlog_of_all_partitions_each_takes_as_much_as_it_may() -> None:
    """Rule 1 of `batch_size`: also at once where the one that was in time falls behind."""
    sizes = BatchSize(Clock())
    sizes.took(1, 0.01)
    for number in range(3):
        sizes.took(number, 60.0)
    assert [sizes.of(number, MOST) for number in range(3)] == [MOST] * 3


@pytest.mark.parametrize(("late_ms", "sizes"), [(HOUR_MS, [BESIDE, BESIDE, 22]), (0, [150])], ids=["behind", "as they come"])
def test_a_partition_asks_each_time_and_says_how_late_it_is(late_ms: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Partition 0 of a worker whose partition 1 decides payments as they come; after a batch that was in time it holds up the other in turn."""
    world = World(at_once=MOST, batch_size=BatchSize(Clock()))
    taken = list[int]()
    monkeypatch.setattr(type(world.seen), "batch", lambda _, records: taken.append(records))
    world.topics.now_ms = NOW - late_ms
    world.send([payment(f"p{n}", at=n) for n in range(150)])
    if late_ms:
        world.batch_size.took(1, 0.0)
    assert world.run() == "done"
    assert taken == sizes
    assert world.batch_size.of(1, MOST) == (MOST if late_ms else BESIDE)
