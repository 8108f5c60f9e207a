"""Every operation has its formula, and one that nobody wrote down is refused: none is taken for another."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stream_app.features import compute, kernel
from stream_app.features.aggregations import AGGREGATIONS, DAY_S, FIRST_OF_ROW, FIRST_OF_TILES, Fact, Op, Quantity
from stream_app.features.definitions import CATALOGUE, Feature
from stream_app.features.episodes import of_tiles as of_tiles_
from stream_app.features.own_values import OwnColumn
from stream_app.features.plan import NEWEST, catalogue_plan

UNKNOWN = 1 + max(Op)
OF_RECORD = [name for name, aggregation in AGGREGATIONS.items() if aggregation.op is Op.OF_RECORD]


def of_sums(op: int) -> float:
    """The kernel's number of three payments of 5.00 in all, squares 3,000,000, for a payment of 7.00."""
    return float(kernel._of_sums(op, 3, 500, 3_000_000, 700, 1, 100))


def of_tiles(op: int) -> float:
    """The kernel's number of a terminal with a payment and a fraud on each day."""
    layout = catalogue_plan().entities[1].layout
    row, at = np.ones(layout.width, dtype=np.int64), 1_522_540_800_000
    row[NEWEST] = at
    payments, frauds = (list(layout.series).index((DAY_S, quantity)) for quantity in (Quantity.COUNT, Quantity.FRAUD))
    return float(of_tiles_(op, layout.table, payments, frauds, row, at))


def of_row(op: int) -> float:
    """The kernel's number of an empty card."""
    layout = catalogue_plan().entities[0].layout
    series = next(s for s, key in enumerate(layout.series) if key[1].bits)
    row, facts = np.zeros(layout.width, dtype=np.int64), np.ones(len(Fact), dtype=np.int64)
    return float(kernel._of_row(op, layout.table, series, row, 1_522_540_800_000, facts))


def of_record(feature: Feature) -> float:
    """The number of a payment alone."""
    zero = np.zeros(1, dtype=np.int64)
    events = compute.Events(
        zero.astype(np.int8), zero, zero, zero, zero, (), own=lambda _, __: OwnColumn(np.zeros(1, dtype=np.int64), [4.0])
    )
    return float(compute._of_record(feature, events, 100)[0])


@pytest.mark.parametrize("op", sorted(set(Op) - {Op.OF_RECORD}), ids=lambda op: op.name)
def test_every_operation_has_a_formula(op: Op) -> None:
    """Of sums below FIRST_OF_TILES, of tiles below FIRST_OF_ROW, else of the row."""
    assert math.isfinite(of_row(op) if op >= FIRST_OF_ROW else of_tiles(op) if op >= FIRST_OF_TILES else of_sums(op))


@pytest.mark.parametrize("name", OF_RECORD)
def test_every_aggregation_of_the_record_has_a_formula(name: str) -> None:
    """Those that need no history."""
    assert math.isfinite(of_record(Feature(name, field="v1" if AGGREGATIONS[name].fields is None else "")))


def test_an_operation_that_nobody_wrote_down_is_refused() -> None:
    """By each part of the kernel, saying where it belongs; worker and image run every feature of the catalogue once, so they stop at start."""
    with pytest.raises(NotImplementedError, match=r"Add it to `kernel\._of_sums`"):
        of_sums(UNKNOWN)
    with pytest.raises(NotImplementedError, match=r"Add it to `episodes\.of_tiles`"):
        of_tiles(UNKNOWN)
    with pytest.raises(NotImplementedError, match=r"Add it to `kernel\._of_row`"):
        of_row(UNKNOWN)
    with pytest.raises(NotImplementedError, match=r"'count' makes of a payment\. Add it to `compute\._of_record`"):
        of_record(next(f for f in CATALOGUE if f.aggregation == "count"))


def test_every_operation_is_of_some_aggregation() -> None:
    """Else nothing computes it, and no test of features reaches it."""
    assert {aggregation.op for aggregation in AGGREGATIONS.values()} == set(Op)
