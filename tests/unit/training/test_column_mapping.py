"""Files that call things by other names: Sparkov's, ULB's, and any through a mapping; errors in the file's own words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pandas as pd
import pytest

from stream_app.errors import DataError
from stream_app.features.model_metadata import read_metadata
from training.data.column_mapping import ULB_BEGINS_MS
from training.data.dataset import check_for_training, read_transactions
from training.data.files import attributes_in

if TYPE_CHECKING:
    from pathlib import Path

SPARKOV = """,trans_date_trans_time,cc_num,merchant,category,amt,first,last,zip,lat,long,unix_time,merch_lat,merch_long,trans_num,is_fraud
0,2019-01-01 00:00:18,4111111111111111,"fraud_Rippin, Kub and Mann",misc_net,4.97,A,B,28654,36.1,-81.2,1325376018,36.011293,-82.048315,0b24,0
1,2019-01-01 00:00:44,630423337322,"fraud_Heller",grocery_pos,107.23,C,D,99160,48.9,-118.2,1325376044,49.159047,-118.186462,1f76,1
2,2019-01-01 00:00:51,4111111111111111,"fraud_Heller",grocery_pos,7.5,A,B,28654,36.1,-81.2,1325376051,49.159047,-118.186462,a1a2,0
"""

MAPPING = """
columns:
  transaction_id: id
  event_time: paid_at
  card_id: pan
  terminal_id: shop
  amount: value
  is_fraud: chargeback
  attributes.gateway: score_of_the_gateway
constants:
  currency: USD
tokens: [card_id]
time_unit: s
"""


def written(path: Path, text: str) -> Path:
    """The file."""
    path.write_text(text, encoding="utf-8")
    return path


def foreign(**other: Any) -> pd.DataFrame:
    """Two payments as the mapping above names them."""
    columns = {
        "id": ["a", "b"],
        "paid_at": [1_500_000_000, 1_500_000_060],
        "pan": ["4111111111111111", "4111111111111111"],
        "shop": ["007", "008"],
        "value": [1.5, 2.0],
        "chargeback": [0, 1],
        "score_of_the_gateway": [0.25, 0.5],
        "noise": ["x", "y"],
    }
    return pd.DataFrame(columns | other)


def test_sparkovs_file_is_read_as_it_is(tmp_path: Path) -> None:
    """Merchants are terminals, dollars, the merchant's place; card numbers become tokens, the same for the same card."""
    frame = read_transactions(written(tmp_path / "fraudTrain.csv", SPARKOV))
    check_for_training(frame)
    assert frame["event_time"].tolist() == [1_546_300_818_000, 1_546_300_844_000, 1_546_300_851_000]
    assert frame["terminal_id"].tolist() == ["fraud_Rippin, Kub and Mann", "fraud_Heller", "fraud_Heller"]
    assert frame[["amount", "latitude", "longitude"]].iloc[0].tolist() == [4.97, 36.011293, -82.048315]
    assert (frame["currency"].unique().tolist(), frame["country"].unique().tolist()) == (["USD"], ["US"])
    cards = frame["card_id"].tolist()
    assert cards[0] == cards[2] != cards[1]
    assert not {"4111111111111111", "630423337322"} & set(cards)


def ulb(rows: int = 400) -> pd.DataFrame:
    """Two days in ULB's columns; one in ten is a fraud, whose V14 is low."""
    rng = np.random.default_rng(0)
    is_fraud = np.arange(rows) % 10 == 3
    columns = {"Time": np.linspace(0, 172_792, rows).round(), **{f"V{i}": rng.normal(0, 1, rows) for i in range(1, 29)}}
    columns["V14"] = columns["V14"] - 5 * is_fraud
    return pd.DataFrame(columns | {"Amount": rng.exponential(80, rows).round(2), "Class": is_fraud.astype(int)})


