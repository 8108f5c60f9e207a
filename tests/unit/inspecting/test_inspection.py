"""What is said of a source: its columns, what each is to us, what a worker would refuse, what looks wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stream_app.inspecting.columns import MOST_DISTINCT, Form, SourceColumn, date_formats, form_of
from stream_app.inspecting.guesses import NEEDED, Guess, GuessedMapping, as_yaml, guessed
from stream_app.inspecting.inspection import MOST_COLUMNS, Inspection
from stream_app.inspecting.report import InspectionReport
from stream_app.inspecting.suspicions import suspicions
from tests.card_numbers import nth_card_number

T0 = 1_522_540_800_000
NOW = T0 + 10**10


def rows(number: int = 100, **columns: Any) -> list[dict[str, Any]]:
    """Payments under our names; a column may be a value, or what makes one of the row's number."""
    ours: dict[str, Any] = {
        "transaction_id": lambda i: f"tx{i}",
        "event_time": lambda i: T0 + 7_001 * i,
        "card_id": lambda i: f"c{i % 7}",
        "terminal_id": lambda i: f"t{i % 5}",
        "amount": lambda i: 1.5 + i,
        "currency": "EUR",
        "is_fraud": lambda i: i % 60 == 1,
    }
    return [
        {name: made(i) if callable(made) else made for name, made in (ours | columns).items() if made is not None} for i in range(number)
    ]


def inspected(given: list[dict[str, Any]], mapping: GuessedMapping | None = None) -> InspectionReport:
    """What is found in them."""
    columns: dict[str, SourceColumn] = {}
    for row in given:
        for name, value in row.items():
            columns.setdefault(name, SourceColumn(name)).add(value)
    found = Inspection(mapping or guessed(columns))
    for row in given:
        found.add(row)
    return InspectionReport("t.csv", found, whole=True, suspicions=suspicions(found, NOW), is_guessed=mapping is None)


def test_a_file_of_ours_is_taken_and_nothing_looks_wrong() -> None:
    """No reason, no suspicion, no mapping."""
    report = inspected(rows())
    assert (report.is_refused, list(report.suspicions), report.as_json()["needs_mapping"]) == (False, [], False)
    assert "Refused: nothing." in report.lines()
    assert "Payments of 2018-04-01 00:00 to 2018-04-01 00:11 UTC, 2 of 100 are fraud (2.00%)." in report.lines()


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"event_time": lambda i: T0 // 1000 + 7 * i}, "'event_time' is in seconds"),
        ({"event_time": lambda i: (T0 + 7 * i) * 1000}, "'event_time' is in microseconds"),
        ({"event_time": lambda i: f"2018-04-01 00:00:{i % 60:02d}"}, "times without a zone"),
        ({"event_time": lambda i: f"2018-04-{1 + i % 30:02d}"}, "dates without a time of day"),
        ({"event_time": lambda i: f"0{1 + i % 9}/04/2018 10:00"}, 'format: "%d/%m/%Y %H:%M" or format: "%m/%d/%Y %H:%M", and the zone'),
        ({"event_time": lambda i: ("25/12/2018", "12/25/2018")[i % 2]}, "dates that are not written alike, as '25/12/2018'"),
        ({"event_time": lambda i: f"{1 + i % 30}.4.2018 10:00"}, "times without a zone"),
        ({"event_time": lambda i: NOW + 10**9 + i}, "payments of the future"),
        ({"event_time": lambda i: T0 - i}, "99 rows are earlier than the row before"),
        ({"amount": lambda i: 100 + i}, "minor units (cents)?"),
        ({"amount": lambda i: 10.5 - i}, "'amount' goes down to -88.5: amounts have no sign"),
        ({"card_id": nth_card_number}, "'card_id' holds card numbers. Send tokens"),
        ({"card_id": "4.11111E+15"}, "went through a spreadsheet"),
        ({"transaction_id": lambda i: f"{4_111_111_111_111_000 + 10 * i}"}, "went through a spreadsheet"),
        ({"card_id": 1.5}, "numbers with a fraction where ids must be"),
        ({"transaction_id": lambda i: f"tx{i // 2}", "card_id": "c1"}, "50 payments stand twice"),
        ({"is_fraud": lambda i: i % 2}, "50.0% of the payments are fraud"),
        ({"is_fraud": 0}, "No payment is a fraud"),
        ({"card_id": "c1"}, "'card_id' has one value throughout"),
        ({"card_id": lambda i: f"c{i}"}, "Nearly every row has a card_id of its own"),
        ({"mcc": "742"}, "'mcc' has codes of less than four digits"),
    ],
)
def test_what_looks_wrong_is_told(columns: dict[str, Any], says: str) -> None:
    """Once, with the column's name; a right file has none of it."""
    found = [sentence for sentence in inspected(rows(**columns)).suspicions if says in sentence]
    assert len(found) == 1, inspected(rows(**columns)).suspicions


