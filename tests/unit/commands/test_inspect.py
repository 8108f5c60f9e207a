"""`fraudstream inspect` on files: what it prints, what it ends with, and that `train` and `produce` read what its mapping says."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.commands.inspect import TopicInspection, inspect_command
from stream_app.errors import DataError
from stream_app.inspecting.report import InspectionReport
from stream_app.messages.fields import fields_of
from stream_app.messages.transaction import Transaction
from stream_app.settings import load_settings
from stream_app.wire.mapping_text import mapping_of
from tests.contract.messages import AWKWARD_VALUES
from tests.contract.schemas import SCHEMAS
from tests.examples import examples
from tests.unit.training.test_column_mapping import TABFORMER
from tests.unit.wire.records import Sent
from training.data.dataset import read_transactions

HEAD = "Umsatz-ID;Zeitpunkt;Karte;Haendler;Betrag;Land;MCC;Chargeback\n"
LINES = [
    f"U{i};2024-03-01 10:{i:02d}:00;K{i % 3};H{i % 2};1.{200 + i},{i:02d};{'DEU' if i % 2 else 'fr'};742;{'J' if i == 3 else 'N'}\n"
    for i in range(30)
]


def asked(capsys: pytest.CaptureFixture[str], source: Path | str, **options: Any) -> tuple[int, str]:
    """Exit code and output."""
    given_options = {"mapping": None, "rows": 100_000, "write": None, "as_json": False, "strict": False} | options
    with pytest.raises(SystemExit) as ended:
        inspect_command(str(source), **given_options)
    return int(ended.value.code or 0), capsys.readouterr().out


def german(folder: Path, name: str = "own.csv") -> Path:
    """A file as a core system writes it."""
    path, text = folder / name, HEAD + "".join(LINES)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode("utf-8-sig"))
    return path


@pytest.mark.parametrize("name", ["own.csv", "own.csv.gz"])
def test_a_file_of_another_shape_is_read_by_the_mapping_that_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Semicolons, decimal commas, J and N, letters of countries, lost zeros: nothing to do but to say the currency."""
    path, mapping = german(tmp_path, name), tmp_path / "mapping.yml"
    code, said = asked(capsys, path, write=mapping)
    assert (code, "Missing: currency" in said, f"edit it, then `fraudstream train --data {path} --mapping {mapping}`" in said) == (
        1,
        True,
        True,
    )
    mapping.write_text(mapping.read_text() + "constants: {currency: EUR}\n")
    code, said = asked(capsys, path, mapping=mapping)
    assert (code, "Refused, read by the mapping: nothing." in said) == (0, True)
    assert asked(capsys, path, mapping=mapping, strict=True)[0] == 2  # times without a zone
    frame = read_transactions(path, mapping=mapping)
    assert frame.iloc[3][["transaction_id", "amount", "country", "mcc", "is_fraud"]].tolist() == ["U3", 1203.03, "DE", "0742", True]
    assert frame["country"].unique().tolist() == ["FR", "DE"]
    assert int(frame["is_fraud"].sum()) == 1


def test_json_is_one_object_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With all that the text has, and the mapping as it would be written."""
    code, said = asked(capsys, german(tmp_path), as_json=True)
    told = json.loads(said)
    assert code == 1
    assert (told["rows"], told["whole"], told["missing"], told["needs_mapping"], told["frauds"]) == (30, True, ["currency"], True, 1)
    assert told["mapping"]["columns"]["is_fraud"] == {"path": "Chargeback", "values": {"N": "false", "J": "true"}}
    assert {c["name"]: c["is"] for c in told["columns"]}["Betrag"] == "amount"


def test_only_the_first_rows_are_looked_at_where_so_many_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And that is said."""
    told = json.loads(asked(capsys, german(tmp_path), rows=10, as_json=True)[1])
    assert (told["rows"], told["whole"]) == (10, False)


def test_what_cannot_be_read_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there, is empty, is broken, or is of no known format."""
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{"a": \n')
    (tmp_path / "head.csv").write_text("a,b\n")
    (tmp_path / "x.parquet").write_text("no parquet")
    for name, says in [
        ("none.csv", "is not there"), ("bad.jsonl", "row 2 is no JSON object"), ("head.csv", "has no rows"), ("x.parquet", "cannot be read as parquet"),
        ("x.xlsx", "is of no known format"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=says):
            inspect_command(str(tmp_path / name), rows=10)
    assert not capsys.readouterr().out


def test_a_known_layout_needs_no_mapping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ULB's columns: ids are the rows' numbers, times seconds since a start."""
    head = ",".join(["Time", *[f"V{i}" for i in range(1, 29)], "Amount", "Class"])
    (tmp_path / "c.csv").write_text(head + "\n" + "".join(f"{i},{','.join(['0.5'] * 28)},1.5,{int(i == 9)}\n" for i in range(30)))
    code, said = asked(capsys, tmp_path / "c.csv", as_json=True)
    told = json.loads(said)
    assert (code, told["refused_rows"], told["missing"], told["needs_mapping"]) == (0, 0, [], False)
    assert told["first_event_time"] == 1_377_993_600_000


