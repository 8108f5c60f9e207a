"""The packed form of a row: nothing is lost, nothing damaged is read, and its size has a bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.errors import StateError
from stream_app.features import kernel
from stream_app.features.compute import Events, Rows, compute
from stream_app.features.definitions import CATALOGUE
from stream_app.features.packing import Packer, largest_packed
from stream_app.features.plan import NEWEST, RECENT_LEN, RECENT_NEXT, EntityPlan, Ints, catalogue_plan, layout_of

START, DAY = 1_522_540_800_000, 86_400_000
PLANS: dict[str, EntityPlan] = {plan.entity: plan for plan in catalogue_plan().entities}
entities = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


def reached(seed: int, events: int, days: int = 60, entities_: int = 3) -> dict[str, Ints]:
    """Rows as a random stream of payments and labels leaves them."""
    draw = np.random.default_rng(seed)
    kinds = draw.choice([kernel.PAYMENT, kernel.DECLINED, kernel.CREDIT, kernel.LABEL_GENUINE, kernel.LABEL_FRAUD], events).astype(np.int8)
    times = START + draw.integers(0, days * DAY, events)
    stream = Events(
        kinds=kinds,
        times_ms=times,
        labelled_ms=np.where(kinds >= kernel.LABEL_GENUINE, times + draw.integers(0, DAY, events), 0),
        ids=draw.integers(1, 2**63 - 1, events),
        minor=draw.integers(-1, 10**13, events),
        entities=(draw.integers(0, entities_, events), draw.integers(0, entities_, events)),
    )
    rows = {name: np.zeros((entities_, plan.layout.width), dtype=np.int64) for name, plan in PLANS.items()}
    compute(catalogue_plan(), stream, [Rows.alone(rows[name]) for name in PLANS])
    return rows


def fullest(plan: EntityPlan) -> Ints:
    """A row with the widest number in every place that counts or adds up."""
    row = np.full((1, plan.layout.width), -1, dtype=np.int64)
    row[0, NEWEST] = 253_402_300_799_999
    if plan is PLANS["card"]:
        row[0, RECENT_NEXT] = RECENT_LEN - 1
    return row


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 400), st.lists(st.text(max_size=64), min_size=3, max_size=3))
def test_what_was_packed_is_unpacked(seed: int, events: int, cases: list[str]) -> None:
    """Rows that a stream can reach come back to the bit, with their case ids, into rows that held something else."""
    rows, every = reached(seed, events), np.arange(3)
    for name, plan in PLANS.items():
        packer, back = Packer(plan.layout), np.full_like(rows[name], 7)
        found = packer.unpack(packer.pack(rows[name], every, cases), ["a", "b", "c"], back, every)
        assert np.array_equal(back, rows[name])
        assert found == cases


def test_chosen_rows_are_packed_and_missing_values_become_zeros() -> None:
    """Row 2 is written into row 0; a value that is None makes zeros; the row that was not chosen stays."""
    plan, rows = PLANS["card"], reached(1, 200)["card"]
    packer, back = Packer(plan.layout), np.full_like(rows, 7)
    [value] = packer.pack(rows, np.array([2]), ["case"])
    assert packer.unpack([value, None], ["a", "b"], back, np.array([0, 1])) == ["case", ""]
    assert np.array_equal(back[0], rows[2])
    assert not back[1].any()
    assert (back[2] == 7).all()


@entities
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_flipped_or_cut_value_is_refused_by_the_name_of_its_key(plan: EntityPlan, data: st.DataObject) -> None:
    """Any bit that flips, any byte at the end that is missing or too many: StateError with the key."""
    packer, rows = Packer(plan.layout), reached(2, 120)["card" if plan is PLANS["card"] else "terminal"]
    good, bad = packer.pack(rows, np.array([0, 1]), ["tx-1", ""])
    damaged = bytearray(bad)
    if data.draw(st.booleans()):
        damaged[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif data.draw(st.booleans()):
        damaged = damaged[: data.draw(st.integers(0, len(bad) - 1))]
    else:
        damaged += data.draw(st.binary(min_size=1, max_size=3))
    with pytest.raises(StateError, match=r"\{g:0\}c:bad"):
        packer.unpack([good, bytes(damaged)], ["{g:0}c:good", "{g:0}c:bad"], np.zeros_like(rows), np.array([0, 1]))


def test_a_value_of_another_layout_is_refused() -> None:
    """A catalogue with other features lays rows out otherwise; its values are not taken for ours."""
    plan, fewer = PLANS["card"], layout_of("card", [f for f in CATALOGUE if f.aggregation != "amount_zscore"])
    assert fewer.fingerprint != plan.layout.fingerprint
    [value] = Packer(fewer).pack(np.zeros((1, fewer.width), dtype=np.int64), np.array([0]))
    with pytest.raises(StateError, match="another format or layout"):
        Packer(plan.layout).unpack([value], ["k"], np.zeros((1, plan.layout.width), dtype=np.int64), np.array([0]))


@entities
def test_the_fullest_row_keeps_to_the_stated_bound(plan: EntityPlan) -> None:
    """Every tile, id and label there, each number at its widest: within the bound, close to it, and back to the bit."""
    packer, row = Packer(plan.layout), fullest(plan)
    [value] = packer.pack(row, np.array([0]))
    bound = largest_packed(plan.layout)
    assert 0.8 * bound < len(value) <= bound
    back = np.zeros_like(row)
    packer.unpack([value], ["k"], back, np.array([0]))
    assert np.array_equal(back, row)


@pytest.mark.parametrize(("entity", "bound"), [("card", 3500), ("terminal", 8000)])
def test_the_bound_of_the_busiest_entity_is_as_the_documents_say(entity: str, bound: int) -> None:
    """However busy: a card below 3.5 kB, a terminal below 8 kB."""
    assert largest_packed(PLANS[entity].layout) <= bound


def test_cards_and_terminals_as_in_the_handbook_keep_to_their_sizes() -> None:
    """Two payments a day per card and one a day per terminal over 60 days, labels for one in a hundred: 1 kB and 2 kB in the mean."""
    draw, count, cards = np.random.default_rng(3), 60 * 400, 200
    kinds = draw.choice([kernel.PAYMENT, kernel.LABEL_FRAUD], count, p=[0.99, 0.01]).astype(np.int8)
    times = START + np.sort(draw.integers(0, 60 * DAY, count))
    stream = Events(
        kinds=kinds,
        times_ms=times,
        labelled_ms=times,
        ids=draw.integers(1, 2**63 - 1, count),
        minor=draw.integers(100, 20_000, count),
        entities=(draw.integers(0, cards, count), draw.integers(0, 2 * cards, count)),
    )
    own = {name: np.zeros((2 * cards, plan.layout.width), dtype=np.int64) for name, plan in PLANS.items()}
    compute(catalogue_plan(), stream, [Rows.alone(own[name]) for name in PLANS])
    sizes = {name: [len(v) for v in Packer(plan.layout).pack(own[name], np.arange(2 * cards))] for name, plan in PLANS.items()}
    assert np.mean(sizes["card"][:cards]) <= 1000
    assert np.mean(sizes["terminal"]) <= 2000
