"""A new quantity is a declaration: at any free number, combined in any way, tiles, windows, parts of partitions and packed rows have it right."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream_app.errors import SettingsError
from stream_app.features import kernel
from stream_app.features.aggregations import SCALARS, SETS, Combination, Fact, Measure, Quantity
from tests.conftest import ROOT

SCRIPT = """
import asyncio, importlib.util, sys
from pathlib import Path

def patched(name, *changes):
    spec = importlib.util.find_spec(name)
    source = Path(spec.origin).read_text()
    for old, new in changes:
        assert source.count(old) == 1, old
        source = source.replace(old, new)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    exec(compile(source, spec.origin, "exec"), module.__dict__)

low, high, high_of_sets = sys.argv[2:]
devices = '    DEVICES = 10, Combination.SET, Fact.DEVICE, "devices", 4, 4\\n'
first = 'Op.FIRST_TIME, entities=_CARD,'
risk = '        "risk": Aggregation('
whole = "entities=_ANY, windows_s=_WINDOWS, delays_s=(0, DELAY_S)),\\n"
patched(
    "stream_app.features.aggregations",
    (devices, devices + f'    TRIED_LARGEST = {low}, Combination.LARGEST, Measure.MONEY, "minor units"\\n'
     f'    TRIED_SPENT = {high}, Combination.SUM, Measure.MONEY, "minor units"\\n'
     f'    TRIED_PLACES = {high_of_sets}, Combination.SET, Fact.COUNTRY, "countries", 22, 2\\n'),
    ('"country": Quantity.COUNTRIES', '"country": Quantity.TRIED_PLACES'),
    (first, 'Op.FIRST_TIME, entities=_ANY,'),
    (risk, '        "tried_largest": Aggregation("largest", Op.PRIOR_COUNT, (_Q.TRIED_LARGEST,), ' + whole
     + '        "tried_spent": Aggregation("spent", Op.PRIOR_COUNT, (_Q.TRIED_SPENT,), ' + whole + risk),
)
place = '        Feature("declines", "card", HOUR_S),\\n'
new = "".join(
    f'        Feature("{what}", "{entity}", 7 * DAY_S, {delay}),\\n'
    for what in ("tried_largest", "tried_spent") for entity in ("card", "terminal") for delay in (0, "DELAY_S")
)
patched("stream_app.features.definitions", (place, new + '        Feature("first_time", "terminal", HORIZON_S, field="country"),\\n' + place))

import msgspec, numpy as np
from tests.memory_store import MemoryStore
from tests.named_ids import ids_of
from stream_app.features.aggregations import Quantity
from stream_app.features.compute import compute
from stream_app.features.definitions import VELOCITY
from stream_app.features.packing import Packer, largest_packed
from stream_app.features.plan import NEWEST, compile_plan
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.scoring.intake import Decoded, decode_all, merge
from tests.faults.oracle import LAYOUTS, Tally, _facts
from tests.parity.test_money import Record
from training.data.backfill import backfill
from training.data.dataset import read_transactions