def test_ulbs_file_is_read_as_it_is(tmp_path: Path) -> None:
    """Seconds from September 2013 on; 28 attributes; each payment is a card of its own, since it names none."""
    path = tmp_path / "creditcard.csv"
    ulb().to_csv(path, index=False)
    frame = read_transactions(path, label_delay_days=0)
    check_for_training(frame)
    assert frame["event_time"].iloc[[0, -1]].tolist() == [ULB_BEGINS_MS, ULB_BEGINS_MS + 172_792_000]
    assert frame["card_id"].nunique() == len(frame) == 400
    assert int(frame["is_fraud"].sum()) == 40
    assert attributes_in(path) == tuple(f"v{i}" for i in range(1, 29))
    np.testing.assert_allclose(frame["attributes.v14"], ulb()["V14"])


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_any_file_is_read_through_a_mapping(tmp_path: Path, suffix: str) -> None:
    """Names, constants, tokens, seconds; what the mapping does not name is left out; leading zeros stay."""
    path, mapping = tmp_path / f"t{suffix}", written(tmp_path / "mapping.yml", MAPPING)
    if suffix == ".jsonl":
        foreign().to_json(path, orient="records", lines=True)
    else:
        getattr(foreign(), "to_csv" if suffix == ".csv" else "to_parquet")(path, index=False)
    frame = read_transactions(path, mapping=mapping)
    assert frame["event_time"].tolist() == [1_500_000_000_000, 1_500_000_060_000]
    assert frame["terminal_id"].tolist() == ["007", "008"]
    assert frame["attributes.gateway"].tolist() == [0.25, 0.5]
    assert frame["currency"].tolist() == ["USD", "USD"]
    assert "4111111111111111" not in frame["card_id"].tolist()
    assert "noise" not in frame.columns


def test_an_error_names_row_and_column_as_the_file_calls_them(tmp_path: Path) -> None:
    """Not as we do."""
    path, mapping = tmp_path / "t.parquet", written(tmp_path / "mapping.yml", MAPPING)
    foreign(value=[1.5, -2.0]).to_parquet(path)
    with pytest.raises(DataError, match=r"t\.parquet: column 'value' is wrong in row 2: amount is -2; send a number"):
        read_transactions(path, mapping=mapping)
    foreign(chargeback=["no", "yes"]).to_parquet(path)
    with pytest.raises(DataError, match=r"column 'chargeback' is wrong in row 1 \('no'\): is_fraud is text; send true or false"):
        read_transactions(path, mapping=mapping)
    written(tmp_path / "s.csv", SPARKOV.replace("107.23", "dear"))
    with pytest.raises(DataError, match=r"column 'amt' is wrong in row 2 \('dear'\): amount is text; send a number"):
        read_transactions(tmp_path / "s.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("columns: [", "It is no YAML"),
        ("constants: {currency: EUR}", "has no `columns`"),
        ("columns: {amount: a}\nunit: s", "Line 2: 'unit' is no part of the mapping"),
        ("columns: {price: a}", "'price' is none of our fields"),
        ("columns: {amount: a}\ntime_unit: minutes", "it is one of s, ms, us, ns"),
        ("columns: {amount: a}\ntokens: [card_id]", "is no column of text that this mapping names"),
        ("columns: {amount: a, amount: b}", "'amount' stands twice"),
        ("columns: {amount: [a, b]}", r"column 'a\.b' of .* is not there"),
        ("columns: {amount: !!python/object/apply:os.system [exit]}", "a tag, an anchor or an alias"),
        ("x: &a [1, 1]\ny: &b [*a, *a]\ncolumns: {amount: *b}", "a tag, an anchor or an alias"),
        ("columns:" + " {a:" * 3000, "nested more than 16 deep"),
        ("#" * 70_000, "larger than 65536 bytes"),
        ("columns: {amount: nowhere}", "column 'nowhere' of .* is not there. It has id, paid_at"),
        ("columns: {amount: value}", "column 'transaction_id' is missing"),
    ],
)
def test_a_wrong_mapping_is_told_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    """With what it may hold."""
    path = tmp_path / "t.parquet"
    foreign().to_parquet(path)
    with pytest.raises(DataError, match=says) as stopped:
        read_transactions(path, mapping=written(tmp_path / "mapping.yml", text))
    assert "\n" not in str(stopped.value)


