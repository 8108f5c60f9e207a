"""The rules of `write_through`: what partitions of a worker remember together, where their batches overlap."""

from __future__ import annotations

import pytest

from stream_app.adapters.redis import entity_memory
from stream_app.adapters.redis.entity_memory import Values
from stream_app.adapters.redis.write_through import Missing, ReadValues, RoundMemory, WorkerMemory
from stream_app.errors import StateError
from stream_app.features.entities import KEPT_BY_DEFAULT
from stream_app.features.plan import NEWEST, catalogue_plan
from stream_app.scoring.ports import Ids, WorkingSet
from stream_app.scoring.positions import Cursor, Position
from tests.contract.stores import START, cards, moved, own, pay, total
from tests.named_ids import ids_of

ROOM = 16
CURSOR = Cursor("owner")


class One:
    """A partition that asks in rounds of its own."""

    def __init__(self, worker: WorkerMemory, number: int) -> None:
        self.worker, self.number = worker, number
        self.round = RoundMemory(worker, [])

    def missing(self, wanted: Ids) -> Missing:
        """What must be read."""
        self.round = RoundMemory(self.worker, [(self.number, wanted)])
        return self.round.missing()

    @property
    def still_there(self) -> bool:
        """See `RoundMemory`."""
        return self.round.still_there

    def pack(self, work: WorkingSet, reached: Position) -> None:
        """See `RoundMemory`."""
        self.round.pack(work, [reached])

    def written(self, cursor: Cursor) -> None:
        """See `WorkerMemory`."""
        self.worker.written(self.number, cursor, self.round.generation)

    def forget(self) -> None:
        """See `WorkerMemory`."""
        self.worker.forget_all(self.number)


def three() -> tuple[WorkerMemory, One, One, One]:
    """A worker that holds three partitions."""
    worker = WorkerMemory(KEPT_BY_DEFAULT)
    worker.hold(range(3))
    return worker, One(worker, 0), One(worker, 1), One(worker, 2)


def ids(card: str, terminal: str = "t") -> Ids:
    """What a batch of one payment asks for."""
    return ids_of([card], [terminal], [])


def nothing_of(missing: Missing) -> ReadValues:
    """The store has nothing of it."""
    parts: list[dict[int, Values]] = [{number: [None] * len(names) for number in range(3)} if names else {} for names in missing.shared]
    return ReadValues(missing, [[None] * len(cards) for cards in missing.cards], parts, [{} for _ in missing.shared])


def asked(memory: One, missing: Missing) -> WorkingSet:
    """The working set where the store has nothing of what is missing."""
    return memory.round.assemble(nothing_of(missing))[0]


def packed(memory: One, wanted: Ids, missing: Missing | None = None) -> WorkingSet:
    """A batch of one payment, read and packed."""
    work = asked(memory, missing or memory.missing(wanted))
    pay(work, [START])
    memory.pack(work, Position(1, 0))
    return work


def through(memory: One, wanted: Ids, missing: Missing | None = None) -> None:
    """A batch of one payment, read, packed and written."""
    packed(memory, wanted, missing)
    memory.written(moved(CURSOR, 1))


def counted(memory: One, terminal: str = "t") -> bool:
    """Whether the sum of a terminal has a payment, as this partition's next batch reads it."""
    wanted: Ids = ids_of([], [terminal], [])
    return bool(total(asked(memory, memory.missing(wanted)))[0, NEWEST])


def test_a_batch_counts_in_the_sums_before_it_is_written() -> None:
    """Rule 1 of `write_through`: packed in one partition, seen by the next batch of another."""
    _, first, second, _ = three()
    packed(first, ids("a"))
    assert counted(second)


def test_forgetting_what_is_forgotten_makes_no_arrays_anew() -> None:
    """A takeover forgets twice (rule 6 of the store), and a worker that loses all its partitions takes each over: arrays are large."""
    worker, first, _, _ = three()
    through(first, ids("a"))
    used = [shared.sums.rows for shared in worker.shared]
    worker.forget(0)
    empty = [shared.sums.rows for shared in worker.shared]
    assert empty[0] is not used[0]
    worker.forget(1)
    assert all(shared.sums.rows is rows for shared, rows in zip(worker.shared, empty, strict=True))


