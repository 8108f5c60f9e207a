"""Reading transactions: what every format gives, and the one line that each bad file gets."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.errors import DataError
from stream_app.messages.event_time import NOT_MILLISECONDS
from tests.examples import examples
from training.data.dataset import check_for_training, read_transactions

HANDBOOK = Path(__file__).parents[4] / "shared" / "data" / "handbook_raw.parquet"
T0 = 1_522_540_800_000  # 2018-04-01T00:00:00Z


def rows(number: int = 4) -> list[dict[str, Any]]:
    """Transactions a second apart, every other one a fraud."""
    return [
        {
            "transaction_id": f"{i:04d}",
            "event_time": T0 + 1000 * i,
            "card_id": f"{i % 2:03d}",
            "terminal_id": f"T{i}",
            "amount": 10.5 + i,
            "currency": "EUR",
            "is_fraud": i % 2 == 1,
        }
        for i in range(number)
    ]


def save(frame: pd.DataFrame, path: Path) -> Path:
    """Write in the format of the suffix."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


def refused(path: Path) -> str:
    """Reading stops with one line that names the file: that line."""
    with pytest.raises(DataError) as stopped:
        read_transactions(path)
    text = str(stopped.value)
    assert "\n" not in text
    assert path.name in text
    return text


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl", ".ndjson"])
def test_every_format_gives_the_same_frame(tmp_path: Path, suffix: str) -> None:
    """Ids keep leading zeros, frauds get a label after the delay, genuine payments none."""
    frame = read_transactions(save(pd.DataFrame(rows()), tmp_path / f"t{suffix}"), label_delay_days=2)
    assert frame["transaction_id"].tolist() == ["0000", "0001", "0002", "0003"]
    assert frame["card_id"].tolist() == ["000", "001", "000", "001"]
    assert frame["event_time"].tolist() == [T0, T0 + 1000, T0 + 2000, T0 + 3000]
    assert frame["labelled_at"].tolist() == [pd.NA, T0 + 1000 + 2 * 86_400_000, pd.NA, T0 + 3000 + 2 * 86_400_000]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "transaction_id": "str",
        "event_time": "int64",
        "card_id": "category",
        "terminal_id": "category",
        "amount": "float64",
        "currency": "category",
        "is_fraud": "bool",
        "labelled_at": "Int64",
    }


