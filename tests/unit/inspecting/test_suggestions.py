"""What columns with names that nobody knows may be is said as comments, which a person takes by deleting a sign."""

from __future__ import annotations

from typing import Any

from stream_app.inspecting.suggestions import suggestions
from stream_app.wire.mapping_text import mapping_of
from tests.unit.inspecting.test_inspection import inspected

TURKISH: dict[str, Any] = {
    "islem": lambda i: f"TX{i}",
    "tarih": lambda i: f"{13 + i % 9}.04.2018 03:{i % 60:02}:00",
    "kart": lambda i: f"C{i % 7}",
    "isyeri": lambda i: f"S{i % 5}",
    "tutar": lambda i: f"{i},50",
    "para": "TRY",
    "ulke": lambda i: ("TUR", "DEU")[i % 2],
    "kanal": lambda i: ("POS", "ecom")[i % 2],
    "sahte": lambda i: ("N", "Y")[i % 50 == 1],
}


def rows(**columns: Any) -> list[dict[str, Any]]:
    """A hundred rows of a file in Turkish."""
    return [{name: made(i) if callable(made) else made for name, made in (TURKISH | columns).items()} for i in range(100)]


def test_what_is_needed_is_suggested_by_what_stands_in_the_columns() -> None:
    """Times with their format, money with its sign, codes of currencies and countries, ids by how often one stands there, yes and no."""
    assert inspected(rows()).hints()[:9] == [
        "# transaction_id is needed: by its values `transaction_id: islem`, or write it under `constants`",
        "# event_time is needed: by its values `event_time: {path: tarih, format: '%d.%m.%Y %H:%M:%S'}` with the `zone` of these times, or write it under `constants`",
        "# card_id is needed: by its values `card_id: kart` or `card_id: isyeri`, or write it under `constants`",
        "# terminal_id is needed: by its values `terminal_id: kart` or `terminal_id: isyeri`, or write it under `constants`",
        "# amount is needed: by its values `amount: tutar` with `decimal: ','`, or write it under `constants`",
        "# currency is needed: by its values `currency: para`, or write it under `constants`",
        "# by its values `country: {path: ulke, values: {TUR: TR, DEU: DE}}`",
        "# by its values `is_fraud: {path: sahte, values: {N: 'false', Y: 'true'}}`",
        "# channel: what POS mean is not known; write `channel: {path: kanal, values: {ecom: online, POS: '?'}}`, each ? one of atm, chip, contactless, magstripe, moto, online, or take channel out",
    ]


def test_what_is_suggested_is_a_mapping() -> None:
    """Each line between backticks that is one of a column, put under `columns`."""
    said = [
        part
        for hint in inspected(rows()).hints()
        for part in hint.split("`")[1::2]
        if ": " in part and not any(sign in part for sign in ("decimal", "?", "attributes"))
    ]
    chosen = [line for line in said if not line.startswith(("card_id: isyeri", "terminal_id: kart"))]
    mapping = mapping_of("columns:\n" + "".join(f"  {line}\n" for line in chosen) + "decimal: ','\nzone: Europe/Istanbul\n")
    assert mapping.columns.keys() == {
        "transaction_id", "event_time", "card_id", "terminal_id", "amount", "currency", "country", "is_fraud",
    }  # fmt: skip


def test_nothing_is_suggested_where_values_do_not_tell() -> None:
    """No date, no number, codes that are none: a person knows, or nobody."""
    report = inspected([{"a": f"x{i}", "b": "yes"} for i in range(20)])
    assert suggestions(report.found.columns, report.found.mapping) == [
        "# transaction_id is needed: by its values `transaction_id: a`, or write it under `constants`",
        *[f"# {name} is needed: name its column under `columns`, or write it under `constants`" for name in ("event_time", "card_id", "terminal_id", "amount", "currency")],
    ]  # fmt: skip


def test_a_file_of_reports_is_told_what_such_files_are_for() -> None:
    """Chargebacks name neither terminal nor currency; payments that lack one of the two are not taken for them."""
    reports = [{"REF": f"TX{i}", "KART": f"C{i % 7}", "TUTAR": f"{i},50", "BILDIRIM": "2018-04-01"} for i in range(50)]
    told = "\n".join(inspected(reports).lines())
    assert "If these are no payments, but reports of frauds (chargebacks, TC40, SAFE)" in told
    assert "reports of frauds" not in "\n".join(inspected(rows(currency="TRY")).lines())


def test_a_nested_column_is_known_by_what_it_is_in() -> None:
    """`device.id` is a device's and `card.token` a card's, whatever else ends in `id`; what holds an object is no column."""
    given = [
        {
            "id": f"TX{i}",
            "created": "2018-04-01T10:00:00Z",
            "device": {},
            "device.id": f"d{i % 9}",
            "card.token": f"c{i % 7}",
            "merchant.terminal.id": f"t{i % 5}",
        }
        for i in range(50)
    ]
    found = {ours: guess.theirs for ours, guess in inspected(given).found.mapping.columns.items()}
    assert found == {
        "transaction_id": "id", "event_time": "created", "card_id": "card.token", "terminal_id": "merchant.terminal.id", "device_id": "device.id",
    }  # fmt: skip
