"""The packed form of a row: nothing is lost, nothing damaged is read, and its size has a bound."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import NewerState, StateError
from stream_app.features import kernel
from stream_app.features.aggregations import SCALARS, SETS, Combination, Quantity
from stream_app.features.compute import Events, Rows, compute
from stream_app.features.definitions import HANDBOOK
from stream_app.features.facts import facts_of, hashes
from stream_app.features.packed_rows import FORMAT
from stream_app.features.packing import Packer, largest_packed
from stream_app.features.plan import (
    DECLINES_LEN,
    LABELS_LEN,
    NEWEST,
    RECENT_LEN,
    RECENT_NEXT,
    EntityPlan,
    Ints,
    catalogue_plan,
    row_layout_of,
)
from tests.examples import examples
from tests.later import later

START, DAY = 1_522_540_800_000, 86_400_000
PLANS: dict[str, EntityPlan] = {plan.entity: plan for plan in catalogue_plan().entities}
entities = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


def facts(draw: np.random.Generator, events: int) -> Ints:
    """Every kind of fact, some missing."""
    names = hashes([f"name {n}" for n in range(30)])
    place = draw.uniform(-90, 90, events), draw.uniform(-180, 180, events)
    place[0][draw.random(events) < 0.2] = np.nan
    return facts_of(
        draw.choice(names, events),
        online=draw.random(events) < 0.5,
        place=place,
        countries=draw.integers(0, 677, events),
        devices=draw.choice([0, *names.tolist()], events),
        cards=draw.choice(names, events),
        mccs=draw.integers(0, 10_001, events),
    )


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
        entities=tuple(draw.integers(0, entities_, events) for _ in PLANS),
        facts=facts(draw, events),
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


@examples(60)
@given(st.integers(0, 2**32), st.integers(0, 400), st.lists(st.text(max_size=64), min_size=3, max_size=3))
def test_what_was_packed_is_unpacked(seed: int, events: int, cases: list[str]) -> None:
    """Rows that a stream can reach come back to the bit, with their case ids, into rows that held something else; packing leaves no trace."""
    rows, every = reached(seed, events), np.arange(3)
    for name, plan in PLANS.items():
        packer, back = Packer(plan.layout), np.full_like(rows[name], 7)
        packed = packer.pack(rows[name], every, cases)
        assert packer.pack(rows[name], every, cases) == packed
        found = packer.unpack(packed, ["a", "b", "c"], back, every)
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
@examples(150)
@given(data=st.data())
def test_a_flipped_or_cut_value_is_refused_by_the_name_of_its_key(plan: EntityPlan, data: st.DataObject) -> None:
    """Any bit that flips, any byte at the end that is missing or too many: StateError with the key."""
    packer, rows = Packer(plan.layout), reached(2, 120)[plan.entity]
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


def sealed(recent: int, labels: int, declines: int, after: bytes = b"", following: int = 0) -> bytes:
    """A card that says it remembers so many, and where its next transaction goes; its checksum is right."""
    word, one = (7).to_bytes(8, "little"), b"\x01"
    numbers = b"\x01\x01\x00" + bytes([following]) + bytes([recent]) + recent * word + bytes([labels]) + labels * (word + one)
    numbers += b"\x00" + bytes([declines]) + declines * one + b"\x00"
    body = bytes([FORMAT]) + PLANS["card"].layout.fingerprint.to_bytes(4, "little") + numbers + after
    return xxhash.xxh32_intdigest(body).to_bytes(4, "little") + body


def cases_of(value: bytes) -> list[str]:
    """What is unpacked of one card."""
    layout = PLANS["card"].layout
    return Packer(layout).unpack([value], ["k"], np.zeros((1, layout.width), dtype=np.int64), np.arange(1))


@pytest.mark.parametrize("more", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_card_that_says_it_remembers_more_than_there_is_room_for_is_refused(more: tuple[int, int, int]) -> None:
    """Transactions, labels, declines: the checksum is right, the next number's place would be another's. As many as there is room for are read."""
    recent, labels, declines = (most + one for most, one in zip((RECENT_LEN, LABELS_LEN, DECLINES_LEN), more, strict=True))
    if any(more):
        with pytest.raises(StateError, match="its numbers end too early"):
            cases_of(sealed(recent, labels, declines))
    else:
        assert cases_of(sealed(recent, labels, declines)) == [""]


def test_a_card_whose_next_transaction_goes_beyond_its_row_is_refused() -> None:
    """The kernel writes there without a look: it would be another's memory."""
    assert cases_of(sealed(0, 0, 0, following=RECENT_LEN - 1)) == [""]
    with pytest.raises(StateError, match="its numbers end too early"):
        cases_of(sealed(0, 0, 0, following=RECENT_LEN))


