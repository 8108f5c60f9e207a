"""Compile the kernels before the first transaction: numba keeps the result on disk, so that only the first call ever is slow."""

from __future__ import annotations

import numpy as np

from stream_app.features import kernel
from stream_app.features.aggregations import DAY_MS
from stream_app.features.compute import Events, PlacedRows, Rows, compute
from stream_app.features.entities import ENTITIES
from stream_app.features.packing import Packer
from stream_app.features.plan import CARD_HEADER, RowLayout, catalogue_plan


def warm() -> None:
    """Run every kernel once on a payment and its label, with arrays of the kinds that the worker passes.

    Called when an image is built and when a worker starts. Takes seconds where nothing is cached, milliseconds else.
    """
    plan, rows = catalogue_plan(), []
    for entity in plan.entities:
        own = _row(entity.layout)
        total, at = own.copy(), np.zeros(1, dtype=np.int64)
        kernel.absorb_all(entity.layout.table, total, at, own)
        rows.append(Rows(own, total, at, at, PlacedRows(total.copy(), at)))
    rows[0] = Rows.alone(rows[0].own)
    compute(plan, _payment_and_label(), rows)
    for entity, of_entity in zip(plan.entities, rows, strict=True):
        packer, first = Packer(entity.layout), np.zeros(1, dtype=np.int64)
        packed = packer.pack(of_entity.own, first)
        packer.unpack(packed, ["warm"], of_entity.own, first)
        if entity.layout.header != CARD_HEADER:
            packer.add(packed, ["warm"], of_entity.own, first)


def _row(layout: RowLayout) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.zeros((1, layout.width), dtype=np.int64)


def _payment_and_label() -> Events:
    times_ms = np.full(2, 50 * DAY_MS, dtype=np.int64)
    return Events(
        kinds=np.array([kernel.PAYMENT, kernel.LABEL_FRAUD], dtype=np.int8),
        times_ms=times_ms,
        labelled_ms=times_ms + DAY_MS,
        ids=np.ones(2, dtype=np.int64),
        minor=np.full(2, 100, dtype=np.int64),
        entities=tuple(np.zeros(2, dtype=np.int64) for _ in ENTITIES),
    )
