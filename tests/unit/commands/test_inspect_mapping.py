"""The mapping that `fraudstream inspect` writes: where nothing is missing, whoever takes mappings takes it as it stands, and reads the same of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.commands.replay import replay_of, transaction_records
from stream_app.messages.iso import ALPHA_3
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping_text import mapping_of
from tests.examples import examples
from tests.unit.commands.test_inspect import asked
from tests.unit.wire.records import Sent
from training.data.dataset import read_transactions

THREE_LETTERS = {two: three for three, two in ALPHA_3.items()}
FIRST_S = 1_710_288_000
"""2024-03-13: no day of the ten that follow can be a month."""


class Truth(NamedTuple):
    """A payment, as it was."""

    number: int
    at_s: int
    cents: int
    country: str
    mcc: str
    fraud: bool

    @property
    def at(self) -> datetime:
        """Its time."""
        return datetime.fromtimestamp(self.at_s, UTC)

    @property
    def id(self) -> str:
        """Its id, where ids are UUIDs."""
        return str(UUID(int=self.number))


TRUTHS = st.lists(
    st.tuples(
        st.integers(0, 10 * 86_400 - 1),
        st.integers(1, 9_999_999),
        st.sampled_from(["DE", "FR", "GB", "NA", "NO"]),
        st.sampled_from(["0742", "5411", "0001"]),
        st.booleans(),
    ),
    min_size=3,
    max_size=20,
).map(lambda drawn: [Truth(i, FIRST_S + at, cents, land, mcc, fraud) for i, (at, cents, land, mcc, fraud) in enumerate(drawn)])


class Shape(NamedTuple):
    """A form of file: what one payment is there, as a record would have it; and how rows are written."""

    row: Callable[[Truth], dict[str, Any]]
    write: Callable[[Path, list[dict[str, Any]]], Path]


def comma(cents: int) -> str:
    """1.203,05."""
    return f"{cents // 100:,}".replace(",", ".") + f",{cents % 100:02d}"


def land(t: Truth) -> str:
    """Two letters or three, or small ones, as they come."""
    return (t.country, THREE_LETTERS[t.country], t.country.lower())[t.number % 3]


def csv(sign: str) -> Callable[[Path, list[dict[str, Any]]], Path]:
    """Rows in one line each, parted by a sign."""

    def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
        lines = [sign.join(rows[0]), *(sign.join(map(str, row.values())) for row in rows)]
        (folder / "t.csv").write_text("\n".join(lines) + "\n")
        return folder / "t.csv"

    return write


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """An object a line."""
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "t.jsonl"


def parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """With UUIDs as their bytes, and moments."""
    ids = pa.array([UUID(row["id"]).bytes for row in rows], pa.binary(16))
    moments = pa.array([datetime.fromisoformat(row["ts"]) for row in rows], pa.timestamp("us", "UTC"))
    plain = pa.Table.from_pylist([{k: v for k, v in row.items() if k not in {"id", "ts"}} for row in rows])
    pyarrow.parquet.write_table(plain.append_column("id", ids).append_column("ts", moments), folder / "t.parquet")
    return folder / "t.parquet"


def named(t: Truth, **more: Any) -> dict[str, Any]:
    """What most of the shapes have alike."""
    return {"id": f"U{t.number}", "pan": f"card-{t.number % 3}", "shop": f"s{t.number % 2}", "amt": t.cents / 100, "ccy": "EUR"} | more


SHAPES = {
    "semicolons": Shape(
        lambda t: {
            "Umsatz-ID": f"U{t.number}", "Zeitpunkt": f"{t.at:%Y-%m-%d %H:%M:%S}", "Karte": f"K{t.number % 3}", "Haendler": f"H{t.number % 2}",
            "Betrag": comma(t.cents), "Währung": ("EUR", "eur")[t.number % 2], "Land": land(t), "MCC": str(int(t.mcc)) if t.number % 2 else t.mcc,
            "Chargeback": "J" if t.fraud else "N",
        },
        csv(";"),
    ),
    "nested": Shape(
        lambda t: {"payload": {"pan": f"K{t.number % 3}", "created_at": t.at_s}, "id": f"U{t.number}", "shop": "S1", "ccy": "EUR", "amt": t.cents / 100}
        | {"country": land(t), "fraud": ("No", "Yes")[t.fraud]},
        jsonl,
    ),
    "zoned": Shape(lambda t: named(t, timestamp=f"{t.at:%Y-%m-%dT%H:%M:%S}+00:00", country=land(t), is_fraud=t.fraud), jsonl),
    "zoneless": Shape(lambda t: named(t, timestamp=f"{t.at:%Y-%m-%dT%H:%M:%S}", is_fraud=t.fraud), jsonl),
    "ours": Shape(
        lambda t: {
            "transaction_id": f"U{t.number}", "event_time": f"{t.at:%Y-%m-%dT%H:%M:%SZ}", "card_id": "K1", "terminal_id": "T1", "amount": 1.5 + t.cents,
            "currency": "EUR", "country": land(t), "is_fraud": t.fraud,
        },
        jsonl,
    ),
    "day and clock": Shape(lambda t: named(t, date=f"{t.at:%Y-%m-%d}", time=f"{t.at:%H:%M:%S}", fraud="YN"[not t.fraud]), csv(",")),
    "day first and clock": Shape(lambda t: named(t, datum=f"{t.at:%d.%m.%Y}", uhrzeit=f"{t.at:%H:%M:%S}", fraud=int(t.fraud)), csv("\t")),
    "dotted names": Shape(
        lambda t: {f".{name}": value for name, value in named(t, datetime=f"{t.at:%d/%m/%Y %H:%M:%S}", fraud="YN"[not t.fraud]).items()}, csv("|")
    ),
    "uuids": Shape(lambda t: named(t, id=t.id, ts=f"{t.at:%Y-%m-%dT%H:%M:%S}+00:00", country=land(t), is_fraud=t.fraud), parquet),
}  # fmt: skip


@settings(examples(10), suppress_health_check=list(HealthCheck))
@given(truths=TRUTHS)
@pytest.mark.parametrize("name", SHAPES)
def test_a_mapping_that_is_written_is_taken_unedited_by_files_and_wire(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, truths: list[Truth]
) -> None:
    """`train`, `produce`, `demo` and workers: each reads the payments that there were. A number as text in a CSV is a number in its record."""
    shape, mapping = SHAPES[name], tmp_path / "m.yml"
    rows = [shape.row(t) for t in truths]
    path = shape.write(tmp_path, rows)
    told = json.loads(asked(capsys, path, write=mapping, as_json=True)[1])
    assert (told["missing"], told["refused"]) == ([], [])
    frame = read_transactions(path, mapping=mapping)
    assert frame["event_time"].tolist() == [1000 * t.at_s for t in truths]
    assert frame["is_fraud"].tolist() == [t.fraud for t in truths]
    if "country" in told["mapping"]["columns"]:
        assert frame["country"].tolist() == [t.country for t in truths]
    if name != "ours":
        assert frame["amount"].tolist() == [t.cents / 100 for t in truths]
    decoder = Decoder(Transaction, IntakeRules())
    sent = transaction_records(replay_of(frame.sort_values("event_time", kind="stable")).transactions, 0, len(frame))
    produced = {message.transaction_id: message for message in (decoder.decode(value, key, None, None) for key, value in sent)}
    wire = WireDecoder(Transaction, IntakeRules(), None, MappedReader(mapping_of(mapping.read_text())))
    for row, theirs in zip(rows, frame["transaction_id"], strict=True):
        card = produced[theirs].card_id
        assert wire.decode_record(Sent(json.dumps(row).encode(), card.encode()), None) == produced[theirs]


def test_a_value_that_comes_late_is_in_the_table_of_the_mapping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beyond the rows that names are guessed from; and a value that a table lacks is refused by inspection, as the reader refuses it."""
    rows = [named(Truth(i, FIRST_S + i, 5, "DE", "0742", fraud=False), ts=FIRST_S + i, country="DEU", is_fraud="N") for i in range(1_500)]
    rows[1_400] |= {"country": "fr", "is_fraud": "J"}
    rows[1_401] |= {"country": "GB", "is_fraud": "false"}
    path, mapping = csv(",")(tmp_path, rows), tmp_path / "m.yml"
    told = json.loads(asked(capsys, path, write=mapping, as_json=True)[1])
    assert told["refused"] == []
    assert told["mapping"]["columns"]["country"]["values"] == {"DEU": "DE", "fr": "FR", "GB": "GB"}
    assert read_transactions(path, mapping=mapping)["country"].iloc[1_399:1_402].tolist() == ["DE", "FR", "GB"]
    mapping.write_text(mapping.read_text().replace("fr: FR, ", ""))
    told = json.loads(asked(capsys, path, mapping=mapping, as_json=True)[1])
    assert [(one["code"], one["rows"], one["row"], "the mapping knows DEU, GB" in one["message"]) for one in told["refused"]] == [
        ("unknown_value", 1, 1_401, True)
    ]
    with pytest.raises(Exception, match=r"column 'country' is 'fr' in row 1401; the mapping knows"):
        read_transactions(path, mapping=mapping)
