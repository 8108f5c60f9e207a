"""Money in the base currency, and the rates file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_app.errors import SettingsError
from stream_app.messages.money import Money, Rates, read_rates

RATES = {"version": "2026-11-20", "base": "EUR", "rates": {"USD": 0.92}}


@pytest.mark.parametrize(
    ("currency", "billing_currency", "by_billing", "rate"),
    [
        ("EUR", None, False, 1.0),
        ("USD", "EUR", True, 1.0),
        ("EUR", "USD", False, 1.0),
        ("JPY", "USD", True, 0.92),
        ("USD", "JPY", False, 0.92),
        ("USD", None, False, 0.92),
    ],
)
def test_the_base_currency_comes_first_and_billing_before_the_amount(
    currency: str, billing_currency: str | None, rate: float, *, by_billing: bool
) -> None:
    """What needs no rate is preferred to what does."""
    assert Money("EUR", Rates("1", "EUR", {"USD": 0.92})).terms(currency, billing_currency) == (by_billing, rate)


def test_a_rates_file_is_read() -> None:
    """No name, no rates."""
    Path("rates.json").write_text(json.dumps(RATES))
    rates = read_rates("rates.json")
    assert rates == Rates("2026-11-20", "EUR", {"USD": 0.92})
    assert Money("EUR", rates).rates_version == "2026-11-20"
    assert read_rates("") is None


@pytest.mark.parametrize(
    "changes", [{"rates": {"USD": 0}}, {"rates": {"USD": -0.92}}, {"rates": {"USD": 1e300}}, {"rates": {"USD": "0.92"}}, {"version": None}]
)
def test_a_wrong_rates_file_is_told_with_its_form(changes: dict[str, object]) -> None:
    """Rates are numbers above 0, and none that any currency was ever worth more than."""
    Path("rates.json").write_text(json.dumps(RATES | changes))
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_RATES_FILE 'rates\.json' cannot be read: .*Its form: "):
        read_rates("rates.json")


@pytest.mark.parametrize("changes", [{"base": "EURO"}, {"rates": {"USD": 0.92, "usd": 0.92}}])
def test_a_code_that_is_none_is_named(changes: dict[str, object]) -> None:
    """It would never be found: the money of that currency would not be counted."""
    Path("rates.json").write_text(json.dumps(RATES | changes))
    with pytest.raises(SettingsError, match=r"names '(EURO|usd)', which is not of ISO 4217"):
        read_rates("rates.json")


def test_a_file_that_is_not_utf8_is_one_line() -> None:
    """No traceback."""
    Path("rates.json").write_bytes(b'{"version": "\xff"}')
    with pytest.raises(SettingsError, match="cannot be read"):
        read_rates("rates.json")


def test_a_missing_file_and_another_base_are_told() -> None:
    """One line each."""
    with pytest.raises(SettingsError, match="No such file"):
        read_rates("rates.json")
    with pytest.raises(SettingsError, match="has base EUR, FRAUDSTREAM_BASE_CURRENCY is USD"):
        Money("USD", Rates("1", "EUR", {}))