def test_a_mapping_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As any other."""
    foreign().to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"none\.yml: It cannot be read"):
        read_transactions(tmp_path / "t.parquet", mapping=tmp_path / "none.yml")


def test_ulbs_file_trains_with_the_profile_passthrough(tmp_path: Path) -> None:
    """A day to fit, half of one to choose the threshold, half to report: all its 28 numbers are features."""
    from training.train import main  # noqa: PLC0415 - loads what a worker must not

    path, out = tmp_path / "creditcard.csv", tmp_path / "ulb.onnx"
    ulb().to_csv(path, index=False)
    windows = "--train-days 1 --gap-days 0 --validation-days 0.5 --test-days 0.5 --label-delay-days 0".split()
    options = [
        "--profile",
        "passthrough",
        "--attributes",
        "all",
        "--trees",
        "10",
        "--parameter",
        "max_features=0.5",
        "--no-register",
        "--out",
        str(out),
        *windows,
    ]
    assert main(["--data", str(path), *options]) == 0
    written_in = {entry.key: entry.value for entry in onnx.load(str(out)).metadata_props}
    assert read_metadata(written_in).needs == {f"attributes.v{i}": 1.0 for i in range(1, 29)}
    card = out.with_suffix(".card.md").read_text(encoding="utf-8")
    assert "`attributes.v28`" in card
    assert "| max features | `0.5` |" in card
    assert "2013-09-02 12:00 to 2013-09-03 00:00" in card


@pytest.mark.parametrize("text", ["max_features", "max_features="])
def test_a_parameter_without_a_value_is_refused(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Before anything is read."""
    from training.train import main  # noqa: PLC0415 - as above

    assert main(["--data", "none.csv", "--no-register", "--parameter", text]) == 2
    assert "NAME=VALUE" in capfd.readouterr().err


def test_constants_are_taken_as_written_and_checked_like_a_column(tmp_path: Path) -> None:
    """`NO` is Norway, not false; `0742` is a category code, not 482; what no record may hold is refused by name."""
    path, mapping = tmp_path / "t.parquet", tmp_path / "mapping.yml"
    foreign().to_parquet(path)
    told = MAPPING.replace("currency: USD", "currency: NOK\n  country: NO\n  mcc: 0742\n  approved: true\n  latitude: 59.9")
    frame = read_transactions(path, mapping=written(mapping, told))
    assert frame.iloc[0][["currency", "country", "mcc", "approved", "latitude"]].tolist() == ["NOK", "NO", "0742", True, 59.9]
    for right, wrong, says in [
        ("country: NO", "country: NOR", "country 'NOR' is not of ISO 3166-1 alpha-2; send 'NO'"),
        ("mcc: 0742", "mcc: 742", "mcc is '742'; send four digits"),
        ("approved: true", "approved: yes", "'yes' cannot be approved"),
    ]:
        with pytest.raises(DataError, match=rf"Line [0-9]+: {says}"):
            read_transactions(path, mapping=written(mapping, told.replace(right, wrong)))


@pytest.mark.parametrize(("unit", "times"), [("us", 1_500_000_000_000_000), ("ns", 1_500_000_000_000_000_000), ("ms", 1_500_000_000_000)])
def test_times_may_be_in_any_unit_that_is_told(tmp_path: Path, unit: str, times: int) -> None:
    """Untold, those that are not milliseconds are refused at once, with the unit that they seem to have."""
    path, mapping = tmp_path / "t.parquet", tmp_path / "mapping.yml"
    foreign(paid_at=[times, times]).to_parquet(path)
    frame = read_transactions(path, mapping=written(mapping, MAPPING.replace("time_unit: s", f"time_unit: {unit}")))
    assert frame["event_time"].tolist() == [1_500_000_000_000] * 2
    if unit != "ms":
        with pytest.raises(DataError, match=r"column 'paid_at' is wrong in row 1 and in 1 other: .* \((micro|nano)seconds\?\)"):
            read_transactions(path, mapping=written(mapping, MAPPING.replace("time_unit: s", "time_unit: ms")))


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_the_sign_that_parts_columns_is_found(tmp_path: Path, separator: str) -> None:
    """With the mark of UTF-8 first, and quoted names that hold other signs; `.tsv` is a CSV."""
    head = ['"id;|,"', "paid_at", "pan", "shop", "value", "chargeback", "score_of_the_gateway"]
    row = ["a", "1500000000", "p1", "007", '"1,50"' if separator == "," else "1,50", "J", '"-1.234,5"' if separator == "," else "-1.234,5"]
    path, mapping = tmp_path / ("t.tsv" if separator == "\t" else "t.csv"), tmp_path / "mapping.yml"
    path.write_text("\ufeff" + separator.join(head) + "\n" + separator.join(row) + "\n", encoding="utf-8")
    told = MAPPING.replace("transaction_id: id", "transaction_id: 'id;|,'").replace(
        "is_fraud: chargeback", "is_fraud: {path: chargeback, values: {J: true}}"
    )
    frame = read_transactions(path, mapping=written(mapping, told + 'decimal: ","\n'))
    assert frame.iloc[0][["transaction_id", "amount", "is_fraud", "attributes.gateway"]].tolist() == ["a", 1.5, True, -1234.5]