def test_a_simulation_that_counts_hours_needs_no_mapping(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PaySim's."""
    head = "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,isFlaggedFraud\n"
    (tmp_path / "p.csv").write_text(head + "".join(f"{1 + i},CASH_OUT,1.5,C{i},0,0,M1,0,0,{int(i == 2)},0\n" for i in range(30)))
    code, said = asked(capsys, tmp_path / "p.csv", as_json=True)
    told = json.loads(said)
    assert (code, told["refused_rows"], told["missing"], told["frauds"]) == (0, 0, [], 1)
    assert told["first_event_time"] == 1_546_300_800_000 + 3_600_000


@settings(examples(60), suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from([f.name for f in fields_of(Transaction)]), value=st.sampled_from(AWKWARD_VALUES))
def test_what_inspection_refuses_the_reader_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: Any) -> None:
    """And the other way round: JSON Lines with one awkward value."""
    row = SCHEMAS["transaction"]["examples"][-1] | {"is_fraud": False, name: value}
    if name == "attributes" or (isinstance(value, (int, float)) and abs(value) >= 2**53):
        return
    path, mapping = tmp_path / "t.jsonl", tmp_path / "m.yml"
    path.write_text(json.dumps(row) + "\n")
    mapping.write_text(yaml.safe_dump({"columns": {n: n for n in row if n != "attributes" and (row[n] is not None or n == name)}}))
    try:
        read_transactions(path)
    except DataError:
        is_refused = True
    else:
        is_refused = False
    told = json.loads(asked(capsys, path, mapping=mapping, as_json=True)[1])
    assert bool(told["refused_rows"] or told["missing"]) == is_refused, (row, told["refused"])


