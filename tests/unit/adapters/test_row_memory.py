"""The rules of `row_memory`: which rows stay, which give way, and when there is room for more."""

from __future__ import annotations

import numpy as np

from stream_app.adapters.redis.row_memory import RowMemory

NOBODY = 1_000_000
"""No batch is in flight: every row may give way."""


def full_of(*ids: str, tick: int = 1) -> RowMemory:
    """A memory with room for these alone, each with its number in its row."""
    memory = RowMemory(2, len(ids))
    slots, _ = memory.add(ids, tick, 0)
    memory.rows[slots] = np.arange(len(ids))[:, None]
    return memory


def remembered(memory: RowMemory, *ids: str) -> list[bool]:
    """Which of the ids are there."""
    missing = memory.missing(ids, 0)
    return [name not in missing for name in ids]


def test_a_row_never_falls_back_to_an_earlier_tick() -> None:
    """Rule 1 of `row_memory`: used at 5, then by batches that began at 2 and at 3, a row does not count as idle since 4."""
    memory = full_of("a", tick=5)
    memory.find(["a"], 2)
    memory.missing(["a"], 3)
    assert memory.add(["new"], 6, 4)[1] == []
    assert remembered(memory, "a", "new") == [True, True]


def test_rows_used_since_the_oldest_batch_in_flight_began_stay_and_of_the_others_the_least_recently_used_give_way() -> None:
    """Rule 2 of `row_memory`, one row after another: `c` is the oldest, then `b`; `a` and the new ones are in use."""
    memory = full_of("a", "b", "c", tick=2)
    memory.find(["a"], 7)
    memory.find(["b"], 3)
    assert memory.add(["d"], 8, 5)[1] == ["c"]
    assert memory.add(["e"], 8, 5)[1] == ["b"]
    assert memory.add(["f"], 8, 5)[1] == []
    assert remembered(memory, "a", "b", "c", "d", "e", "f") == [True, False, False, True, True, True]


def test_an_eighth_gives_way_at_a_time() -> None:
    """Rule 2 of `row_memory`: one new row in a memory of 32 makes room for four."""
    memory = full_of(*(f"old{n}" for n in range(32)))
    assert len(memory.add(["new"], 2, NOBODY)[1]) == 4
    assert memory.add(["and", "two", "more"], 3, NOBODY)[1] == []
    assert len(memory) == 32


def test_where_too_few_may_give_way_the_array_grows_and_holds_what_it_held() -> None:
    """Rule 3 of `row_memory`: both rows are in use; `rows` is another array, the old rows are in it, and the new one beside them."""
    memory = full_of("a", "b", tick=4)
    before = memory.rows
    slots, gone = memory.add(["c"], 5, 4)
    assert gone == []
    assert memory.rows is not before
    assert memory.rows[memory.find(["a", "b"], 5), 0].tolist() == [0, 1]
    assert len({*slots.tolist(), *memory.find(["a", "b"], 5).tolist()}) == 3