@pytest.mark.parametrize(
    ("column", "says"),
    [
        ("amount: {path: value, unit: s}", "unit is 's'; it is one of major, minor"),
        ("event_time: {path: paid_at, unit: minutes}", "unit is 'minutes'; it is one of s, ms, us, ns"),
        ("amount: {from: value}", "Line 2: 'from' is no part of column amount"),
        ("type: {path: noise, values: [a]}", "Line 2: values must be written as `name: value`"),
        ("type: {path: noise, values: {a: purchase, a: refund}}", "'a' stands twice"),
    ],
)
def test_a_column_that_is_told_wrongly_is_refused(tmp_path: Path, column: str, says: str) -> None:
    """In one line, with what it may have."""
    foreign().to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=says):
        read_transactions(tmp_path / "t.parquet", mapping=written(tmp_path / "mapping.yml", f"columns:\n  {column}\n"))


def test_a_column_may_have_a_unit_of_its_own(tmp_path: Path) -> None:
    """Payments in seconds, labels in microseconds."""
    foreign(known_at=[1_500_000_100_000_000, 1_500_000_100_000_000]).to_parquet(tmp_path / "t.parquet")
    told = MAPPING.replace("  amount: value", "  amount: value\n  labelled_at: {path: known_at, unit: us}")
    frame = read_transactions(tmp_path / "t.parquet", mapping=written(tmp_path / "mapping.yml", told))
    assert frame["labelled_at"].tolist() == [1_500_000_100_000] * 2


PAYSIM = "step,type,amount,nameOrig,oldbalanceOrg,newbalanceOrig,nameDest,oldbalanceDest,newbalanceDest,isFraud,isFlaggedFraud\n" + "".join(
    f"{1 + i // 2},{kind},{10 + i}.64,C{i % 3},170136.0,160296.36,M{i},0.0,0.0,{int(i == 2)},0\n"
    for i, kind in enumerate(["PAYMENT", "TRANSFER", "CASH_OUT", "CASH_IN", "DEBIT"])
)
BANKSIM = "step,customer,age,gender,zipcodeOri,merchant,zipMerchant,category,amount,fraud\n" + "".join(
    f"{i // 2},'C{i % 3}','4','M','28007','M{i}','28007','es_transportation',{4 + i}.55,{int(i == 2)}\n" for i in range(5)
)


