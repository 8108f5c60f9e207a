"""The feature stores under their contract, and what its tests do with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np

from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.ports import FeatureStore, PartitionState
from stream_app.features import kernel
from stream_app.features.compute import Events, compute
from stream_app.features.plan import catalogue_plan
from stream_app.scoring.ports import WorkingSet
from stream_app.scoring.positions import Cursor
from tests.memory_store import MemoryStore
from tests.redis_cluster import client_of

START, HOUR = 1_522_540_800_000, 3_600_000
_ids = count(1)


@dataclass
class Subject:
    """A store under test, and what the tests do behind its back: change a value, set a mark of damage, look whether there is one."""

    open: Callable[[], FeatureStore]
    replace: Callable[[int, str, str, Callable[[bytes], bytes]], Awaitable[None]]
    mark: Callable[[int, str], Awaitable[None]]
    marked: Callable[[int], Awaitable[bool]]


def in_memory() -> Subject:
    """One store in memory; opened again, it is the same one."""
    store = MemoryStore()

    async def replace(partition: int, kind: str, name: str, change: Callable[[bytes], bytes]) -> None:
        values = store.kept[partition].values
        values[f"{kind}:{name}"] = change(values[f"{kind}:{name}"])

    async def mark(partition: int, text: str) -> None:
        store.kept[partition].mark = text.encode()

    async def marked(partition: int) -> bool:
        return store.kept[partition].mark is not None

    return Subject(lambda: store, replace, mark, marked)


def in_redis(url: str) -> Subject:
    """Stores over one namespace of its own in Redis."""
    group = f"test-{uuid4().hex}"

    async def replace(partition: int, kind: str, name: str, change: Callable[[bytes], bytes]) -> None:
        async with client_of(url) as redis:
            key = f"{{{group}:{partition}}}{kind}:{name}"
            value: Any = await redis.get(key)
            await redis.set(key, change(value))

    async def mark(partition: int, text: str) -> None:
        async with client_of(url) as redis:
            await redis.set(f"{{{group}:{partition}}}damaged", text)

    async def marked(partition: int) -> bool:
        async with client_of(url) as redis:
            return bool(await redis.exists(f"{{{group}:{partition}}}damaged"))

    return Subject(lambda: RedisStore(url, group), replace, mark, marked)


def run(subject: Subject, test: Callable[[FeatureStore, FeatureStore], Awaitable[None]]) -> None:
    """Run a test with two openings of the store, as two workers have them."""

    async def body() -> None:
        one, two = subject.open(), subject.open()
        try:
            await test(one, two)
        finally:
            await one.close()
            await two.close()

    asyncio.run(body())


def next_id() -> int:
    """A fresh id of a transaction."""
    return next(_ids)


def pay(work: WorkingSet, times: Sequence[int], card: int = 0, terminal: int = 0) -> Any:
    """Count payments of 10.00 in a working set; their vectors."""
    size = len(times)
    return compute(
        catalogue_plan(),
        Events(
            kinds=np.full(size, kernel.PAYMENT, dtype=np.int8),
            times_ms=np.array(times, dtype=np.int64),
            labelled_ms=np.zeros(size, dtype=np.int64),
            ids=np.array([next_id() for _ in times], dtype=np.int64),
            minor=np.full(size, 1000),
            entities=(np.full(size, card), np.full(size, terminal), np.full(size, -1)),
        ),
        work.rows,
    ).vectors


async def taken(store: FeatureStore, partition: int, partitions: int) -> tuple[PartitionState, Cursor]:
    """The partition taken over by a store that holds it alone, begun at offset 0 where there is nothing."""
    store.hold([partition], partitions)
    return await joined(store, partition)


async def joined(store: FeatureStore, partition: int) -> tuple[PartitionState, Cursor]:
    """The same, where the store holds others beside it."""
    state, cursor = await store.take_over(partition)
    if not cursor.begun:
        cursor = msgspec.structs.replace(cursor, begun=True)
        await state.begin(cursor)
    return state, cursor


async def wrote(state: PartitionState, work: WorkingSet, cursor: Cursor) -> None:
    """The working set packed and written."""
    await state.write(state.pack(work, cursor.position), cursor)


def cards(work: WorkingSet) -> Any:
    """Rows of the cards, in the order of the ids."""
    return work.rows[0].own[work.rows[0].own_at]


def own(work: WorkingSet) -> Any:
    """This partition's parts of the terminals."""
    return work.rows[1].own[work.rows[1].own_at]


def total(work: WorkingSet) -> Any:
    """The sums over all parts of the terminals."""
    return work.rows[1].total[work.rows[1].total_at]


def moved(cursor: Cursor, transactions: int) -> Cursor:
    """The cursor after so many transactions."""
    return msgspec.structs.replace(cursor, transactions=transactions)


def same(one: WorkingSet, other: WorkingSet) -> bool:
    """Whether two working sets hold the same state."""
    return all(np.array_equal(rows(one), rows(other)) for rows in (cards, own, total)) and one.case_ids == other.case_ids


def number_from(at: int) -> None:
    """Number the transactions again from `at`, so that two runs of a stream have the same ids."""
    global _ids  # noqa: PLW0603 - one counter of this module's transactions
    _ids = count(at + 1)
