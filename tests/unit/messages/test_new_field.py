"""A field that is added to `Transaction`, and nowhere else, arrives everywhere: in the decoder's checks, in files, in replays, in alerts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stream_app.messages.fields import FieldKind, fields_of, names
from stream_app.messages.transaction import Label, Transaction
from tests.conftest import ROOT

SCRIPT = """
import importlib.util, json, sys
from pathlib import Path

name, place = "stream_app.messages.transaction", "    ip: Optional64 = None\\n    attributes"
spec = importlib.util.find_spec(name)
source = Path(spec.origin).read_text()
assert source.count(place) == 1
head = place.removesuffix('    attributes')
new = '    tried_mode: Optional64 = None\\n    wallet: str | None = None\\n    tip: Amount | None = None\\n'
new += '    recurring: bool | None = None\\n    journey: Literal["web", "app"] = "web"\\n'
module = sys.modules[name] = importlib.util.module_from_spec(spec)
exec(compile(source.replace(place, head + new + '    attributes'), spec.origin, "exec"), module.__dict__)

import msgspec
from stream_app.commands.produce import replay_of
from stream_app.commands.replay import transaction_records
from stream_app.errors import RecordError
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
import tests.conftest  # registers the profile of Hypothesis that the next line asks for
from tests.unit.scoring.test_scorer import Till
from training.data.dataset import read_transactions

T = 1_522_540_800_000
common = {"event_time": T, "card_id": "card-1", "terminal_id": "M", "amount": 900.0, "currency": "EUR"}
given = {"tried_mode": "05", "wallet": "w-1", "tip": 1.5, "recurring": True, "journey": "app"}
rows = [common | given | {"transaction_id": "T0"}, common | {"transaction_id": "T1"}]
decode = Decoder(Transaction, IntakeRules()).decode

folder = Path(sys.argv[1])
(folder / "a.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\\n" for row in rows))
header = [*common, "transaction_id", *given]
texts = [[("true" if v is True else str(v)) if (v := row.get(n)) is not None else "" for n in header] for row in rows]
(folder / "a.csv").write_text("\\n".join(map(",".join, [header, *texts])) + "\\n")
for path in (folder / "a.jsonl", folder / "a.csv"):
    frame = read_transactions(path)
    lost = set(given) - set(frame.columns)
    assert not lost, f"training/data/files.py drops {lost} of {path.suffix}"
    replay = replay_of(frame)
    (_, full), (_, bare) = transaction_records(replay.transactions, 0, 2)
    sent = msgspec.json.decode(full)
    assert {n: sent.get(n) for n in given} == given, f"produce sends {sent} of {path.suffix}"
    assert set(given) & set(msgspec.json.decode(bare)) == set(), f"produce sends {bare!r} of {path.suffix}"
    tx = decode(full, b"card-1", T, T)
    assert {n: getattr(tx, n) for n in given} == given, "the decoder"
    assert decode(bare, b"card-1", T, T).journey == "web", "the decoder's default"

for field in ("tried_mode", "wallet"):
    try:
        decode(msgspec.json.encode(rows[1] | {field: "a\\x07b"}), b"card-1", T, T)
    except RecordError as refused:
        assert refused.message == f"{field} contains a control character."
    else:
        raise AssertionError(f"the decoder takes a control character in {field}")
    assert getattr(decode(msgspec.json.encode(rows[1] | {field: ""}), b"card-1", T, T), field) is None, "the decoder takes an empty text for one"

published = {m.topic: json.loads(m.value) for m in Till().take(rows[0]).messages}
for topic in ("alerts", "scores"):
    assert {n: published[topic].get(n) for n in given} == given, f"scoring/scorer.py leaves fields out of {topic}"
print("done")
"""


def test_a_field_of_every_kind_arrives_in_checks_files_replays_and_alerts(tmp_path: Path) -> None:
    """Two texts, an amount, a flag and a choice with a default, in a program of its own; the place that forgets one is named."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout == "done\n", ran.stderr


def test_a_field_that_nobody_knows_to_take_is_refused_by_its_name() -> None:
    """At import: neither files nor checks would know what to do with it."""

    class Strange(msgspec.Struct):
        both: int | float | None = None

    class Nested(msgspec.Struct):
        inner: list[str]

    with pytest.raises(TypeError, match=r"Strange\.both: nobody says how"):
        fields_of(Strange)
    with pytest.raises(TypeError, match=r"Nested\.inner: nobody says how .* Add it to `messages\.fields`"):
        fields_of(Nested)


def test_the_texts_of_the_messages_are_those_of_no_list_and_no_form() -> None:
    """The rest is held by its list, its pattern or its choices."""
    of = {message: [f.name for f in fields_of(message) if f.kind is FieldKind.TEXT] for message in (Transaction, Label)}
    assert of[Transaction] == ["transaction_id", "card_id", "terminal_id", "merchant_id", "device_id", "ip"]
    assert of[Label] == ["transaction_id", "card_id", "terminal_id", "source", "merchant_id", "ip"]


def test_the_readme_names_every_text_that_may_hold_no_control_character() -> None:
    """In its table of bad input: ids, and each text that may be left out."""
    (row,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `control_character` |")]
    assert [name for name in names(fields_of(Transaction), FieldKind.TEXT, required=False) if f"`{name}`" not in row] == []
