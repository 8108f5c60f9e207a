"""What partitions of a worker remember together, where their batches overlap."""

from __future__ import annotations

import pytest

from stream_app.adapters.redis import write_through
from stream_app.adapters.redis.write_through import PartitionMemory, ReadValues, Values, WorkerMemory
from stream_app.features.plan import NEWEST, catalogue_plan
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import Cursor, Position
from tests.contract.stores import START, moved, own, pay

ROOM = 16
CURSOR = Cursor("owner")


def asked(memory: PartitionMemory, ids: Ids, missing: Ids) -> WorkingSet:
    """The working set where the store has nothing of what is missing."""
    parts: list[dict[int, Values]] = [{number: [None] * len(names) for number in range(3)} if names else {} for names in missing[1:]]
    return memory.assemble(ids, ReadValues(missing, [None] * len(missing[0]), parts, [{} for _ in ids[1:]]))[0]


def through(memory: PartitionMemory, ids: Ids, missing: Ids | None = None) -> None:
    """A batch of one payment, read and written."""
    work = asked(memory, ids, missing or memory.missing(ids))
    pay(work, [START])
    memory.pack(work, Position(1, 0))
    memory.written(moved(CURSOR, 1))


def test_a_part_that_was_asked_for_before_it_was_written_never_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two partitions ask for a terminal; the later one's answer is long on its way. Meanwhile the earlier one writes and the memory is full."""
    monkeypatch.setattr(write_through, "SHARED_MEMORY_BYTES", 8 * catalogue_plan().entities[1].layout.width * ROOM)
    worker = WorkerMemory()
    worker.hold(range(3))
    waits, writes, fills = (PartitionMemory(worker, number) for number in range(3))
    through(fills, (["c"], [f"full{n}" for n in range(ROOM - 1)], []))
    ids: tuple[Ids, Ids] = (["earlier"], ["t"], []), (["later"], ["t"], [])
    missing = writes.missing(ids[0]), waits.missing(ids[1])
    through(writes, ids[0], missing[0])
    for n in range(ROOM):
        through(fills, ([f"c{n}"], [f"other{n}"], []))
    assert waits.still_there
    asked(waits, ids[1], missing[1])
    assert own(asked(writes, ids[0], writes.missing(ids[0])))[0, NEWEST] == START
