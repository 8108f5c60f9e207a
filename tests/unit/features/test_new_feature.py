"""The how-to of docs/features.md, done: one line in one place, and training, stream, state, reasons and documents have the feature."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

LINE = '        Feature("amount_zscore", "terminal", 7 * DAY_S),\n'

SCRIPT = """
import asyncio, importlib.util, sys
from pathlib import Path

name, line = "stream_app.features.definitions", sys.argv[1]
spec = importlib.util.find_spec(name)
source = Path(spec.origin).read_text()
place = '        Feature("declines", "card", HOUR_S),\\n'
assert source.count(place) == 1
module = sys.modules[name] = importlib.util.module_from_spec(spec)
exec(compile(source.replace(place, line + place), spec.origin, "exec"), module.__dict__)

import msgspec, numpy as np
from tests.memory_store import MemoryStore
from stream_app.features.compute import compute
from stream_app.features.definitions import CATALOGUE, VELOCITY, resolve
from stream_app.features.plan import compile_plan
from stream_app.features.profiles import features_of, features_table
from stream_app.scoring.intake import Decoded, decode_all, merge
from stream_app.messages.money import Money
from stream_app.explaining.reason_codes import reason_code
from stream_app.explaining.sentences import Usual, sentence
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from tests.parity.test_money import Record
from training.data.backfill import backfill
from training.data.dataset import read_transactions

[new] = [f for f in VELOCITY if f.name == "terminal_amount_zscore_7d"]
assert resolve([(new.name, new.hash)]) == (new,)
assert new in features_of("velocity") and f"`{new.name}`" in features_table()
assert reason_code(new) == "TERMINAL_AMOUNT_UNUSUAL" and sentence(new, 2.5, Usual(0, 0), "EUR").endswith("above the terminal's mean of the 7 days before.")

messages = [
    {"transaction_id": f"T{n}", "event_time": 1_522_540_800_000 + n * 3_600_000, "card_id": f"C{n % 3}", "terminal_id": "M",
     "amount": 10.0 + n % 7, "currency": "EUR"} for n in range(60)
]
file = Path(sys.argv[2])
file.write_bytes(b"".join(msgspec.json.encode(m) + b"\\n" for m in messages))
trained = backfill(read_transactions(file)).vectors

async def served():
    store, plan, vectors = MemoryStore(), compile_plan(VELOCITY), []
    store.hold([0], 1)
    state, cursor = await store.take_over(0)
    await state.begin(cursor)
    for start in range(0, len(messages), 7):
        records = [Record(start + i, m["card_id"].encode(), msgspec.json.encode(m), m["event_time"]) for i, m in enumerate(messages[start : start + 7])]
        intake = merge(decode_all(records, Decoder(Transaction, IntakeRules()), None), Decoded.of_none(), Money("EUR"))
        work = await state.read(intake.ids)
        vectors.append(compute(plan, intake.events, work.rows).vectors)
        await state.write(state.pack(work, cursor.position), cursor)
    return np.concatenate(vectors)

np.testing.assert_array_equal(trained, asyncio.run(served()))
column = trained[:, VELOCITY.index(new)]
amounts = np.array([m["amount"] for m in messages])
expected = [(amounts[n] - amounts[:n].mean()) / amounts[:n].std() if n > 1 and amounts[:n].std() else 0 for n in range(60)]
np.testing.assert_allclose(column, expected, rtol=1e-5, atol=1e-5)
print("done")
"""


def test_one_line_in_the_list_gives_a_feature_to_training_stream_state_reasons_and_documents(tmp_path: Path) -> None:
    """The terminal's z-score over a week, in a program of its own: trained equals served through packed state, and brute force."""
    command = [sys.executable, "-c", SCRIPT, LINE, str(tmp_path / "payments.jsonl")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout == "done\n", ran.stderr
