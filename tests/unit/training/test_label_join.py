"""Labels in a file of their own: joined by id, or by card, amount and day; what is ambiguous is reported, never guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands.replay import label_records, replay_of
from stream_app.errors import DataError
from stream_app.wire.mapping import token_of
from training.data.dataset import read_transactions, with_labels
from training.data.label_file import LabelTable, read_labels
from training.data.label_join import LabelJoin, join_labels

DAY = 86_400_000
BEGIN = 1_700_006_400_000
"""2023-11-15T00:00Z."""
HOUR = DAY // 24


def payments(folder: Path, rows: list[tuple[str, str, int, float]], extra: str = "") -> Path:
    """A file of payments: id, card, time, amount."""
    path = folder / "payments.csv"
    lines = [f"{i},{t},{c},M1,{a},EUR{',0' * bool(extra)}" for i, c, t, a in rows]
    path.write_text("\n".join([f"transaction_id,event_time,card_id,terminal_id,amount,currency{extra}", *lines]))
    return path


def joined(folder: Path, rows: list[tuple[str, str, int, float]], labels: str, mapping: str = "") -> tuple[pd.DataFrame, LabelJoin]:
    """What comes of a file of labels."""
    file, yaml = folder / "labels.csv", folder / "labels.yml"
    file.write_text(labels)
    yaml.write_text(mapping)
    frame = read_transactions(payments(folder, rows))
    return with_labels(frame, file, mapping=yaml if mapping else None, label_delay_days=7)


PAID = [
    ("T1", "C1", BEGIN + HOUR, 10.0),
    ("T2", "C1", BEGIN + 2 * HOUR, 12.5),
    ("T3", "C1", BEGIN + 3 * HOUR, 12.5),
    ("T1", "C2", BEGIN + 4 * HOUR, 10.0),
    ("T4", "C2", BEGIN + DAY + HOUR, 10.0),
    ("T5", "C2", BEGIN + DAY + 2 * HOUR, 99.99),
]


def test_a_label_that_names_a_transaction_means_that_of_its_card(tmp_path: Path) -> None:
    """Rule 1 of `label_join`: an id of two cards needs the card; rule 3: without it none of the two is taken."""
    frame, told = joined(tmp_path, PAID, "transaction_id,card_id\nT1,C2\nT2,\nT1,\nT9,C1\nT4,C1\n")
    assert np.flatnonzero(frame["is_fraud"]).tolist() == [1, 3]
    assert (told.labels, told.joined, told.ambiguous, told.without) == (5, 2, (3,), (4, 5))
    assert frame["labelled_at"].iloc[3] == PAID[3][2] + 7 * DAY
    assert frame["labelled_at"].isna().tolist() == [True, False, True, False, True, True]


def test_a_label_without_an_id_means_the_payment_of_its_card_amount_and_day(tmp_path: Path) -> None:
    """Rule 2 of `label_join`: two of one amount on a day are ambiguous (rule 3); another currency is another payment."""
    labels = (
        "card_id,amount,event_time,currency\nC1,10.00,2023-11-15,\nC1,12.5,2023-11-15,\nC2,10,2023-11-16,EUR\n"
        "C2,99.99,2023-11-16T23:00:00Z,\nC2,99.99,2023-11-15,\nC2,10,2023-11-15,USD\n,10,2023-11-15,\n"
    )
    frame, told = joined(tmp_path, PAID, labels)
    assert np.flatnonzero(frame["is_fraud"]).tolist() == [0, 4, 5]
    assert (told.joined, told.ambiguous, told.without, told.incomplete) == (3, (2,), (5, 6), (7,))
    assert list(told.lines()) == [
        "Labels: 7; 3 joined to 3 payments, 3 of them fraud.",
        "  1 fit several payments, so none was taken: row 2",
        "  2 fit no payment of the file: rows 5, 6",
        "  1 name no payment: neither transaction_id nor all of card_id, amount, event_time: row 7",
    ]


def test_days_are_those_of_the_zone_that_the_mapping_names(tmp_path: Path) -> None:
    """Half past midnight in Berlin is the day before in UTC."""
    paid = [("T1", "C1", BEGIN - HOUR // 2, 10.0), ("T2", "C1", BEGIN + 20 * HOUR, 10.0)]
    mapping = "columns: {event_time: Tag, amount: Betrag, card_id: Karte}\nzone: Europe/Berlin\ndecimal: ','\n"
    labels = "Karte;Betrag;Tag\nC1;10,00;2023-11-15\n"
    frame, told = joined(tmp_path, [paid[0], ("T2", "C1", BEGIN + 23 * HOUR + HOUR // 2, 10.0)], labels, mapping)
    assert (frame["is_fraud"].tolist(), told.joined) == ([True, False], 1)
    with pytest.raises(DataError, match="1 fit several payments"):
        joined(tmp_path, paid, labels, mapping)


def test_a_report_of_a_scheme_says_the_type_of_fraud(tmp_path: Path) -> None:
    """TC40 has one sign, SAFE two digits; both become our words, and go out in the label's source; an unknown code is refused."""
    mapping = "columns: {card_id: Account, amount: Amount, event_time: Purchase Date, labelled_at: Posted, fraud_type: Fraud Type}\ntokens: [card_id]\n"
    paid = [(i, token_of("4111111111111111"), t, a) for i, _, t, a in PAID[:2]]
    head = "Account,Amount,Purchase Date,Posted,Fraud Type\n"
    labels = head + "4111111111111111,10.00,2023-11-15,2023-11-20,4\n4111111111111111,12.50,2023-11-15,2023-11-15,06\n"
    frame, told = joined(tmp_path, paid, labels, mapping)
    assert told.joined == 2
    assert frame["source"].tolist() == ["chargeback:counterfeit", "chargeback:card_not_present"]
    assert frame["labelled_at"].tolist() == [BEGIN + 6 * DAY - 1, BEGIN + DAY - 1], "a date is known at its end"
    records = label_records(replay_of(frame).labels, 0, 2)
    assert b'"source":"chargeback:card_not_present"' in records[0][1]
    with pytest.raises(DataError, match="fraud_type '77' is unknown; send one of account_takeover"):
        joined(tmp_path, paid, head + "4111111111111111,10.00,2023-11-15,2023-11-20,77\n", mapping)