def test_a_batch_that_fails_takes_every_sum_along_and_its_partitions_cards() -> None:
    """Rule 2 of `write_through`: another partition's cards stay, and so do the parts that were written, in the store."""
    _, fails, stays, _ = three()
    through(stays, ids("b", "u"))
    packed(fails, ids("a"))
    fails.forget()
    assert fails.missing(ids_of(["a"], ["t"], [])) == ([["a"]], [["t"], *([],) * 5])
    assert stays.missing(ids_of(["b"], ["t", "u"], [])) == ([[]], [["t", "u"], *([],) * 5])
    assert not counted(stays)


def test_a_batch_that_asked_before_sums_were_dropped_asks_again() -> None:
    """Rule 3 of `write_through`: it is told so, and once it has asked again, that it need not."""
    _, asks, fails, _ = three()
    through(asks, ids("a"))
    asks.missing(ids("a"))
    before = asks.still_there
    fails.forget()
    dropped = asks.still_there
    assert asks.missing(ids("a")) == ([[]], [["t"], *([],) * 5])
    assert (before, dropped, asks.still_there) == (True, False, True)


def test_a_batch_that_was_packed_before_sums_were_dropped_drops_those_made_since_when_it_is_written() -> None:
    """Rule 4 of `write_through`: what another partition read meanwhile lacks it."""
    _, packs, fails, _ = three()
    packed(packs, ids("a"))
    fails.forget()
    assert not counted(fails)
    packs.written(moved(CURSOR, 1))
    assert fails.missing(ids_of([], ["t"], [])) == ([[]], [["t"], *([],) * 5])


def test_a_batch_that_is_packed_after_sums_were_dropped_leaves_no_part_behind() -> None:
    """Rule 5 of `write_through`: its part is not remembered beside a sum without it."""
    worker, packs, fails, _ = three()
    work = asked(packs, packs.missing(ids("a")))
    pay(work, [START])
    fails.forget()
    packs.pack(work, Position(1, 0))
    assert worker.shared[0].parts == {}


def test_an_id_is_in_the_sum_and_in_every_part_or_in_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 5 of `write_through`: when it is learnt, and where ids give way."""
    monkeypatch.setattr(entity_memory, "SHARED_MEMORY_BYTES", 8 * catalogue_plan().entities[1].layout.width * ROOM)
    worker, *partitions = three()
    shared = worker.shared[0]
    named = [f"t{n}" for n in range(3 * ROOM)]
    for n, name in enumerate(named):
        through(partitions[n % 3], ids("c", name))
        there = set(named) - set(shared.sums.missing(named, 0))
        assert shared.parts.keys() == there
    assert "t0" not in shared.parts


def test_no_room_is_made_for_what_no_state_is_kept_of() -> None:
    """A process whose memory is bounded starts as before, however many entities there are."""
    worker = WorkerMemory(KEPT_BY_DEFAULT)
    worker.hold([0])
    rooms = {layout.entity: shared.sums.rows.nbytes for layout, shared in zip(worker.layouts[1:], worker.shared, strict=True)}
    assert {entity for entity, room in rooms.items() if room > 10_000} == {"terminal", "device"}


def test_what_is_remembered_is_never_replaced_by_what_was_read() -> None:
    """Rule 5 of `write_through`: two partitions ask for a terminal; the answer to the second comes when the first has counted there."""
    _, writes, waits, _ = three()
    missing = writes.missing(ids("a")), waits.missing(ids("b"))
    assert missing[1].shared[0] == ["t"]
    through(writes, ids("a"), missing[0])
    assert total(asked(waits, missing[1]))[0, NEWEST] == START
    assert own(asked(writes, writes.missing(ids("a"))))[0, NEWEST] == START


def test_a_row_that_is_used_stays_until_every_batch_has_ended_that_had_begun_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6 of `write_through`: as 5, and the memory is filled before the answer comes; once that batch has ended, the row may give way."""
    monkeypatch.setattr(entity_memory, "SHARED_MEMORY_BYTES", 8 * catalogue_plan().entities[1].layout.width * ROOM)
    worker, waits, writes, fills = three()
    through(fills, ids_of(["c"], [f"full{n}" for n in range(ROOM - 1)], []))
    missing = writes.missing(ids("earlier")), waits.missing(ids("later"))
    through(writes, ids("earlier"), missing[0])
    for n in range(ROOM):
        through(fills, ids(f"c{n}", f"other{n}"))
    assert waits.still_there
    asked(waits, missing[1])
    assert own(asked(writes, writes.missing(ids("earlier"))))[0, NEWEST] == START
    for ends in (waits, writes):
        ends.written(moved(CURSOR, 2))
    for n in range(4 * ROOM):
        through(fills, ids(f"c{n}", f"more{n}"))
    assert worker.shared[0].sums.missing(["t"], 0) == ["t"]