def test_a_case_that_is_no_text_is_damage_and_no_fault_of_a_payment() -> None:
    """Its partition is rebuilt; else every payment of the card would be a dead letter."""
    assert cases_of(sealed(0, 0, 0, after="c\u00e4se".encode())) == ["c\u00e4se"]
    with pytest.raises(StateError, match="'k' cannot be read: its case id is not UTF-8"):
        cases_of(sealed(0, 0, 0, after=b"\xff"))


@entities
def test_a_case_id_that_is_no_text_is_damage_and_nothing_else(plan: EntityPlan) -> None:
    """The checksum is right. Any other error would be taken for the payment's fault, and make a dead letter of it."""
    packer, rows, at = Packer(plan.layout), reached(6, 100)[plan.entity], np.array([0])
    [value] = packer.pack(rows, at)
    body = value[4:] + b"\xff"
    with pytest.raises(StateError, match="'k' cannot be read: its case id is not UTF-8"):
        packer.unpack([xxhash.xxh32_intdigest(body).to_bytes(4, "little") + body], ["k"], np.zeros_like(rows), at)


@entities
def test_a_value_of_another_catalogue_is_read_as_far_as_the_two_agree(plan: EntityPlan) -> None:
    """A catalogue with fewer features lays rows out otherwise; what both have comes through either way, what one lacks is empty."""
    fewer = row_layout_of(plan.entity, HANDBOOK)
    assert fewer.fingerprint != plan.layout.fingerprint
    rows, every = reached(4, 300)[plan.entity], np.arange(3)
    kept, back = np.full((3, fewer.width), 7, dtype=np.int64), np.full_like(rows, 7)
    Packer(fewer).unpack(Packer(plan.layout).pack(rows, every), ["a", "b", "c"], kept, every)
    Packer(plan.layout).unpack(Packer(fewer).pack(kept, every), ["a", "b", "c"], back, every)
    assert np.array_equal(kept[:, : fewer.header], rows[:, : fewer.header])
    for key, (first, tiles) in plan.layout.series.items():
        if key[1].combination is Combination.SET:
            continue
        newest = rows[:, NEWEST, None] // (key[0] * 1000)
        n = fewer.series.get(key, (0, 0))[1]
        ages = (newest - np.arange(tiles)) % tiles
        age = np.argsort(ages, axis=1)  # age of each position of the ring
        expected = np.where(age < n, rows[:, first : first + tiles], 0)
        assert np.array_equal(back[:, first : first + tiles], expected), key


@entities
def test_a_set_that_only_a_newer_version_knows_is_passed_over(plan: EntityPlan) -> None:
    """Whatever number it has: a worker that is rolled back reads what the newer one wrote, and calls nothing damaged."""
    packer, rows, at = Packer(plan.layout), reached(5, 200)[plan.entity], np.array([0])
    [value] = packer.pack(rows, at)
    for number in (11, SETS - 1):
        body = value[4:-1] + bytes([SCALARS + number, 1, 1]) + bytes(8) + bytes([0, 0])
        back = np.full_like(rows, 7)
        packer.unpack([xxhash.xxh32_intdigest(body).to_bytes(4, "little") + body], ["k"], back, at)
        assert np.array_equal(back[0], rows[0])