def test_of_several_labels_of_a_payment_the_newest_verdict_stands(tmp_path: Path) -> None:
    """Rule 5 of `label_join`: since the first that said so; rule 4: one from before its payment says nothing of it."""
    times = [BEGIN + n * DAY for n in (1, 3, 2, 5, 4)]
    verdicts = (1, 1, 0, 1, 1)
    labels = "transaction_id,card_id,is_fraud,labelled_at\n" + "".join(f"T2,C1,{v},{t + 1}\n" for v, t in zip(verdicts, times, strict=True))
    frame, told = joined(tmp_path, PAID, labels + f"T3,C1,1,{BEGIN + HOUR}\n")
    assert (told.joined, told.payments, told.frauds, told.contradicted, told.before) == (5, 1, 1, 1, (6,))
    assert (frame["is_fraud"].tolist(), frame["labelled_at"].iloc[1]) == ([False, True, False, False, False, False], BEGIN + DAY + 1)
    assert "4 are of a payment that has another one (1 payments have both verdicts; the newest stands)" in list(told.lines())[1]


def test_labels_of_none_of_the_payments_are_an_error(tmp_path: Path) -> None:
    """With the counts: tokens of another vault look like that. So is a file that does not say which payments it means."""
    with pytest.raises(DataError, match=r"not one label has its payment.*2 fit no payment.*Are cards tokens in both"):
        joined(tmp_path, PAID, "transaction_id\nX\nY\n")
    with pytest.raises(DataError, match=r"does not say which payments it means.*'amount'"):
        joined(tmp_path, PAID, "card_id,event_time\nC1,2023-11-15\n")


