"""Compiling ahead of the first transaction."""

from __future__ import annotations

import asyncio

import msgspec
import numpy as np
import pytest
from numba.core.errors import TypingError

from stream_app.adapters.redis.entity_memory import Values
from stream_app.adapters.redis.write_through import ReadValues, RoundMemory, WorkerMemory
from stream_app.features import kernel, packed_rows
from stream_app.features.compiled import jit
from stream_app.features.compute import Events, compute
from stream_app.features.entities import ENTITIES, KEPT_BY_DEFAULT
from stream_app.features.plan import catalogue_plan
from stream_app.features.warm import warm
from stream_app.scoring.positions import Position
from tests.memory_store import MemoryStore
from tests.named_ids import ids_of

KERNELS = (
    kernel.admit,
    kernel.fold,
    kernel.absorb_all,
    packed_rows.first_unreadable,
    packed_rows.pack_rows,
    packed_rows.unpack_rows,
    packed_rows.add_rows,
)
IDS = ids_of(["c"], ["t", "u"], ["d"])


def _signatures() -> list[int]:
    return [len(compiled.signatures) for compiled in KERNELS]


def _events() -> Events:
    at = np.zeros(1, dtype=np.int64)
    return Events(np.zeros(1, np.int8), at + 10**12, at, at + 1, at + 5, (at, at, at))


def test_a_worker_compiles_nothing_after_warm() -> None:
    """State read, computed and packed as the worker does it, alone and beside another worker: not one signature is new."""
    warm()
    compiled = _signatures()
    assert all(compiled)
    worker = WorkerMemory(KEPT_BY_DEFAULT)
    worker.hold([0])
    nothing: list[dict[int, Values]] = [{} for _ in ENTITIES[3:]]
    values: tuple[list[bytes | None], ...] = ([None], [None, None], [None])
    beside: tuple[list[dict[int, Values]], ...] = ([{}, {}, *nothing], [{1: [None, None]}, {1: [None]}, *nothing])
    for others in beside:
        memory = RoundMemory(worker, [(0, IDS)])
        work, _ = memory.assemble(ReadValues(memory.missing(), [values[0]], [{0: values[1]}, {0: values[2]}, *nothing], others))
        compute(catalogue_plan(), _events(), work.rows)
        packed = [value for _, value in memory.pack(work, [Position(2, 1)])[0]]
        worker.forget_all(0)
        values = ([packed[0]], [packed[1], packed[2]], [packed[3]])
    assert _signatures() == compiled


def test_the_plain_store_compiles_nothing_more_either() -> None:
    """Two partitions over the store in memory, each with its part of one terminal."""
    warm()
    compiled = _signatures()

    async def both() -> None:
        store = MemoryStore()
        store.hold([0, 1], 2)
        for partition in (0, 1):
            state, cursor = await store.take_over(partition)
            await state.begin(msgspec.structs.replace(cursor, begun=True))
            work = await state.read(IDS)
            compute(catalogue_plan(), _events(), work.rows)
            await state.write(state.pack(work, Position(2, 1)), msgspec.structs.replace(cursor, begun=True))

    asyncio.run(both())
    assert _signatures() == compiled


def _makes_an_array(count: int) -> float:
    return float(np.ones(count).sum())


def test_a_kernel_that_makes_an_array_is_refused_when_it_is_compiled() -> None:
    """Numba's runtime, which would count references to every row, is off; the option is a private one of numba's."""
    with pytest.raises(TypingError, match="ones"):
        jit(_makes_an_array)(3)
