"""Money in the base currency, the unit of every window of money."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from stream_app.errors import SettingsError
from stream_app.messages.iso import CURRENCIES, minor_units
from stream_app.messages.transaction import Transaction

UNKNOWN = math.nan
"""The amount of a transaction for which there is no rate: scored and counted, its money not summed."""


MAX_RATE = 1e6
"""More than one unit of any currency is worth in any other; the largest amount times this still is an integer of 64 bits."""


class Rates(msgspec.Struct, frozen=True):
    """A versioned rates file: how much of the base currency one unit of each currency is worth."""

    version: str
    base: str
    rates: dict[str, Annotated[float, Meta(gt=0, le=MAX_RATE)]]


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
        self._version = rates.version if rates else ""

    @property
    def rates_version(self) -> str:
        """Version of the rates file; empty without one."""
        return self._version

    def of(self, tx: Transaction) -> float:
        """Major units of the base currency, or `UNKNOWN`."""
        by_billing, rate = self.terms(tx.currency, None if tx.billing_amount is None else tx.billing_currency)
        amount = tx.billing_amount if by_billing and tx.billing_amount is not None else tx.amount
        return amount * rate

    def terms(self, currency: str, billing_currency: str | None) -> tuple[bool, float]:
        """Which amount counts, and what one unit of it is worth in the base currency.

        The billing amount if it is in the base currency, else the amount if it is, else the billing amount if there is a rate, else the
        amount if there is one.

        Args:
            currency: of the amount.
            billing_currency: of the billing amount; None where there is no such amount.

        Returns:
            Whether the billing amount counts, and the rate; `UNKNOWN` where there is none.
        """
        if billing_currency == self.currency:
            return True, 1.0
        if currency == self.currency:
            return False, 1.0
        if billing_currency is not None and billing_currency in self._rates:
            return True, self._rates[billing_currency]
        return False, self._rates.get(currency, UNKNOWN)


def read_rates(path: str) -> Rates | None:
    """The rates file of the settings; None where none is named.

    Raises:
        SettingsError: if the file is missing or not of the form {"version": …, "base": "EUR", "rates": {"USD": 0.92}}, a code is not of
            ISO 4217, or a rate is not above 0 and at most `MAX_RATE`.
    """
    if not path:
        return None
    try:
        rates = msgspec.json.decode(Path(path).read_bytes(), type=Rates)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SettingsError(
            f'FRAUDSTREAM_RATES_FILE {path!r} cannot be read: {error}. Its form: {{"version": "2026-11-20", "base": "EUR", "rates": {{"USD": 0.92}}}}'
        ) from None
    unknown = [code for code in (rates.base, *rates.rates) if code not in CURRENCIES]
    if unknown:
        raise SettingsError(f"FRAUDSTREAM_RATES_FILE {path!r} names {unknown[0]!r}, which is not of ISO 4217. Correct the code, as USD.")
    return rates