def test_many_rows_take_bounded_memory(tmp_path: Path) -> None:
    """In a process of its own: 60 MB beyond its imports, for 20,000 rows whose ids all differ; the columns' own values are bounded."""
    path = tmp_path / "t.csv"
    with path.open("w") as out:
        out.write("transaction_id,event_time,card_id,terminal_id,amount,currency,is_fraud\n")
        out.writelines(f"tx{i},{1_522_540_800_000 + i},c{i},t{i % 100},1.5,EUR,{int(i % 100 == 0)}\n" for i in range(20_000))
    script = (
        "import resource, sys\nfrom stream_app.commands.inspect import inspect_command\nimport training.data.rows\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\ntry:\n    inspect_command(sys.argv[1], rows=20_000, as_json=True)\n"
        "except SystemExit: pass\nprint((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    told, grown_mb = ran.stdout.splitlines()
    assert json.loads(told)["rows"] == 20_000
    assert int(grown_mb) < 60


def test_a_public_file_whose_columns_are_put_together_is_inspected_as_it_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TabFormer's: dollars with a sign, dates in columns, Yes and No; nothing is refused, and no mapping is asked for."""
    path = tmp_path / "card_transaction.v1.csv"
    path.write_text(TABFORMER)
    code, said = asked(capsys, path, as_json=True)
    told = json.loads(said)
    assert (code, told["rows"], told["refused_rows"], told["missing"], told["needs_mapping"], told["frauds"]) == (0, 3, 0, [], False, 1)


SPLIT = "id|date|hour|card|shop|sum|cur|fraud\n" + "".join(
    f"T{i}|0{1 + i % 9}/04/2018|1{i % 10}:30|K{i % 3}|H{i % 2}|1{i}|EUR|{int(i == 3)}\n" for i in range(30)
)
SPLIT_MAPPING = """
columns:
  transaction_id: id
  event_time: {paths: [date, hour], format: "%d/%m/%Y %H:%M"}
  card_id: card
  terminal_id: shop
  amount: sum
  currency: cur
  is_fraud: fraud
zone: Europe/Berlin
delimiter: "|"
"""


def test_a_date_of_two_readings_is_asked_for_and_read_as_the_mapping_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A day and an hour in columns of their own, the day first: what inspection takes, the reader takes, with the same times."""
    path, mapping = tmp_path / "t.csv", tmp_path / "m.yml"
    path.write_text(SPLIT)
    mapping.write_text(SPLIT_MAPPING)
    code, said = asked(capsys, path)
    assert (code, "nobody guesses" in said, 'format: "%d/%m/%Y" or format: "%m/%d/%Y"' in said) == (1, True, True)
    told = json.loads(asked(capsys, path, mapping=mapping, as_json=True)[1])
    assert (told["refused_rows"], told["missing"]) == (0, [])
    times = read_transactions(path, mapping=mapping)["event_time"]
    assert (told["first_event_time"], told["last_event_time"]) == (int(times.min()), int(times.max()))
    assert times.iloc[0] == 1_522_571_400_000  # 2018-04-01 10:30 in Berlin
    mapping.write_text(SPLIT_MAPPING.replace("%d/%m", "%m/%d"))
    assert read_transactions(path, mapping=mapping)["event_time"].iloc[0] == 1_515_058_200_000  # the 4th of January


def test_a_mapping_says_what_parts_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sign that nobody would look for; inspection and the reader take it alike."""
    path, mapping = tmp_path / "t.csv", tmp_path / "m.yml"
    path.write_text(SPLIT.replace("|", "^"))
    mapping.write_text(SPLIT_MAPPING.replace("|", "^"))
    told = json.loads(asked(capsys, path, mapping=mapping, as_json=True)[1])
    assert (told["refused_rows"], told["missing"], len(read_transactions(path, mapping=mapping))) == (0, [], 30)


def test_minor_units_are_asked_about_until_the_mapping_says_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole numbers look like cents; once a person has said that they are, nobody is asked again."""
    path, mapping = tmp_path / "t.csv", tmp_path / "m.yml"
    path.write_text(
        "transaction_id,event_time,card_id,terminal_id,cents,currency\n"
        + "".join(f"t{i},2024-03-01T10:00:00Z,c,s,{100 + i},EUR\n" for i in range(60))
    )
    for amount, asks in (("cents", True), ("{path: cents, unit: minor}", False)):
        mapping.write_text(f"columns:\n  amount: {amount}\n")
        told = json.loads(asked(capsys, path, mapping=mapping, as_json=True)[1])["suspicions"]
        assert any("minor units (cents)?" in sentence for sentence in told) is asks


@pytest.mark.parametrize("wrong", ["31/04/2018", "2018-04-01", "1/4/18"])
def test_a_time_that_is_not_as_the_mapping_says_is_refused_with_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    """By inspection, which counts it, and by the reader."""
    path, mapping = tmp_path / "t.csv", tmp_path / "m.yml"
    path.write_text(SPLIT.replace("02/04/2018", wrong, 1))
    mapping.write_text(SPLIT_MAPPING)
    told = json.loads(asked(capsys, path, mapping=mapping, as_json=True)[1])
    assert (told["refused_rows"], "it must be a time as %d/%m/%Y %H:%M" in told["refused"][0]["message"]) == (1, True)
    with pytest.raises(DataError, match=r"column 'date and hour' is .* in row 2; it must be a time as %d/%m/%Y %H:%M"):
        read_transactions(path, mapping=mapping)


def test_a_path_that_no_row_has_is_told(tmp_path: Path) -> None:
    """Within an object too: a name that is written wrong is no column without values."""
    path, mapping = tmp_path / "t.jsonl", tmp_path / "m.yml"
    path.write_text(json.dumps(SCHEMAS["transaction"]["examples"][-1] | {"p": {"land": "DE"}}) + "\n")
    mapping.write_text("columns: {country: p.lnad}")
    with pytest.raises(DataError, match=r"column 'p\.lnad' of .* is not there"):
        read_transactions(path, mapping=mapping)


@dataclass
class SentToFirst(Sent):
    """A record of the first partition."""

    partition: int = 0


def test_a_topic_is_inspected_by_a_mapping_as_a_worker_with_it_takes_its_records() -> None:
    """Names, units and tokens; what is refused has the worker's code, and times and duplicates are those of the payments."""
    mapping = mapping_of(
        "columns: {card_id: p.pan, event_time: {path: p.at, unit: s}, amount: {path: p.cents, unit: minor}, transaction_id: id, terminal_id: shop}\n"
        "constants: {currency: EUR}\ntokens: [card_id]"
    )
    seen = TopicInspection("theirs", load_settings(), 100, mapping)
    seen._partitions = 1
    for number in range(40):
        row = {"id": f"x{number // 2}", "shop": "s", "p": {"pan": "4111111111111111", "at": 1_795_471_200 + number // 2, "cents": 125}}
        row |= {"mcc": "5411"} if number else {"mcc": "54"}
        seen.add(SentToFirst(json.dumps(row).encode(), b"4111111111111111"))
    found = seen.found()
    report = InspectionReport("theirs", found, whole=True, suspicions=[]).as_json()
    assert (report["rows"], report["refused_rows"], report["missing"]) == (40, 1, [])
    assert report["refused"][0]["message"].startswith("mcc is '54'")
    assert (report["first_event_time"], report["last_event_time"], found.duplicates) == (1_795_471_200_000, 1_795_471_219_000, 19)
    assert {c["name"]: c["is"] for c in report["columns"]}["p.pan"] == "card_id"
    with pytest.raises(typer.BadParameter, match="labels have no mapping"):
        inspect_command(load_settings().labels_topic, mapping=Path("m.yml"), rows=10)