def test_the_former_format_is_read_to_the_last_tile() -> None:
    """Values as the version before wrote them: their ledger, every tile in its place, and nothing else."""
    numbered = {int(quantity): quantity for quantity in Quantity}
    for case in msgspec.json.decode((Path(__file__).parent / "packed_format_1.json").read_bytes()):
        layout = PLANS[case["entity"]].layout
        expected: Ints = np.zeros((1, layout.width), dtype=np.int64)
        expected[0, : len(case["header"])] = case["header"]
        for hop_ms, quantity, tile, value in case["tiles"]:
            first, tiles = layout.series[hop_ms // 1000, numbered[quantity]]
            expected[0, first + tile % tiles] = value
        row = np.full((1, layout.width), 7, dtype=np.int64)
        packer = Packer(layout)
        assert packer.unpack([bytes.fromhex(case["value"])], ["k"], row, np.array([0])) == [case["case"]]
        assert np.array_equal(row, expected)
        again = np.zeros_like(row)
        packer.unpack(packer.pack(row, np.array([0])), ["k"], again, np.array([0]))
        assert np.array_equal(again, row)


SHARED = {name: plan for name, plan in PLANS.items() if plan.entity != "card"}
shared = pytest.mark.parametrize("plan", SHARED.values(), ids=SHARED)


@shared
@examples(60)
@given(st.integers(0, 2**32), st.integers(0, 2**32), st.integers(0, 200), st.integers(0, 90))
def test_a_packed_part_is_added_as_it_is_unpacked_and_absorbed(plan: EntityPlan, seed: int, other: int, events: int, days: int) -> None:
    """Whichever of the two is the newer, however far, also where nothing is known yet, and to an empty row."""
    part, total = reached(seed, events)[plan.entity], reached(other, events, 1 + days)[plan.entity]
    total[2], at = 0, np.arange(3)
    expected, packer = total.copy(), Packer(plan.layout)
    kernel.absorb_all(plan.layout.table, expected, at, part)
    assert packer.add(packer.pack(part, at), ["a", "b", "c"], total, at) is False
    assert np.array_equal(total, expected)


def test_a_packed_part_of_another_catalogue_and_of_the_former_format_is_added_as_far_as_it_is_known() -> None:
    """Rows of a catalogue with fewer features, and values as the version before wrote them."""
    for plan in SHARED.values():
        fewer, at = Packer(row_layout_of(plan.entity, HANDBOOK)), np.array([0])
        values = fewer.pack(np.zeros((1, row_layout_of(plan.entity, HANDBOOK).width), dtype=np.int64), at)
        cases = msgspec.json.decode((Path(__file__).parent / "packed_format_1.json").read_bytes())
        values += [bytes.fromhex(case["value"]) for case in cases if case["entity"] == plan.entity]
        for value in values:
            row, total = np.zeros((2, 1, plan.layout.width), dtype=np.int64)
            Packer(plan.layout).unpack([value], ["k"], row, at)
            Packer(plan.layout).add([value], ["k"], total, at)
            assert np.array_equal(total[:, NEWEST:], row[:, NEWEST:])


@shared
def test_of_parts_one_of_which_is_damaged_none_is_added(plan: EntityPlan) -> None:
    """Its checksum, or with a right one numbers that end before it, or not within it; a later format is passed over, and told."""
    packer, rows, at = Packer(plan.layout), reached(7, 300)[plan.entity], np.arange(2)
    good, value = packer.pack(rows, at)
    for body, why in (
        (value[4:-1], "its numbers do not end with it"),
        (value[4:] + b"more", "its numbers do not end with it"),
        (None, "its checksum is wrong"),
    ):
        damaged = value[:-1] if body is None else xxhash.xxh32_intdigest(body).to_bytes(4, "little") + body
        total = rows.copy()
        with pytest.raises(StateError, match=f"'damaged' cannot be read: {why}"):
            packer.add([good, damaged], ["good", "damaged"], total, at)
        assert np.array_equal(total, rows)
    alone, beside = rows.copy(), rows.copy()
    assert packer.add([good, later(value)], ["good", "later"], beside, at) is True
    packer.add([good, None], ["good", ""], alone, at)
    assert np.array_equal(alone, beside)


@shared
@examples(40)
@given(
    st.integers(0, 2**32), st.lists(st.lists(st.sampled_from(["none", "part", "later"]), min_size=3, max_size=3), min_size=1, max_size=4)
)
def test_the_sum_of_all_parts_is_what_adding_one_after_the_other_gives(plan: EntityPlan, seed: int, kinds: list[list[str]]) -> None:
    """Rows that hold something else before, ids without any part, and parts of a later format, whose partitions are told."""
    packer, names, at, parts = Packer(plan.layout), ["a", "b", "c"], np.array([4, 0, 2]), list[list[bytes | None]]()
    for n, of_partition in enumerate(kinds):
        values = packer.pack(reached(seed + n, 120)[plan.entity], np.arange(3))
        parts.append([{"none": None, "part": v, "later": later(v)}[kind] for v, kind in zip(values, of_partition, strict=True)])
    before = np.resize(reached(seed + 9, 120)[plan.entity], (5, plan.layout.width))
    expected, found = np.zeros_like(before), before.copy()
    newer = {n for n, values in enumerate(parts) if packer.add(values, names, expected, at)}
    assert packer.sum(parts, names, found, at) == newer
    assert np.array_equal(found[at], expected[at])
    assert np.array_equal(found[[1, 3]], before[[1, 3]])


@shared
def test_the_part_that_damages_a_sum_is_named_with_its_partition(plan: EntityPlan) -> None:
    """Its checksum, or its numbers: the partition has to be rebuilt, and no other."""
    packer, rows, at = Packer(plan.layout), reached(7, 300)[plan.entity], np.arange(2)
    good, value = packer.pack(rows, at)
    cut = value[4:-1]
    for damaged in (value[:-1], xxhash.xxh32_intdigest(cut).to_bytes(4, "little") + cut):
        with pytest.raises(StateError, match="'second' cannot be read") as refused:
            packer.sum([[good, good], [None, None], [good, damaged]], ["first", "second"], rows.copy(), at)
        assert refused.value.partition == 2


def test_a_value_of_a_format_that_nobody_ever_wrote_is_refused() -> None:
    """No format is 0, and the former one knew no devices."""
    for name, number in (("card", 0), ("device", FORMAT - 1)):
        packer, row = Packer(PLANS[name].layout), np.zeros((1, PLANS[name].layout.width), dtype=np.int64)
        body = bytes([number, 0, 0, 0, 0, 0, 0, 0])
        value = xxhash.xxh32_intdigest(body).to_bytes(4, "little") + body
        for unpack in (packer.unpack, packer.unpack_known):
            with pytest.raises(
                StateError, match=f"'k' cannot be read: it has format {number}, this version reads {FORMAT - 1} and {FORMAT}"
            ):
                unpack([value], ["k"], row, np.array([0]))


@entities
def test_a_value_of_a_later_format_is_known_for_what_it_is(plan: EntityPlan) -> None:
    """Whole, it is no damage: its own error, or zeros where the caller is told; with a bit that flipped it is damaged as any other."""
    packer, rows = Packer(plan.layout), reached(6, 100)[plan.entity]
    known, newer = packer.pack(rows, np.array([0, 1]))
    newer = later(newer)
    back = np.full_like(rows, 7)
    with pytest.raises(NewerState, match=f"'newer' has format {FORMAT + 1}, this version reads up to {FORMAT}"):
        packer.unpack([known, newer], ["known", "newer"], back, np.array([0, 1]))
    assert (back == 7).all()
    assert packer.unpack_known([known, newer], ["known", "newer"], back, np.array([0, 1])) == (["", ""], True)
    assert np.array_equal(back[0], rows[0])
    assert not back[1].any()
    flipped = newer[:-1] + bytes([newer[-1] ^ 1])
    with pytest.raises(StateError, match="'flipped' cannot be read: its checksum is wrong"):
        packer.unpack_known([newer, flipped], ["newer", "flipped"], back, np.array([0, 1]))


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


@pytest.mark.parametrize(("entity", "aim"), [("card", 6000), ("terminal", 8500), ("device", 3000)])
def test_the_bound_of_the_busiest_entity_keeps_to_what_is_aimed_at(entity: str, aim: int) -> None:
    """However busy: a card within 6 kB, a terminal 8.5 kB, a device 3 kB. A quantity that goes beyond is a decision on memory: raise it here."""
    assert largest_packed(PLANS[entity].layout) <= aim


def test_cards_and_terminals_as_in_the_handbook_keep_to_their_sizes() -> None:
    """Two payments a day per card and one a day per terminal over 60 days, labels for one in a hundred: 1 kB and 2 kB in the mean."""
    draw, count, cards = np.random.default_rng(3), 60 * 400, 200
    kinds = draw.choice([kernel.PAYMENT, kernel.LABEL_FRAUD], count, p=[0.99, 0.01]).astype(np.int8)
    times = START + np.sort(draw.integers(0, 60 * DAY, count))
    terminals = draw.integers(0, 2 * cards, count)
    stream = Events(
        kinds=kinds,
        times_ms=times,
        labelled_ms=times,
        ids=draw.integers(1, 2**63 - 1, count),
        minor=draw.integers(100, 20_000, count),
        entities=(draw.integers(0, cards, count), terminals, np.full(count, -1)),
        facts=facts_of(hashes([f"T{n}" for n in terminals.tolist()])),
    )
    own = {name: np.zeros((2 * cards, plan.layout.width), dtype=np.int64) for name, plan in PLANS.items()}
    compute(catalogue_plan(), stream, [Rows.alone(own[name]) for name in PLANS])
    sizes = {name: [len(v) for v in Packer(plan.layout).pack(own[name], np.arange(2 * cards))] for name, plan in PLANS.items()}
    assert np.mean(sizes["card"][:cards]) <= 1000
    assert np.mean(sizes["terminal"]) <= 2000