def test_a_few_rows_are_not_suspected_of_what_many_show() -> None:
    """Three rows may well have one card and whole amounts."""
    assert inspected(rows(3, card_id="c1", amount=100, is_fraud=True)).suspicions == []


def test_refused_rows_are_counted_by_reason_with_the_first_as_example() -> None:
    """The sentences are the worker's; a row with two reasons is one refused row."""
    report = inspected(rows(country=lambda i: "XX" if i % 10 == 3 else "FR", amount=lambda i: -1 if i == 13 else 1.5))
    told = report.as_json()
    assert (told["refused_rows"], report.is_refused) == (10, True)
    assert [(r["code"], r["field"], r["rows"], r["row"]) for r in told["refused"]] == [
        ("unknown_value", "country", 10, 4),
        ("out_of_range", "amount", 1, 14),
    ]
    assert any("country 'XX' is not of ISO 3166-1 alpha-2; send a code" in line and "10%" in line for line in report.lines())


FOREIGN: dict[str, Any] = {
    "transaction_id": None, "event_time": None, "card_id": None, "terminal_id": None, "amount": None, "currency": None, "is_fraud": None,
    "Umsatz-ID": lambda i: f"U{i}", "Zeitpunkt": lambda i: T0 // 1000 + 7 * i, "PAN": nth_card_number, "Händler": lambda i: f"h{i % 5}",
    "Betrag": lambda i: f"1.{100 + i},65", "Währung": "eur", "Chargeback": lambda i: "J" if i == 5 else "N", "Land": "DEU", "Kanal": "ECOM",
    "Notiz": "x",
}  # fmt: skip


def test_another_files_columns_are_known_by_name_and_by_how_their_values_are_written() -> None:
    """The mapping has units, tables of values, the decimal sign and tokens; by it nothing is refused, without it the file is."""
    report = inspected(rows(**FOREIGN))
    assert report.mapping() == {
        "columns": {
            "transaction_id": "Umsatz-ID",
            "event_time": {"path": "Zeitpunkt", "unit": "s"},
            "card_id": "PAN",
            "terminal_id": "Händler",
            "amount": "Betrag",
            "currency": {"path": "Währung", "values": {"eur": "EUR"}},
            "is_fraud": {"path": "Chargeback", "values": {"N": "false", "J": "true"}},
            "country": {"path": "Land", "values": {"DEU": "DE"}},
            "channel": {"path": "Kanal", "values": {"ECOM": "online"}},
        },
        "tokens": ["card_id"],
        "decimal": ",",
    }
    assert (report.found.refused_rows, report.found.frauds, report.is_refused) == (0, 1, True)
    assert "# columns that are nothing to us yet: Notiz; a number or a short text may be `attributes.NAME: column`" in report.hints()


def test_what_is_missing_is_told_with_what_it_must_be() -> None:
    """And rows are judged by the rest."""
    report = inspected(rows(currency=None, amount=None, is_fraud=None))
    assert report.found.mapping.missing == ("amount", "currency")
    assert any(line.startswith("Missing: currency, a code of ISO 4217 in capitals, for example EUR.") for line in report.lines())
    assert any(line.startswith("No label") for line in report.lines())
    assert (report.is_refused, report.found.refused_rows) == (True, 0)


