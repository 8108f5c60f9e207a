"""What is idle for so long that it contributes nothing is removed, and nobody can tell from any feature."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.delivery.ports import PartitionState
from stream_app.delivery.sweeper import EVERY_S, IDLE_MS, LATEST_LABEL_S, Sweeper
from stream_app.errors import Unavailable
from stream_app.features.aggregations import DAY_S, HORIZON_S
from stream_app.features.compute import Events, compute
from stream_app.features.entities import ENTITIES
from stream_app.features.kernel import LABEL_FRAUD, LABEL_GENUINE, PAYMENT
from stream_app.features.plan import catalogue_plan
from stream_app.messages.majority import LEAST
from stream_app.scoring.ports import Ids
from stream_app.scoring.positions import Cursor, Position
from tests.examples import examples
from tests.memory_store import MemoryStore
from tests.named_ids import ids_of
from tests.unit.delivery.world import Counted, World, payment

START, DAY_MS = 1_522_540_800_000, DAY_S * 1000
NAMES: Ids = ids_of(["c0", "c1"], ["t0", "t1"], [])


class Line:
    """One partition's state and the events that come to it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.store.hold([0], 1)
        self.removed = 0

    async def taken(self) -> tuple[PartitionState, Cursor]:
        """The partition, begun."""
        state, cursor = await self.store.take_over(0)
        cursor = msgspec.structs.replace(cursor, begun=True)
        await state.begin(cursor)
        return state, cursor

    async def features(self, events: list[tuple[Any, ...]], *, swept: bool) -> list[list[float]]:
        """Every feature of every payment; swept after each event, or never."""
        (state, cursor), newest_ms, found = await self.taken(), 0, []
        for kind, transaction, card, terminal, at_ms, labelled_ms in events:
            work = await state.read(NAMES)
            computed = compute(catalogue_plan(), _event(kind, transaction, card, terminal, at_ms, labelled_ms), work.rows)
            if computed.scored[0]:
                found.append(computed.vectors[0].tolist())
                newest_ms = max(newest_ms, at_ms)
            cursor = msgspec.structs.replace(cursor, transactions=cursor.transactions + 1)
            await state.write(state.pack(work, Position(cursor.transactions, 0)), cursor)
            if swept:
                self.removed += await state.sweep(newest_ms - IDLE_MS)
        return found


def _event(kind: int, transaction: int, card: int, terminal: int, at_ms: int, labelled_ms: int) -> Events:
    def one(value: int) -> Any:
        return np.array([value], dtype=np.int64)

    return Events(
        np.array([kind], dtype=np.int8),
        one(at_ms),
        one(labelled_ms),
        one(transaction),
        one(1234),
        (one(card), one(terminal), *(one(-1) for _ in ENTITIES[2:])),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Payments of two cards at two terminals, up to 90 days late, with gaps of up to 300 days; labels of them within 90 days of their time."""
    events: list[tuple[Any, ...]] = []
    paid: list[tuple[int, int, int, int]] = []
    newest_ms = START
    for n in range(1, draw(st.integers(2, 14)) + 1):
        if paid and draw(st.integers(0, 3)) == 0:
            young = [p for p in paid if newest_ms - p[3] <= LATEST_LABEL_S * 1000] or paid[-1:]
            transaction, card, terminal, at_ms = draw(st.sampled_from(young))
            kind = draw(st.sampled_from([LABEL_FRAUD, LABEL_GENUINE]))
            events.append((kind, transaction, card, terminal, at_ms, newest_ms + n))
            continue
        newest_ms += draw(st.sampled_from([0, 1, 3, 8, 30, 40, 130, 300])) * DAY_MS
        at_ms = max(START, newest_ms - draw(st.sampled_from([0, 0, 0, 1, 7, 40, 90])) * DAY_MS)
        paid.append((n, draw(st.integers(0, 1)), draw(st.integers(0, 1)), at_ms))
        events.append((PAYMENT, *paid[-1], 0))
        newest_ms = max(newest_ms, at_ms)
    return events


@examples(40)
@given(histories())
def test_sweeping_changes_no_feature_of_any_payment(events: list[tuple[Any, ...]]) -> None:
    """Swept after each event or never: each payment has the same features, to the bit."""
    assert asyncio.run(Line().features(events, swept=True)) == asyncio.run(Line().features(events, swept=False))


def test_a_card_that_was_idle_for_long_is_removed_and_one_that_was_not_stays() -> None:
    """One day more than the horizon and the latest label.

    day   0            128   129
          c0,t0         |    c1,t1     c0 and t0 are removed then, not before
    """
    days = (HORIZON_S + LATEST_LABEL_S) // DAY_S
    line, just = Line(), Line()
    asyncio.run(line.features([(PAYMENT, 1, 0, 0, START, 0), (PAYMENT, 2, 1, 1, START + (days + 1) * DAY_MS, 0)], swept=True))
    asyncio.run(just.features([(PAYMENT, 1, 0, 0, START, 0), (PAYMENT, 2, 1, 1, START + days * DAY_MS, 0)], swept=True))
    assert {"c:c1", "t:t1"} <= set(line.store.kept[0].values)
    assert line.removed >= 2
    assert {"c:c0", "t:t0", "c:c1", "t:t1"} <= set(just.store.kept[0].values)


def test_it_sweeps_once_a_second_at_most_and_tells_how_many() -> None:
    """However many batches there are; a store that is away is left to the next batch."""
    clock, asked, seen = [0.0], list[int](), Counted()

    async def sweep(before_ms: int) -> int:
        asked.append(before_ms)
        if len(asked) == 2:
            raise Unavailable("Redis is away.")
        return 3

    async def run() -> None:
        sweeper = Sweeper(sweep, seen, lambda: START, lambda: clock[0])
        for _ in range(13):
            await sweeper.after([IDLE_MS + 7] * LEAST)
            clock[0] += EVERY_S / 4

    asyncio.run(run())
    assert asked == [7, 7, 7]
    assert seen.counts["swept"] == 6


def test_a_worker_sweeps_between_its_batches(monkeypatch: Any) -> None:
    """A card whose one payment is old goes while others are decided."""
    monkeypatch.setattr("stream_app.delivery.sweeper.EVERY_S", 0.0)
    world = World()
    world.send([payment("T0", 20.0, 0, card_id="old", terminal_id="old")])
    world.send([payment(f"T{n}", 20.0, 80 * DAY_MS + n, card_id="new", terminal_id="new") for n in range(LEAST + 9)])
    monkeypatch.setattr("stream_app.delivery.sweeper.IDLE_MS", 60 * DAY_MS)
    assert world.run() == "done"
    assert set(world.state()) == {"c:new", "t:new"}
    assert world.seen.counts["swept"] == 2