DAY, HOUR, HOP = 86_400_000, 3_600_000, 21_600_000
COUNTRIES = ["DE", "FR", "BE", "NL", "LU", "IT"]
messages = [
    {"transaction_id": f"T{n}", "event_time": 1_522_540_800_000 + n * 3 * HOUR // 2, "card_id": f"C{n % 3}", "terminal_id": f"M{n % 2}",
     "amount": 10.0 + n * 37 % 101 * (1 + n * 7 // 30 % 5), "currency": "EUR", "country": COUNTRIES[min(n // 40, n * 5 % 6)]} for n in range(300)
]
file = Path(sys.argv[1])
file.write_bytes(b"".join(msgspec.json.encode(m) + b"\\n" for m in messages))
trained = backfill(read_transactions(file)).vectors

async def served():
    store, plan, vectors = MemoryStore(), compile_plan(VELOCITY), []
    store.hold([0, 1], 2)
    partitions = [await store.take_over(n) for n in (0, 1)]
    for state, cursor in partitions:
        await state.begin(cursor)
    for n, m in enumerate(messages):
        state, cursor = partitions[int(m["card_id"][1:]) % 2]
        records = [Record(n, m["card_id"].encode(), msgspec.json.encode(m), m["event_time"])]
        intake = merge(decode_all(records, Decoder(Transaction, IntakeRules()), None), Decoded.of_none(), Money("EUR"))
        work = await state.read(intake.ids)
        assert work.rows[1].own is not work.rows[1].total
        vectors.append(compute(plan, intake.events, work.rows).vectors)
        await state.write(state.pack(work, cursor.position), cursor)
    own = [(await state.read(ids_of([], ["M0", "M1"], []))).rows[1].own for state, _ in partitions]
    return np.concatenate(vectors), own

online, parts = asyncio.run(served())
np.testing.assert_array_equal(trained, online)

def before(n, entity, delay):
    now, same = messages[n]["event_time"], [m for m in messages[:n] if m[f"{entity}_id"] == messages[n][f"{entity}_id"]]
    if not delay:
        return [m for m in same if (now - 7 * DAY) // HOP < m["event_time"] // HOP]
    return [m for m in same if (now - 14 * DAY) // HOP * HOP <= m["event_time"] < (now - 7 * DAY) // HOUR * HOUR]

for entity in ("card", "terminal"):
    for delay, suffix in ((0, ""), (1, "_delay_7d")):
        for what, of in (("tried_largest", max), ("tried_spent", sum)):
            [column] = [n for n, f in enumerate(VELOCITY) if f.name == f"{entity}_{what}_7d{suffix}"]
            expected = [of([0, *(m["amount"] * 100 for m in before(n, entity, delay))]) for n in range(300)]
            np.testing.assert_array_equal(trained[:, column], expected, f"{entity} {what} {delay}")
            assert len(set(expected)) > 5
    [column] = [n for n, f in enumerate(VELOCITY) if f.name == f"{entity}_first_time_country_38d"]
    seen = [{m["country"] for m in messages[:n] if m[f"{entity}_id"] == messages[n][f"{entity}_id"]} for n in range(300)]
    np.testing.assert_array_equal(trained[:, column], [float(messages[n]["country"] not in seen[n]) for n in range(300)])

for partition, rows in enumerate(parts):
    for n in range(2):
        tally = Tally(LAYOUTS["terminal"])
        for m in messages:
            if int(m["card_id"][1:]) % 2 == partition and m["terminal_id"] == f"M{n}":
                tally.count(m["event_time"], round(m["amount"] * 100), _facts(m))
        np.testing.assert_array_equal(rows[n], tally.row())

for entity, layout in LAYOUTS.items():
    full, back, at = np.full((1, layout.width), -1), np.zeros((1, layout.width), dtype=np.int64), np.zeros(1, dtype=np.int64)
    full[0, NEWEST] = 253_402_300_799_999
    if entity != "card":
        [value] = Packer(layout).pack(full, at)
        assert len(value) <= largest_packed(layout)
        Packer(layout).unpack([value], ["k"], back, at)
        np.testing.assert_array_equal(back, full)
print("done")
"""


def test_a_quantity_of_each_combination_at_a_free_number_is_right_in_own_rows_and_in_rows_added_up(tmp_path: Path) -> None:
    """A largest, a sum and a set, of cards and of terminals in two partitions, offline, served and by the faults' oracle; compiled anew."""
    free, free_of_sets = [sorted(set(range(most)) - set(Quantity)) for most in (SCALARS, SETS)]
    numbers = [str(n) for n in (free[0], free[-1], free_of_sets[-1])]
    clean = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "payments.jsonl"), *numbers]
    ran = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert ran.stdout == "done\n", ran.stderr


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (
            (SCALARS, Combination.SUM, Measure.MONEY, "minor units"),
            r"number 16 cannot be kept: a set's number is 0 to 47, any other's 0 to 15",
        ),
        ((-1, Combination.SUM, Measure.MONEY, "minor units"), "number -1 cannot be kept"),
        ((SETS, Combination.SET, Fact.COUNTRY, "countries", 11, 1), "number 48 cannot be kept"),
        ((7, Combination.LARGEST, Measure.FRAUD, "frauds"), "quantity of frauds .* what can be taken back has no largest"),
        ((7, Combination.SUM, Fact.COUNTRY, "countries"), "a set is of a Fact, any other of a Measure"),
        ((11, Combination.SET, Measure.MONEY, "minor units", 4, 4), "a set is of a Fact"),
        ((11, Combination.SET, Fact.COUNTRY, "countries"), "a set, and nothing else, has bits for each member"),
        ((11, Combination.SET, Fact.COUNTRY, "countries", 64, 1), "in 1 to 63 words"),
        ((7, Combination.SUM, Measure.MONEY, "minor units", 4, 4), "a set, and nothing else"),
    ],
)
def test_a_declaration_that_makes_no_sense_stops_the_program_at_start(declared: tuple[Any, ...], why: str) -> None:
    """With what is allowed: nothing is written beside an array, and nothing packed that could not be read."""
    with pytest.raises(SettingsError, match=why):
        vars(Quantity)["_new_member_"](Quantity, *declared)


def test_every_measure_is_left_by_some_event() -> None:
    """A measure that the kernel does not fill would be 0 in every feature."""
    left, weights = np.zeros(len(Measure), dtype=np.int64), np.zeros(len(Measure), dtype=np.int64)
    facts = np.ones(len(Fact), dtype=np.int64)
    for effect, counted in ((kernel.COUNT, True), (kernel.SCORE, False), (kernel.GIVE_BACK, False), (kernel.ADD_FRAUD, False)):
        kernel._weigh(effect, counted, 1, 500, facts, weights)
        left += weights
    assert [measure.name for measure in Measure if not left[measure]] == []
