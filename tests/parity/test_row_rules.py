"""One set of rules for a row: what training takes a worker takes, and the other way round, and both refuse with one code and one sentence."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.commands.replay import label_records, replay_of, transaction_records
from stream_app.errors import DataError, RecordError
from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.fields import FieldKind, fields_of
from stream_app.messages.transaction import ATTRIBUTE, Decoder, IntakeRules, Label, Transaction
from tests.contract.messages import AWKWARD_VALUES, SOME, VALID, messages
from tests.contract.schemas import SCHEMAS
from training.data.columns import LATEST_IN_FILE_MS, RefusedRow
from training.data.dataset import read_transactions

FIELDS = {field.name: field for field in fields_of(Transaction)}
DECODER, LABELS = Decoder(Transaction, IntakeRules()), Decoder(Label, IntakeRules())
SUFFIXES = (".jsonl", ".csv", ".parquet")
RIGHT = SCHEMAS["transaction"]["examples"][-1]
_KINDS: dict[FieldKind, Any] = {
    FieldKind.TEXT: str, FieldKind.CODE: str, FieldKind.NUMBER: (int, float), FieldKind.TIME: int, FieldKind.FLAG: bool, FieldKind.OWN: dict
}  # fmt: skip


def by_worker(value: bytes) -> RecordError | None:
    """Why a worker refuses a record; None where it takes it."""
    card_id = json.loads(value).get("card_id")
    try:
        DECODER.decode(value, card_id.encode() if isinstance(card_id, str) else b"", 2 * MAX_EVENT_TIME_MS, None)
    except RecordError as refusal:
        return refusal
    return None


def by_file(path: Path) -> DataError | None:
    """Why the file reader refuses it. What it takes, `produce` publishes, and a worker takes that: payment and label."""
    try:
        frame = read_transactions(path)
    except DataError as refusal:
        return refusal
    replay = replay_of(frame)
    for key, value in transaction_records(replay.transactions, 0, len(replay.transaction_times_ms)):
        DECODER.decode(value, key, 2 * MAX_EVENT_TIME_MS, None)
    for key, value in label_records(replay.labels, 0, len(replay.label_times_ms)):
        LABELS.decode(value, key, 2 * MAX_EVENT_TIME_MS, None)
    return None


def written(path: Path, row: dict[str, Any]) -> bool:
    """The row as a file, with its label; False where the format cannot hold it."""
    row = row | {"is_fraud": True}
    flat = {k: v for k, v in row.items() if k != "attributes"}
    attributes = row.get("attributes")
    flat |= {ATTRIBUTE + k: v for k, v in attributes.items()} if isinstance(attributes, dict) else {}
    if path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    elif path.suffix == ".parquet":
        try:
            pyarrow.parquet.write_table(pa.Table.from_pylist([flat]), path)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            return False
    else:
        if any(isinstance(v, (dict, list)) for v in flat.values()) or any(not k.isprintable() for k in flat):
            return False
        texts = [v if isinstance(v, str) else "" if v is None else json.dumps(v) for v in flat.values()]
        if any("\n" in text or "\r" in text for text in texts):
            return False  # another form of CSV
        with path.open("w", newline="", encoding="utf-8") as opened:
            csv.writer(opened).writerows([list(flat), texts])
    return True


def spelt_otherwise(row: dict[str, Any]) -> bool:
    """Whether a row holds what only files may say so: null or an empty text for nothing, a number as text, an id as a number, 1 for true."""
    for name, value in row.items():
        field = FIELDS.get(name)
        if field is None:
            continue
        if not isinstance(value, _KINDS[field.kind]) or (isinstance(value, bool) and field.kind is not FieldKind.FLAG):
            return True
        if value == "" or (
            isinstance(value, dict) and any(isinstance(v, bool) or not isinstance(v, (int, float, str)) for v in value.values())
        ):
            return True
        if field.kind is FieldKind.TIME and value > LATEST_IN_FILE_MS:
            return True
    return False


def large(row: dict[str, Any]) -> bool:
    """Whether a number is beyond what Arrow reads as a number of JSON: no file holds such."""
    values = [*row.values(), *(row["attributes"].values() if isinstance(row.get("attributes"), dict) else ())]
    return any(isinstance(v, int) and abs(v) >= 2**63 for v in values)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_record_that_the_worker_takes_is_a_row_that_training_takes(tmp_path: Path, suffix: str) -> None:
    """Whatever it holds: each field at its bounds, texts of any script; what `produce` makes of the row is taken again."""
    path, taken = tmp_path / f"t{suffix}", 0

    @SOME
    @given(VALID["transaction"])
    @example(RIGHT | {"attributes": {}, "merchant_id": ""})
    def takes(row: dict[str, Any]) -> None:
        nonlocal taken
        row = row | {"event_time": min(row["event_time"], LATEST_IN_FILE_MS)}
        if large(row) or by_worker(json.dumps(row).encode()) is not None or not written(path, row):
            return
        assert by_file(path) is None
        taken += 1

    takes()
    assert taken > 40


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_a_worker_refuses_training_refuses_with_its_code_and_sentence(tmp_path: Path, suffix: str) -> None:
    """Every awkward value in every field, one at a time; where only files spell it so, it is refused, or `produce` mends it."""
    path, same = tmp_path / f"t{suffix}", 0
    first, step = {".jsonl": (0, 2), ".csv": (1, 4), ".parquet": (3, 4)}[suffix]  # together all, in a third of the time
    for place, name in enumerate(FIELDS):
        for value in AWKWARD_VALUES[(first + place) % step :: step]:
            row = RIGHT | {name: value}
            if large(row) or not written(path, row):
                continue
            worker, file = by_worker(json.dumps(row).encode()), by_file(path)
            if spelt_otherwise(row):
                continue  # `by_file` has held what it takes against the decoder
            assert (worker is None) == (file is None), (row, worker, file)
            if worker is not None and isinstance(file, RefusedRow):
                assert file.code == worker.code, (row, worker, file)
                assert str(file).endswith(worker.message), (row, worker, file)
                same += 1
            elif worker is not None:
                raise AssertionError((row, worker, file))
    assert same > 15


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_with_several_faults_are_taken_or_refused_alike(tmp_path: Path, suffix: str) -> None:
    """Missing fields, unknown ones, three faults at once: which is told first may differ, that one is does not."""
    path = tmp_path / f"t{suffix}"

    @SOME
    @given(messages("transaction"))
    def alike(value: bytes) -> None:
        row = json.loads(value)
        if large(row) or not written(path, row):
            return
        worker, file = by_worker(value), by_file(path)
        if not spelt_otherwise(row):
            assert (worker is None) == (file is None), (row, worker, file)

    alike()


@SOME
@given(st.sampled_from(sorted(FIELDS)), st.sampled_from(AWKWARD_VALUES))
def test_produce_never_publishes_what_a_worker_refuses(tmp_path_factory: pytest.TempPathFactory, name: str, value: Any) -> None:
    """Two rows, the second right: what one column's kind does to the other is tried too."""
    path = tmp_path_factory.mktemp("rows") / "t.jsonl"
    path.write_text("".join(json.dumps(row | {"is_fraud": True}) + "\n" for row in (RIGHT | {name: value}, RIGHT)))
    by_file(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_row_of_two_thousand_attributes_is_refused_by_both(tmp_path: Path, suffix: str) -> None:
    """It is larger than a record may be; with fewer of them both take it."""
    path = tmp_path / f"t{suffix}"
    own = {f"signal_of_the_gateway_{n:04}": n + 0.12345 for n in range(2_000)}
    plain = RIGHT | {"attributes": own}
    assert written(path, plain)
    worker, file = by_worker(json.dumps(plain, separators=(",", ":")).encode()), by_file(path)
    assert worker is not None
    assert isinstance(file, RefusedRow)
    assert (file.code, file.row) == (worker.code, 1) == ("too_large", 1)
    assert "bytes; 65536 are allowed." in str(file)
    few = RIGHT | {"attributes": dict(list(own.items())[:1_200])}
    assert written(path, few)
    assert by_worker(json.dumps(few, separators=(",", ":")).encode()) is None is by_file(path)
