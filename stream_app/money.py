"""Money in the base currency, the unit of every window of money."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from stream_app.errors import SettingsError
from stream_app.iso import minor_units
from stream_app.transaction import Transaction

UNKNOWN = math.nan
"""The amount of a transaction for which there is no rate: scored and counted, its money not summed."""


class Rates(msgspec.Struct, frozen=True):
    """A versioned rates file: how much of the base currency one unit of each currency is worth."""

    version: str
    base: str
    rates: dict[str, float]


class Money:
    """Converts amounts into the base currency."""

    def __init__(self, base_currency: str, rates: Rates | None = None) -> None:
        if rates is not None and rates.base != base_currency:
            raise SettingsError(
                f"FRAUDSTREAM_RATES_FILE has base {rates.base}, FRAUDSTREAM_BASE_CURRENCY is {base_currency}. Make them one."
            )
        self.currency = base_currency
        self.unit = minor_units(base_currency)
        self._rates = rates.rates if rates else {}

    def of(self, tx: Transaction) -> float:
        """Major units of the base currency: the billing amount if it is in it, else the amount, else by rate, else `UNKNOWN`."""
        if tx.billing_amount is not None and tx.billing_currency == self.currency:
            return tx.billing_amount
        if tx.currency == self.currency:
            return tx.amount
        if tx.billing_amount is not None and tx.billing_currency in self._rates:
            return tx.billing_amount * self._rates[tx.billing_currency]
        return tx.amount * self._rates.get(tx.currency, UNKNOWN)


def read_rates(path: str) -> Rates | None:
    """The rates file of the settings; None where none is named.

    Raises:
        SettingsError: if the file is missing or not of the form {"version": …, "base": "EUR", "rates": {"USD": 0.92}}.
    """
    if not path:
        return None
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Rates)
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(
            f'FRAUDSTREAM_RATES_FILE {path!r} cannot be read: {error}. Its form: {{"version": "2026-11-20", "base": "EUR", "rates": {{"USD": 0.92}}}}'
        ) from None