@pytest.mark.parametrize("times", ["2018-04-01T00:00:0{}Z", "2018-04-01 00:00:0{}", "2018-04-01T02:00:0{}+02:00", "2018-04-01T00:00:0{}.0"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_times_may_be_iso_8601(tmp_path: Path, times: str, suffix: str) -> None:
    """With an offset or, being UTC, without."""
    frame = pd.DataFrame(rows()).assign(event_time=[times.format(i) for i in range(4)])
    assert read_transactions(save(frame, tmp_path / f"t{suffix}"))["event_time"].tolist() == [T0, T0 + 1000, T0 + 2000, T0 + 3000]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_of_any_unit_become_milliseconds(tmp_path: Path, unit: str) -> None:
    """Spark writes microseconds, pandas nanoseconds."""
    frame = pd.DataFrame(rows())
    frame["event_time"] = frame["event_time"].to_numpy().astype("datetime64[ms]").astype(f"datetime64[{unit}]")
    assert read_transactions(save(frame, tmp_path / "t.parquet"))["event_time"].tolist() == [T0, T0 + 1000, T0 + 2000, T0 + 3000]


def test_optional_fields_and_the_producers_own_features_are_kept(tmp_path: Path) -> None:
    """JSON's object of attributes becomes columns; unknown fields are left out; what is missing stays missing; Namibia is not missing."""
    lines = rows(2)
    lines[0] |= {"attributes": {"v1": 0.5, "v2": -1}, "country": "NA", "approved": False, "mcc": "0742", "unknown": 1}
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    frame = read_transactions(path)
    first, second = frame[["country", "approved", "mcc", "attributes.v1", "attributes.v2"]].itertuples(index=False, name=None)
    assert first == ("NA", False, "0742", 0.5, -1.0)
    assert pd.isna(np.array(second, dtype=object)).all()
    assert "unknown" not in frame.columns
    again = read_transactions(save(frame, tmp_path / "t.csv"))
    pd.testing.assert_frame_equal(again, frame)


def test_the_files_own_labelled_at_is_kept(tmp_path: Path) -> None:
    """A file that says when it was known is believed; only frauds without one get the delay."""
    frame = pd.DataFrame(rows()).assign(labelled_at=pd.array([pd.NA, T0 + 5000, T0 + 6000, pd.NA], dtype="Int64"))
    read = read_transactions(save(frame, tmp_path / "t.csv"), label_delay_days=1)
    assert read["labelled_at"].tolist() == [pd.NA, T0 + 5000, T0 + 6000, T0 + 3000 + 86_400_000]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_handbooks_columns_are_read_as_they_are(tmp_path: Path, suffix: str) -> None:
    """Numbers become texts, the currency is EUR, its helper columns are left out."""
    frame = pd.DataFrame(
        {
            "TRANSACTION_ID": [0, 1],
            "TX_DATETIME": pd.to_datetime(["2018-04-01 00:00:31", "2018-04-01 00:02:10"]),
            "CUSTOMER_ID": [596, 4961],
            "TERMINAL_ID": [3156, 3412],
            "TX_AMOUNT": [57.16, 81.51],
            "TX_TIME_SECONDS": [31, 130],
            "TX_FRAUD": [0, 1],
            "TX_FRAUD_SCENARIO": [0, 2],
        }
    )
    if suffix == ".jsonl":
        frame["TX_DATETIME"] = frame["TX_DATETIME"].astype(str)
    read = read_transactions(save(frame, tmp_path / f"h{suffix}"))
    assert read["transaction_id"].tolist() == ["0", "1"]
    assert read["card_id"].tolist() == ["596", "4961"]
    assert read["event_time"].tolist() == [1_522_540_831_000, 1_522_540_930_000]
    assert read["currency"].unique().tolist() == ["EUR"]
    assert read["fraud_scenario"].tolist() == [0, 2]
    assert read["labelled_at"].tolist() == [pd.NA, 1_522_540_930_000 + 7 * 86_400_000]


@pytest.mark.handbook
def test_the_handbooks_file_is_read_whole() -> None:
    """1,754,155 transactions, 14,681 frauds, fit to train on."""
    if not HANDBOOK.is_file():
        pytest.skip(f"{HANDBOOK} is not there: the Handbook's data has no licence and stays outside the project")
    frame = read_transactions(HANDBOOK)
    assert (len(frame), int(frame["is_fraud"].sum())) == (1_754_155, 14_681)
    assert (frame["card_id"].nunique(), frame["terminal_id"].nunique()) == (4_990, 10_000)
    assert frame["fraud_scenario"].value_counts().sort_index().tolist()[1:] == [973, 9_077, 4_631]
    check_for_training(frame)


WRONG_VALUES: list[tuple[str, Any, str]] = [
    ("amount", -1.0, "a refund has type 'refund'"),
    ("amount", None, "is missing; send a"),
    ("amount", 2e9, "0 to 10^9"),
    ("transaction_id", None, "is missing; send a"),
    ("card_id", None, "is missing; send a"),
    ("card_id", "c" * 65, "1 to 64 characters"),
    ("currency", "EURO", "ISO 4217"),
    ("event_time", T0 // 1000, NOT_MILLISECONDS),
]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize(("column", "value", "remedy"), WRONG_VALUES)
def test_a_wrong_value_is_named_with_column_row_and_remedy(tmp_path: Path, suffix: str, column: str, value: Any, remedy: str) -> None:
    """The third row is wrong: the message says row 3."""
    lines = rows()
    lines[2][column] = value
    text = refused(save(pd.DataFrame(lines), tmp_path / f"t{suffix}"))
    assert f"column {column!r}" in text
    assert "row 3" in text
    assert remedy in text


@pytest.mark.parametrize(
    ("column", "value", "remedy"),
    [
        ("amount", "inf", "amount is inf; send a number"),
        ("amount", "nan", "is missing; send"),
        ("amount", "ten", "('ten'): amount is text; send a number"),
        ("event_time", "yesterday", "ISO 8601"),
        ("event_time", "", "is missing; send"),
        ("is_fraud", "2", "true or false"),
        ("is_fraud", "", "is missing; send"),
        ("is_fraud", "maybe", "('maybe'): is_fraud is text; send true or false"),
    ],
)
def test_a_wrong_text_of_a_csv_is_named_with_column_row_and_remedy(tmp_path: Path, column: str, value: str, remedy: str) -> None:
    """Text files can hold anything."""
    lines = [line | {"is_fraud": int(line["is_fraud"])} for line in rows()]
    lines[2][column] = value
    text = refused(save(pd.DataFrame(lines), tmp_path / "t.csv"))
    assert f"column {column!r}" in text
    assert "row 3" in text
    assert remedy in text


def test_a_label_older_than_its_transaction_is_refused(tmp_path: Path) -> None:
    """It would leak the future into training."""
    text = refused(save(pd.DataFrame(rows()).assign(labelled_at=T0 + 1500), tmp_path / "t.parquet"))
    assert "'labelled_at'" in text
    assert "row 3" in text
    assert "a label cannot precede its transaction" in text


@pytest.mark.parametrize("column", ["transaction_id", "event_time", "card_id", "terminal_id", "amount", "currency"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_missing_column_is_named(tmp_path: Path, suffix: str, column: str) -> None:
    """With what is there instead, and what to do."""
    text = refused(save(pd.DataFrame(rows()).drop(columns=column), tmp_path / f"t{suffix}"))
    assert f"column {column!r} is missing" in text
    assert "Add it, or rename" in text


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_text_of_the_wrong_kind_names_its_column(tmp_path: Path, suffix: str) -> None:
    """Ids as floating-point numbers have lost digits."""
    path = save(pd.DataFrame(rows()).assign(card_id=[1.5, 2.5, 3.5, 4.5]), tmp_path / f"t{suffix}")
    if suffix == ".csv":
        assert read_transactions(path)["card_id"].tolist() == ["1.5", "2.5", "3.5", "4.5"]  # a CSV has no kinds
        return
    text = refused(path)
    assert "'card_id'" in text
    assert "Write it as text" in text


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And the command that makes one."""
    assert "fraudstream simulate" in refused(tmp_path / "none.parquet")


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    """0 bytes."""
    (tmp_path / name).touch()
    assert "is empty" in refused(tmp_path / name)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_file_without_rows_is_named(tmp_path: Path, suffix: str) -> None:
    """A header alone."""
    assert "has no rows" in refused(save(pd.DataFrame(rows()).head(0), tmp_path / f"t{suffix}"))


@pytest.mark.parametrize("name", ["t.xlsx", "t"])
def test_an_unknown_suffix_is_named(tmp_path: Path, name: str) -> None:
    """With the known ones."""
    (tmp_path / name).write_bytes(b"x")
    assert ".parquet, .csv, .jsonl, .ndjson" in refused(tmp_path / name)


@settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=200), suffix=st.sampled_from([".parquet", ".csv", ".jsonl"]))
def test_garbage_under_a_known_suffix_stops_with_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    """No bytes whatever end in a traceback of a library."""
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(content)
    refused(path)


@pytest.mark.parametrize("content", ["null", "\n null\n", '{"card_id": "1"}\nnull\n', '{"card_id": "1"} null'])
def test_a_json_line_of_null_stops_with_one_line(tmp_path: Path, content: str) -> None:
    """Pyarrow 25 dies of it with a segmentation fault."""
    (tmp_path / "t.jsonl").write_text(content)
    assert "null" in refused(tmp_path / "t.jsonl")


def test_bytes_that_are_no_parquet_are_said_to_be_none(tmp_path: Path) -> None:
    """A renamed CSV."""
    path = tmp_path / "t.parquet"
    path.write_text("transaction_id,amount\n1,2\n")
    text = refused(path)
    assert "cannot be read as parquet" in text
    assert "correct its suffix" in text


def test_a_wrong_row_of_json_lines_is_named_by_its_own_number(tmp_path: Path) -> None:
    """Also far into the file, where the reader that is under it counts from the beginning of a block."""
    lines = [json.dumps(row) for row in rows(30_000)]
    path = tmp_path / "t.jsonl"
    for wrong, says in [
        (lines[-1].replace("30009.5", '"12,5"'), "column 'amount' is wrong in row 30000 ('12,5'): amount is text; send a number"),
        (lines[-1][:-1], "row 30000 is not one JSON object"),
        (lines[-1].replace(":", ";", 1), "row 30000 is no JSON object: JSON is malformed"),
        (
            lines[-1].replace('"T29999"', "29999"),
            "column 'terminal_id' is wrong in row 30000 (29999): terminal_id is a number; send a text",
        ),
    ]:
        path.write_text("\n".join([*lines[:-1], wrong]) + "\n")
        assert says in refused(path)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_uuids_are_read_as_text(tmp_path: Path, *, as_bytes: bool) -> None:
    """Parquet's own kind, or sixteen bytes: every id of a payment, and no traceback."""
    ids = [uuid.UUID(int=i) for i in range(4)]
    table = pa.Table.from_pandas(pd.DataFrame(rows()))
    kind = pa.binary(16) if as_bytes else pa.uuid()
    for name in ("transaction_id", "card_id"):
        table = table.set_column(table.column_names.index(name), name, pa.array([i.bytes for i in ids], kind))
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_transactions(tmp_path / "t.parquet")
    assert frame["transaction_id"].tolist() == frame["card_id"].tolist() == [str(i) for i in ids]


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("event_time", T0 * 1000, "(microseconds?); send milliseconds since 1970"),
        ("event_time", 20_230_101, "(a date in digits?); a time before 2000 is a mistake"),
        ("event_time", 20_230_101_000_000, "(a date in digits?); no file holds payments of the years after 2500"),
        ("card_id", "4111111111111111", "card_id is a card number"),
        ("terminal_id", "a\x07b", "terminal_id contains a control character"),
    ],
)
def test_what_was_silent_is_refused(tmp_path: Path, column: str, value: Any, says: str) -> None:
    """A whole column of it, which training took: the worker would have refused every record."""
    path = save(pd.DataFrame(rows()).assign(**{column: value}), tmp_path / "t.parquet")
    text = refused(path)
    assert f"column {column!r} is wrong in row 1 and in 3 others" in text
    assert says in text
    assert "4111111111111111" not in text


def test_issuers_whose_tokens_look_like_card_numbers_may_train_on_them(tmp_path: Path) -> None:
    """By the setting of the worker."""
    path = save(pd.DataFrame(rows()).assign(card_id="4111111111111111"), tmp_path / "t.parquet")
    assert read_transactions(path, refuse_card_numbers=False)["card_id"].unique().tolist() == ["4111111111111111"]


def test_payments_of_the_future_are_not_trained_on(tmp_path: Path) -> None:
    """Day and month may be exchanged, or the unit be another; a worker refuses what is so far ahead of its clock."""
    ahead = int(time.time() * 1000) + 40 * 86_400_000
    frame = read_transactions(save(pd.DataFrame(rows()).assign(event_time=[T0, T0, T0, ahead]), tmp_path / "t.parquet"))
    with pytest.raises(DataError, match=f"row 4 has event_time {ahead}, and a worker refuses"):
        check_for_training(frame)


def test_an_empty_text_of_an_optional_field_is_as_not_given(tmp_path: Path) -> None:
    """As in a record; a CSV cannot tell them apart."""
    path = save(
        pd.DataFrame(rows()).assign(country=["", "FR", "", "DE"], merchant_id="", type=["", "refund", "", ""]), tmp_path / "t.parquet"
    )
    frame = read_transactions(path)
    assert frame["country"].isna().tolist() == [True, False, True, False]
    assert frame["merchant_id"].isna().all()
    assert frame["type"].tolist()[1] == "refund"


def test_other_numbers_than_one_and_nought_are_no_flag(tmp_path: Path) -> None:
    """Arrow takes every number but 0 for true."""
    path = save(pd.DataFrame(rows()).assign(approved=[1, 0, 2, 1]), tmp_path / "t.parquet")
    assert "column 'approved' is wrong in row 3: approved is a number; send true or false" in refused(path)
