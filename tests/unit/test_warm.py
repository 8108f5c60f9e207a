"""Compiling ahead of the first transaction."""

from __future__ import annotations

import numpy as np

from stream_app.adapters.packed_rows import PackedRows
from stream_app.features import kernel, packing
from stream_app.features.compute import Events, compute
from stream_app.features.plan import catalogue_plan
from stream_app.features.warm import warm

KERNELS = (kernel.admit, kernel.fold, kernel.absorb_all, packing._pack_rows, packing._unpack_rows)


def _signatures() -> list[int]:
    return [len(compiled.signatures) for compiled in KERNELS]


def test_a_worker_compiles_nothing_after_warm() -> None:
    """State read, computed and packed as the worker does it, with parts of other partitions: not one signature is new."""
    warm()
    compiled = _signatures()
    assert all(compiled)
    packed = PackedRows()
    for parts in ([], [[None, None]]):
        work = packed.unpack((["c"], [None]), (["t", "u"], [None, None]), parts)
        at = np.zeros(1, dtype=np.int64)
        events = Events(np.zeros(1, np.int8), at + 10**12, at, at + 1, at + 5, np.ones(1), at, at)
        compute(catalogue_plan(), events, work.cards, work.terminals)
        cards, terminals = packed.pack(work)
        packed.unpack((["c"], list(cards)), (["t", "u"], list(terminals)), [list(terminals)])
    assert _signatures() == compiled
