"""Packed values whose checksum is right and whose content is not, as of a program with a fault: refused by name, or read without harm."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import StateError
from stream_app.features.packing import Packer
from stream_app.features.plan import EntityPlan
from tests.examples import examples
from tests.fuzz.mangled import mangled_bytes
from tests.unit.features.test_packing import PLANS, reached

CHECKSUM = 4
KEYS = ["{g:0}c:good", "{g:0}c:bad"]
GOOD = {name: rows[0] for name, rows in reached(2, 200).items()}
PACKED = {name: Packer(plan.layout).pack(reached(2, 200)[name], np.array([0, 1]), ["tx-1", ""]) for name, plan in PLANS.items()}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@examples(50)
@given(data=st.data())
def test_a_forged_value_is_refused_or_fills_its_own_row_alone(plan: EntityPlan, data: st.DataObject) -> None:
    """Compiled code checks no bounds by itself: a number in a value must not write beyond its row."""
    good, other = PACKED[plan.entity]
    body = data.draw(mangled_bytes(other[CHECKSUM:]))
    forged = xxhash.xxh32_intdigest(body).to_bytes(CHECKSUM, "little") + body
    rows = np.full((4, plan.layout.width), 7, dtype=np.int64)
    with suppress(StateError):
        assert Packer(plan.layout).unpack([good, forged], KEYS, rows, np.array([1, 2]))[0] == "tx-1"
        assert np.array_equal(rows[1], GOOD[plan.entity])
    assert (rows[[0, 3]] == 7).all()