def test_labels_take_the_place_of_the_files_own(tmp_path: Path) -> None:
    """Scenarios of a simulation too: they would tell what no label says."""
    frame = read_transactions(payments(tmp_path, PAID, ",is_fraud"))
    (tmp_path / "l.csv").write_text("transaction_id\nT5\n")
    found, _ = with_labels(frame.assign(fraud_scenario=np.int8(1)), tmp_path / "l.csv", mapping=None, label_delay_days=7)
    assert found["is_fraud"].tolist() == [False] * 5 + [True]
    assert "fraud_scenario" not in found.columns


labels_drawn = st.lists(
    st.tuples(
        st.sampled_from([None, "T1", "T2", "T3"]),
        st.sampled_from([None, "C1", "C2"]),
        st.sampled_from([None, "EUR", "USD"]),
        st.sampled_from([np.nan, 1.0, 1.001]),
        st.sampled_from([0, BEGIN, BEGIN + DAY]),
        st.booleans(),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=12,
)
paid_drawn = st.lists(
    st.tuples(st.sampled_from(["T1", "T2", "T3", "T4"]), st.sampled_from(["C1", "C2"]), st.integers(0, 2), st.sampled_from([1.0, 1.001])),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[:2],
)


@given(paid_drawn, labels_drawn)
def test_a_join_is_what_looking_at_every_pair_says(paid: list[Any], drawn: list[Any]) -> None:
    """An oracle of a few lines: each label against each payment, by the rules as they stand."""
    frame = pd.DataFrame(
        {
            "transaction_id": [p[0] for p in paid],
            "card_id": pd.Categorical([p[1] for p in paid]),
            "currency": pd.Categorical(["EUR"] * len(paid)),
            "event_time": [BEGIN + p[2] * DAY // 2 for p in paid],
            "amount": [p[3] for p in paid],
        }
    )
    at = list(zip(*drawn, strict=True))
    known = [BEGIN + n * DAY // 2 for n in at[6]]
    names, cards, currencies = (np.asarray(c, object) for c in at[:3])
    table = LabelTable(
        path=Path("l.csv"),
        transaction_id=names,
        card_id=cards,
        currency=currencies,
        amount=np.asarray(at[3], float),
        event_ms=np.asarray(at[4], np.int64),
        labelled_ms=np.asarray(known, np.int64),
        is_fraud=np.asarray(at[5], bool),
        source=np.asarray(["s"] * len(drawn), object),
        zone="UTC",
    )
    stands: dict[int, list[tuple[int, int, bool]]] = {}
    counts = {"ambiguous": 0, "without": 0, "before": 0, "incomplete": 0}
    for n, (name, card, currency, amount, day, fraud, _) in enumerate(drawn):
        if name is not None:
            fits = [i for i, p in enumerate(paid) if p[0] == name and card in {None, p[1]}]
        elif card is None or np.isnan(amount) or not day:
            counts["incomplete"] += 1
            continue
        else:
            fits = [
                i
                for i, p in enumerate(paid)
                if (p[1], p[3], frame["event_time"][i] // DAY) == (card, amount, day // DAY) and currency in {None, "EUR"}
            ]
        kind = "without" if not fits else "ambiguous" if len(fits) > 1 else "before" if known[n] < frame["event_time"][fits[0]] else ""
        if kind:
            counts[kind] += 1
        else:
            stands.setdefault(fits[0], []).append((known[n], n, fraud))
    if not stands:
        with pytest.raises(DataError, match="not one label"):
            join_labels(frame, table, 0)
        return
    found, told = join_labels(frame, table, 0)
    assert counts == {kind: len(getattr(told, kind)) for kind in counts}
    assert told.contradicted == sum(len({fraud for *_, fraud in labels}) == 2 for labels in stands.values())
    for i in range(len(paid)):
        labels = sorted(stands.get(i, []))
        verdict = bool(labels) and labels[-1][2]
        assert found["is_fraud"][i] == verdict
        assert labels == [] or found["labelled_at"][i] == min(t for t, _, fraud in labels if fraud == verdict)


def test_a_parquet_of_labels_is_read_as_a_csv_is(tmp_path: Path) -> None:
    """Codes of schemes stay text; dates are days."""
    path = tmp_path / "labels.parquet"
    pd.DataFrame({"transaction_id": ["T1"], "fraud_type": ["00"], "labelled_at": pd.to_datetime(["2023-11-20"])}).to_parquet(path)
    table = read_labels(path)
    assert (table.source.tolist(), table.labelled_ms.tolist()) == (["chargeback:lost"], [BEGIN + 6 * DAY - 1])


def test_a_payment_has_the_source_of_the_label_that_stands(tmp_path: Path) -> None:
    """Whatever comes before it in the file: labels of no payment, of other ones, older ones of its own. A label names its source, or is a chargeback."""
    labels = (
        "transaction_id,card_id,source,labelled_at\nT9,C1,nobody,\n"
        f"T5,C2,late,{BEGIN + 9 * DAY}\nT5,C2,early,{BEGIN + 8 * DAY}\nT2,C1,analyst,\nT3,C1,,\n"
    )
    frame, _ = joined(tmp_path, PAID, labels)
    assert frame["source"].astype(object).where(frame["source"].notna(), None).tolist() == [
        None,
        "analyst",
        "chargeback",
        None,
        None,
        "late",
    ]


def test_what_a_label_lacks_is_not_guessed(tmp_path: Path) -> None:
    """A verdict that is missing is no fraud; a long source is cut to what a label may have."""
    path = tmp_path / "labels.parquet"
    pd.DataFrame(
        {"transaction_id": ["T1", "T2"], "is_fraud": [True, None], "source": ["s" * 64, "s" * 40], "fraud_type": ["00", "00"]}
    ).to_parquet(path)
    table = read_labels(path)
    assert (table.transaction_id.tolist(), table.is_fraud.tolist()) == (["T1", "T2"], [True, False])
    assert [len(source) for source in table.source] == [64, 45]


def test_labels_hold_no_card_number_and_are_not_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As payments; both are refused in a line."""
    file = tmp_path / "labels.csv"
    file.write_text("transaction_id,card_id\nT1,4111111111111111\nT2,C1\n")
    with pytest.raises(DataError, match="card number"):
        read_labels(file)
    assert len(read_labels(file, refuse_card_numbers=False)) == 2
    monkeypatch.setattr("training.data.label_file.MOST_LABELS", 2)
    assert len(read_labels(file, refuse_card_numbers=False)) == 2
    monkeypatch.setattr("training.data.label_file.MOST_LABELS", 1)
    with pytest.raises(DataError, match="has 2 rows; 1 labels are read at the most"):
        read_labels(file, refuse_card_numbers=False)


@pytest.mark.parametrize(("rows", "told"), [(1, "row 1"), (5, "rows 1, 2, 3, 4, 5"), (6, "rows 1, 2, 3, 4, 5, …")])
def test_the_first_rows_of_a_kind_are_shown(rows: int, told: str) -> None:
    """Five of them; that there are more is said."""
    found = LabelJoin(9, 0, 0, 0, 0, (), tuple(range(1, rows + 1)), (), ())
    assert list(found.lines())[1] == f"  {rows} fit no payment of the file: {told}"


def test_a_date_with_the_day_first_is_a_day_of_the_mappings_zone_and_a_report_of_it_its_end(tmp_path: Path) -> None:
    """By a format that the mapping says: nothing of 03/04 is guessed."""
    mapping = (
        'columns: {card_id: card, amount: sum, event_time: {path: bought, format: "%d/%m/%Y"}, labelled_at: {path: reported, format: "%d/%m/%Y"}}\n'
        "zone: Europe/Berlin"
    )
    frame, told = joined(tmp_path, PAID, "card,sum,bought,reported\nC2,99.99,16/11/2023,16/11/2023\n", mapping)
    assert (told.joined, np.flatnonzero(frame["is_fraud"]).tolist()) == (1, [5])
    assert frame["labelled_at"].iloc[5] == BEGIN + 2 * DAY - HOUR - 1  # 23:59:59.999 in Berlin