def test_nobody_can_say_what_sums_contain_until_a_batch_is_written_that_they_were_dropped_under() -> None:
    """Rule 7 of `write_through`: before, what is written and what is packed; afterwards, what is written."""
    worker, packs, fails, _ = three()
    for memory in (packs, fails):
        through(memory, ids("a"))
    packs.missing(ids("a"))
    known = [worker.positions]
    packs.pack(asked(packs, packs.missing(ids("a"))), Position(2, 0))
    known.append(worker.positions)
    fails.forget()
    known.append(worker.positions)
    packs.written(moved(CURSOR, 2))
    known.append(worker.positions)
    assert known == [{0: (1, 0), 1: (1, 0)}, {0: (2, 0), 1: (1, 0)}, None, {0: (2, 0), 1: (1, 0)}]


def test_in_a_round_a_partition_sees_what_those_before_it_count() -> None:
    """One terminal, three partitions, one card that two of them have: its sum is one, cards and parts are each partition's own."""
    worker, *_ = three()
    memory = RoundMemory(worker, [(0, ids("a")), (1, ids("a")), (2, ids("b"))])
    work = memory.assemble(nothing_of(memory.missing()))[0]
    assert work.ids == ids_of(["a", "a", "b"], ["t", "t", "t"], [])
    for n in range(3):
        assert total(work)[n, NEWEST] == (START + n - 1 if n else 0)
        pay(work, [START + n], card=n, terminal=n)
    assert [row[NEWEST] for row in own(work)] == [START, START + 1, START + 2]
    assert [row[NEWEST] for row in cards(work)] == [START, START + 1, START + 2]
    packed_of_each = memory.pack(work, [Position(1, 0)] * 3)
    assert [[key for key, _ in of_one] for of_one in packed_of_each] == [["c:a", "t:t"], ["c:a", "t:t"], ["c:b", "t:t"]]
    assert len({value for of_one in packed_of_each for key, value in of_one if key == "c:a"}) == 2
    for n in range(3):
        worker.written(n, moved(CURSOR, 1), memory.generation)
    again = RoundMemory(worker, [(2, ids("b")), (0, ids("a"))])
    assert again.missing() == ([[], []], [[]] * 6)
    assert [row[NEWEST] for row in cards(again.assemble(nothing_of(again.missing()))[0])] == [START + 2, START]


def test_a_partition_that_fails_in_a_round_takes_no_card_of_the_others_along() -> None:
    """Rule 2 of `write_through`, of cards that two partitions have."""
    _, first, second, _ = three()
    through(first, ids("a"))
    through(second, ids("a"))
    first.forget()
    assert (first.missing(ids("a")).cards, second.missing(ids("a")).cards) == ([["a"]], [[]])


def test_rows_of_a_round_stay_until_each_of_its_partitions_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 6 of `write_through`: one of two publishes for longer; what it counted is in memory alone, and is not read anew from the store."""
    monkeypatch.setattr(entity_memory, "SHARED_MEMORY_BYTES", 8 * catalogue_plan().entities[1].layout.width * ROOM)
    worker, _, _, fills = three()
    memory = RoundMemory(worker, [(0, ids("a")), (1, ids("b"))])
    work = memory.assemble(nothing_of(memory.missing()))[0]
    memory.pack(work, [Position(1, 0)] * 2)
    worker.written(0, moved(CURSOR, 1), memory.generation)
    for n in range(4 * ROOM):
        through(fills, ids(f"c{n}", f"other{n}"))
    assert worker.shared[0].sums.missing(["t"], 0) == []
    worker.written(1, moved(CURSOR, 1), memory.generation)
    for n in range(4 * ROOM):
        through(fills, ids(f"c{n}", f"more{n}"))
    assert worker.shared[0].sums.missing(["t"], 0) == ["t"]


def test_of_a_terminal_that_one_partition_cannot_read_nothing_is_remembered() -> None:
    """Sums of the parts before it would be taken for the whole: what was begun is dropped, and asked for again."""
    worker, first, _, _ = three()
    missing = first.missing(ids("c"))
    of_terminal: dict[int, Values] = {0: [None], 1: [None], 2: [b"garbage"]}
    with pytest.raises(StateError) as damaged:
        first.round.assemble(ReadValues(missing, [[None]], [of_terminal, *({},) * 5], [{}] * 6))
    assert damaged.value.partition == 2
    assert len(worker.shared[0].sums) == 0
    assert first.missing(ids("c")).shared == [["t"], *([],) * 5]