@pytest.mark.parametrize(("text", "step_ms", "first"), [(PAYSIM, 3_600_000, 1), (BANKSIM, 86_400_000, 0)], ids=["paysim", "banksim"])
def test_simulations_that_count_steps_are_read_as_they_are(tmp_path: Path, text: str, step_ms: int, first: int) -> None:
    """Hours or days since 2019; ids are the rows' numbers; fit to train on."""
    frame = read_transactions(written(tmp_path / "t.csv", text))
    check_for_training(frame)
    assert frame["event_time"].tolist() == [1_546_300_800_000 + step_ms * (first + i // 2) for i in range(5)]
    assert (frame["transaction_id"].tolist(), frame["is_fraud"].tolist()) == ([str(i) for i in range(5)], [i == 2 for i in range(5)])
    assert frame["currency"].unique().tolist() == ["EUR"]
    if text is PAYSIM:
        assert frame["type"].tolist() == ["purchase", "purchase", "withdrawal", "refund", "purchase"]


TABFORMER = """User,Card,Year,Month,Day,Time,Amount,Use Chip,Merchant Name,Merchant City,Merchant State,Zip,MCC,Errors?,Is Fraud?
0,0,2002,9,1,06:21,$134.09,Swipe Transaction,3527213246127876953,La Verne,CA,91750.0,5300,,No
0,1,2002,9,3,17:45,$-99.00,Online Transaction,-34551508091458520, ONLINE,,,5912,Insufficient Balance,Yes
1,0,2002,9,2,06:22,$38.48,Chip Transaction,5817218446178736267,Rome,Italy,,742,,No
"""


def test_tabformers_file_is_read_as_it_is(tmp_path: Path) -> None:
    """User by user in the file, by time here; dollars with a sign, dates in four columns, refunds below zero, Yes and No."""
    path = tmp_path / "card_transaction.v1.csv"
    path.write_text(TABFORMER)
    frame = read_transactions(path)
    check_for_training(frame)
    assert frame["card_id"].tolist() == ["0-0", "1-0", "0-1"]
    assert frame["event_time"].tolist() == [1_030_861_260_000, 1_030_947_720_000, 1_031_075_100_000]
    assert frame["amount"].tolist() == [134.09, 38.48, 99.0]
    assert frame["type"].tolist() == ["purchase", "purchase", "refund"]
    assert frame["channel"].tolist() == ["magstripe", "chip", "online"]
    assert frame["mcc"].tolist() == ["5300", "0742", "5912"]
    assert frame["approved"].tolist() == [True, True, False]
    assert frame["is_fraud"].tolist() == [False, False, True]
    assert frame["terminal_id"].tolist()[2] == "-34551508091458520"
    assert set(frame["currency"]) == {"USD"}


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [("$38.48", "38,48", "column 'Amount' is '38,48' in row 3"), (",No\n1", ",no\n1", "Is Fraud.' is 'no' in row 2")],
)
def test_a_wrong_row_of_tabformers_is_told_by_the_files_own_number(tmp_path: Path, right: str, wrong: str, says: str) -> None:
    """Before the rows are put in order."""
    path = tmp_path / "t.csv"
    path.write_text(TABFORMER.replace("Balance,Yes\n1", "Balance,No\n1").replace(right, f'"{wrong}"' if "48" in wrong else wrong))
    with pytest.raises(DataError, match=says):
        read_transactions(path)


def of_form(name: str, days: int = 70, a_day: int = 12) -> pd.DataFrame:
    """Made up in the columns of a public file: a fraud in ten, told by its amount."""
    rng, rows = np.random.default_rng(1), days * a_day
    hours, is_fraud = np.arange(rows) * 24 // a_day, np.arange(rows) % 10 == 3
    amount = np.where(is_fraud, rng.uniform(500, 900, rows), rng.uniform(5, 90, rows)).round(2)
    card, shop = rng.integers(0, 20, rows), rng.integers(0, 9, rows)
    if name == "paysim":
        columns = {
            "step": hours + 1,
            "type": "PAYMENT",
            "amount": amount,
            "nameOrig": [f"C{c}" for c in card],
            "nameDest": [f"M{s}" for s in shop],
        }
        return pd.DataFrame(columns | {"isFraud": is_fraud.astype(int)})
    if name == "ieee-cis":
        columns = {
            "TransactionID": np.arange(rows),
            "isFraud": is_fraud.astype(int),
            "TransactionDT": 86_400 + hours * 3_600,
            "TransactionAmt": amount,
        }
        return pd.DataFrame(columns | {"ProductCD": "W", "card1": 1_000 + card, "C1": 1.0, "V339": rng.normal(0, 1, rows)})
    at = pd.Timestamp("2019-01-01") + pd.to_timedelta(hours, unit="h")
    columns = {
        "User": card,
        "Card": 0,
        "Year": at.year,
        "Month": at.month,
        "Day": at.day,
        "Time": at.strftime("%H:%M"),
        "Amount": [f"${a:.2f}" for a in amount],
    }
    columns |= {
        "Use Chip": "Chip Transaction",
        "Merchant Name": shop,
        "MCC": 5300,
        "Errors?": "",
        "Is Fraud?": np.where(is_fraud, "Yes", "No"),
    }
    return pd.DataFrame(columns).sort_values("User", kind="stable")


@pytest.mark.parametrize(
    ("name", "options"),
    [("paysim", ["--profile", "velocity"]), ("tabformer", []), ("ieee-cis", ["--profile", "passthrough", "--attributes", "all"])],
)
def test_one_command_trains_on_a_public_file(name: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/how-to/own-data.md says it; the model knows the frauds of the made-up file, whose amounts tell them."""
    from training.train import main  # noqa: PLC0415 - loads what a worker must not

    path, out = tmp_path / f"{name}.csv", tmp_path / "model.onnx"
    of_form(name).to_csv(path, index=False)
    monkeypatch.setenv("FRAUDSTREAM_BASE_CURRENCY", "EUR" if name == "paysim" else "USD")
    assert main(["--data", str(path), *options, "--trees", "5", "--no-register", "--out", str(out)]) == 0
    assert out.stat().st_size > 0
