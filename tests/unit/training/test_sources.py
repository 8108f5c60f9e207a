"""Files as they lie: packed, in folders, by a pattern; what is no such thing is told by its cause. S3 is asked of a real server (tests/integration/test_s3_files.py)."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pandas as pd
import pytest
import zstandard
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from stream_app.errors import DataError
from stream_app.local.stack import free_ports
from training.data import object_store
from training.data.dataset import read_transactions, with_labels
from training.data.rows import rows_of
from training.data.sources import digest_of, kind_of_name, parts_of

HEAD = "transaction_id,event_time,card_id,terminal_id,amount,currency,mcc\n"


def lines(first: int, count: int) -> str:
    """Rows of a CSV; the first one of the very first file has no mcc."""
    return "".join(f"T{n},{1_700_000_000_000 + n},C{n % 3},M1,{n}.5,EUR,{'0742' if n else ''}\n" for n in range(first, first + count))


def ids(path: Path) -> list[str]:
    """Of the payments that are read."""
    return read_transactions(path)["transaction_id"].tolist()


PACKED = {"": lambda b: b, ".gz": gzip.compress, ".zst": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("form", [".csv", ".jsonl"])
def test_a_packed_file_is_read_as_it_is_unpacked(tmp_path: Path, form: str, packing: str) -> None:
    """Gzip and zstd, the mark of UTF-8 in front, also of several members put together as log shippers do."""
    path = tmp_path / f"p{form}{packing}"
    text = HEAD + lines(0, 4)
    if form == ".jsonl":
        frame = pd.DataFrame([row.split(",") for row in lines(0, 4).splitlines()], columns=HEAD.strip().split(","))
        text = frame.assign(event_time=frame["event_time"].astype(int), amount=frame["amount"].astype(float)).to_json(
            orient="records", lines=True
        )
    half = len(text) // 2
    pack = PACKED[packing]
    path.write_bytes(pack(b"\xef\xbb\xbf" + text[:half].encode()) + pack(text[half:].encode()))
    assert ids(path) == ["T0", "T1", "T2", "T3"]
    assert [row["transaction_id"] for row in rows_of(path, 9)] == ["T0", "T1", "T2", "T3"]


@pytest.mark.parametrize("name", ["p.csv.gz", "p.csv.zst"])
def test_a_packed_file_that_is_cut_is_told(tmp_path: Path, name: str) -> None:
    """Never the rows before the cut alone."""
    path = tmp_path / name
    whole = PACKED[path.suffix]((HEAD + lines(0, 5_000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"p\.csv\.(gz|zst) cannot be read as csv"):
        read_transactions(path)


def test_a_folder_is_its_parts_in_order_of_their_names(tmp_path: Path) -> None:
    """Below it too; what programs write beside the data is none of it. A pattern takes those that fit."""
    folder = tmp_path / "payments"
    for at, name in enumerate(("day=01/part-0.csv", "day=01/part-1.csv.gz", "day=02/part-0.csv")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PACKED[path.suffix if path.suffix in PACKED else ""]((HEAD + lines(2 * at, 2)).encode()))
    (folder / "_SUCCESS").touch()
    (folder / "day=02" / ".part-0.csv.crc").write_text("x")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "part-9.csv").write_text("x")
    assert ids(folder) == [f"T{n}" for n in range(6)]
    assert ids(folder / "day=01/*.csv*") == ["T0", "T1", "T2", "T3"]
    assert ids(folder / "*/part-0.csv") == ["T0", "T1", "T4", "T5"]
    assert len(list(rows_of(folder, 5))) == 5
    assert read_transactions(folder)["mcc"].tolist()[1:] == ["0742"] * 5
    digests = [hashlib.sha256(Path(part.name).read_bytes()).hexdigest() for part in parts_of(folder)]
    assert digest_of(folder) == hashlib.sha256("".join(digests).encode()).hexdigest()
    assert digest_of(folder / "day=02/part-0.csv") == digests[2]


def test_parts_of_two_forms_are_refused(tmp_path: Path) -> None:
    """Other columns, another format, a column that is text in one part, an empty part, no part at all: each by its cause."""
    (tmp_path / "a.csv").write_text(HEAD + lines(0, 2))
    (tmp_path / "b.csv").write_text(HEAD.replace(",mcc", "") + "T9,1700000000009,C1,M1,1,EUR\n")
    with pytest.raises(DataError, match=r"b\.csv has other columns than the files before it \(mcc\)"):
        ids(tmp_path)
    (tmp_path / "b.csv").write_text(HEAD + "T9,1700000000009,C1,M1,x,EUR,0742\n")
    with pytest.raises(DataError, match="of one kind in some files and of another in others"):
        ids(tmp_path)
    (tmp_path / "b.csv").write_text("")
    with pytest.raises(DataError, match=r"b\.csv is empty"):
        ids(tmp_path)
    (tmp_path / "b.csv").rename(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match=r"files of several formats \(\.csv, \.jsonl\)"):
        ids(tmp_path)
    with pytest.raises(DataError, match="has no file of a known format"):
        ids(tmp_path / "*.xlsx")
    with pytest.raises(DataError, match="is not there"):
        ids(tmp_path / "none")


def test_a_name_says_format_and_packing() -> None:
    """Parquet packs by itself."""
    names = {"a.CSV.GZ": (".csv", "gzip"), "a.tsv": (".csv", ""), "a.ndjson.zst": (".jsonl", "zstd"), "a.parquet": (".parquet", "")}
    assert {name: kind_of_name(name) for name in names} == names
    assert [kind_of_name(name) for name in ("a.parquet.gz", "a.gz", "a", "a.xlsx")] == [None] * 4


def test_a_store_that_is_away_is_told_with_the_address_that_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of AWS's own setting, in seconds; a path keeps both strokes in what is said."""
    (port,) = free_ports(1)
    login = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    for name, value in (login | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}).items():
        monkeypatch.setenv(name, value)
    object_store.store.cache_clear()
    with pytest.raises(DataError, match=r"s3://payments/x\.csv cannot be reached: .*127\.0\.0\.1"):
        parts_of(Path("s3://payments/x.csv"))
    object_store.store.cache_clear()


def test_what_is_wrong_in_a_file_of_a_store_is_told_with_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path has one stroke less than the address that its user wrote: a row, a column, a label, order of time."""
    monkeypatch.setattr(object_store, "store", lambda: SubTreeFileSystem(str(tmp_path), LocalFileSystem()))
    (tmp_path / "b").mkdir()
    head = "transaction_id,event_time,card_id,terminal_id,amount,currency,is_fraud\n"
    (tmp_path / "b" / "row.csv").write_text(f"{head}T1,1522540800000,C1,M1,x,EUR,1\n")
    (tmp_path / "b" / "column.csv").write_text("event_time\n1522540800000\n")
    (tmp_path / "b" / "order.csv").write_text(f"{head}T1,1522540800001,C1,M1,1,EUR,1\nT2,1522540800000,C1,M1,1,EUR,0\n")
    (tmp_path / "b" / "labels.csv").write_text("transaction_id\nT9\n")
    for name, says in (("row", "column 'amount' is wrong in row 1"), ("column", "column 'transaction_id' is missing")):
        with pytest.raises(DataError, match=f"^s3://b/{name}.csv: {says}"):
            read_transactions(Path(f"s3://b/{name}.csv"))
    frame = read_transactions(Path("s3://b/order.csv"))
    with pytest.raises(DataError, match=r"^s3://b/labels\.csv: not one label has its payment"):
        with_labels(frame, Path("s3://b/labels.csv"), mapping=None, label_delay_days=7)