def test_memory_is_bounded_by_columns_and_values() -> None:
    """A source of a million columns or values, or objects within objects, is looked at as far as that."""
    found = Inspection(GuessedMapping({}))
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"a": deep, "b": 1}
    found.add({f"c{i}": i for i in range(MOST_COLUMNS * 2)} | {"deep": deep})
    for i in range(MOST_DISTINCT * 2):
        found.add({"c0": i})
    assert (len(found.columns), found.left_out > 0) == (MOST_COLUMNS, True)
    assert (len(found.columns["c0"].values), found.columns["c0"].many) == (MOST_DISTINCT, True)


def test_no_card_number_is_shown() -> None:
    """Neither as an example, nor in a sentence, nor as a value."""
    report = inspected(rows(card_id=nth_card_number, merchant_id=nth_card_number(1), channel=nth_card_number))
    shown = json.dumps(report.as_json()) + "".join([*report.lines(), *report.hints()])
    assert not [i for i in range(100) if nth_card_number(i) in shown]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None), ("", None), (float("nan"), None), (True, Form.FLAG), (1, Form.WHOLE), (1.5, Form.NUMBER), ("007", Form.DIGITS),
        ("1.5", Form.DECIMAL), ("-3", Form.DECIMAL), ("1.234,50", Form.COMMA), ("65,23", Form.COMMA), ("4.1E+15", Form.POWER),
        ("2018-04-01", Form.DATE), ("2018-04-01T00:00:31Z", Form.ZONED), ("2018-04-01 00:00:31", Form.ZONELESS),
        ("01.04.2018", Form.OTHER_DATE), ("4/1/18 10:30", Form.OTHER_DATE), ("J", Form.TEXT), ([], Form.LIST), ({}, Form.OBJECT),
    ],
)  # fmt: skip
def test_how_a_value_is_written(value: Any, form: Form | None) -> None:
    """Each way that a system writes it."""
    assert form_of(value) is form


def test_every_needed_field_has_names_that_others_give_it() -> None:
    """Else it is never guessed."""
    names = {
        "id": "transaction_id",
        "timestamp": "event_time",
        "cc_num": "card_id",
        "merchant": "terminal_id",
        "amt": "amount",
        "ccy": "currency",
    }
    found = guessed({name: SourceColumn(name) for name in names})
    assert {guess.theirs: ours for ours, guess in found.columns.items()} == names
    assert set(found.columns) == set(NEEDED)
    assert found.columns["amount"] == Guess("amt")


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("25/12/2025 14:03", {"%d/%m/%Y %H:%M"}),
        ("12/25/2025 02:03:04 PM", {"%m/%d/%Y %I:%M:%S %p"}),
        ("03/04/2025", {"%d/%m/%Y", "%m/%d/%Y"}),
        ("3.4.25T7:05:01.250", {"%d.%m.%yT%H:%M:%S.%f", "%m.%d.%yT%H:%M:%S.%f"}),
        ("25/25/2025", set()),
        ("yesterday", set()),
    ],
)
def test_a_date_in_digits_is_read_in_every_way_that_there_is(text: str, formats: set[str]) -> None:
    """Which one is meant a person says."""
    assert date_formats(text) == formats


def test_a_date_that_can_be_read_in_one_way_is_given_to_the_mapping_and_no_other() -> None:
    """One day beyond the twelfth decides for its column; with none, no format is written."""
    sure = guessed({"paid_at": column("paid_at", "03/04/2025", "13/04/2025")})
    assert as_yaml(sure) == {"columns": {"event_time": {"path": "paid_at", "format": "%d/%m/%Y"}}, "zone": "UTC"}
    assert as_yaml(guessed({"paid_at": column("paid_at", "03/04/2025", "04/03/2025")})) == {"columns": {"event_time": "paid_at"}}


def column(name: str, *values: Any) -> SourceColumn:
    """A column of these values."""
    made = SourceColumn(name)
    for value in values:
        made.add(value)
    return made
