"""Files that call things by other names: what each of their columns is to us.

Known by their columns: the Fraud Detection Handbook's transactions, Sparkov's CSV (`fraudTrain.csv`), ULB's `creditcard.csv`, PaySim's and
BankSim's CSV, TabFormer's and IEEE-CIS's `train_transaction.csv`. Any other is described by a mapping in YAML, the form that workers take for records: `stream_app.wire.mapping_text`. What it says of
files beyond that of records: a column that has the whole path as its name is meant before a nested one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from stream_app.errors import DataError
from stream_app.wire.mapping import MappedField, MappingError, SourceMapping, ours, token_of
from stream_app.wire.mapping_text import MOST_MAPPING_BYTES, mapping_of
from training.data import tabformer
from training.data.mapped_columns import column_at, constant_column, converted_column, into_major, joined_columns, with_default

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path as FilePath

    from stream_app.wire.mapping import Path

ROW = "#row"
"""In place of a column: the row's number, where a file has no ids."""
ULB_BEGINS_MS = 1_377_993_600_000
"""2013-09-01: ULB's file says "September 2013", and seconds since its first payment."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What a file's columns are.

    Attributes:
        columns: ours → theirs, or `ROW`.
        otherwise: ours → the same for every row, where the file has no column of ours by that name.
        tokens: ours, whose values are replaced by a hash.
        said: what is said of values, as a mapping in YAML does: units, tables, constants.
        prepared: makes of a table what `columns` name, where that is no column by itself; it needs `needed` of theirs.
    """

    columns: Mapping[str, str]
    otherwise: Mapping[str, str] = field(default_factory=dict)
    tokens: Collection[str] = ()
    said: SourceMapping = field(default_factory=lambda: SourceMapping({}))
    prepared: Callable[[Any], Any] | None = None
    needed: Collection[str] = ()

    @property
    def sources(self) -> set[str]:
        """Theirs, that are read."""
        return {source for name in self.columns for source, _ in self.places_of(name)} - {ROW}

    @property
    def constants(self) -> Mapping[str, str]:
        """Ours → the same for every row."""
        return {**self.otherwise, **self.said.constants}

    @property
    def as_written(self) -> set[str]:
        """Theirs, whose values are texts to the mapping, whatever they look like: tables of values, times that it reads."""
        said = self.said.columns.items()
        texts = [name for name, column in said if column.values or self.said.time_of(name).is_text]
        return {source for name in texts for source, _ in self.places_of(name)}

    def places_of(self, name: str) -> list[tuple[str, Path]]:
        """The columns that one of ours is made of: each one's name, and where it is nested if no column has that name."""
        if name in self.said.columns:
            return [(".".join(path), path) for path in self.said.columns[name].paths]
        return [(self.theirs(name), (self.theirs(name),))]

    def missing(self, table: Any) -> set[str]:
        """Theirs, that a file with these columns does not have."""
        places = [place for name in self.columns for place in self.places_of(name) if place[0] != ROW]
        return {source for source, path in places if column_at(table, source, path) is None}

    def reads(self, name: str) -> bool:
        """Whether a column of theirs is needed."""
        return name in self.sources or name in self.needed or name in self.said.taken

    def theirs(self, name: str) -> str:
        """What the file calls a column of ours."""
        return self.columns.get(name, name)

    def called(self, name: str) -> str:
        """The same in an error."""
        is_constant = name in self.constants and name not in self.columns
        return f"constant {name!r} of the mapping" if is_constant else f"column {self.theirs(name)!r}"

    def applied(self, table: Any) -> Any:
        """The table under our names: columns of the layout, and others that already have them."""
        table = table if self.prepared is None else self.prepared(table)
        rows = pa.array(np.arange(table.num_rows).astype(str)) if ROW in self.columns.values() else None
        found = {
            name: rows if source == ROW else converted
            for name, source in self.columns.items()
            if source == ROW or (converted := self._converted(table, name)) is not None
        }
        taken = (self.sources | self.said.taken) - set(self.columns)
        found |= {
            name: converted_column(table[name], name, self.said) for name in table.column_names if name not in taken and name not in found
        }
        for name, value in self.constants.items():
            if name in self.said.constants or name not in found:
                found[name] = constant_column(ours(name), value, table.num_rows)
        minor = {name for name, column in self.said.columns.items() if column.unit == "minor"}
        self._fill(found, self.said.columns.keys() - minor)
        self._into_major(found, minor)
        self._fill(found, minor)
        for name in self.tokens:
            found[name] = _hashed(found[name])
        return pa.table(found)

    def _converted(self, table: Any, name: str) -> Any:
        """A column by what the mapping says of its values; None where there is none."""
        parts = [column_at(table, source, path) for source, path in self.places_of(name)]
        if any(part is None for part in parts):
            return None
        return converted_column(parts[0] if len(parts) == 1 else joined_columns(parts), name, self.said)

    def _fill(self, found: dict[str, Any], names: Collection[str]) -> None:
        for name in names:
            default, of = self.said.columns[name].default, self.said.field_of(name)
            if default is not None and of is not None and name in found:
                found[name] = with_default(found[name], of, default)

    def values_of(self, name: str) -> Mapping[str, str]:
        """The table of values of a column of ours, theirs → ours; empty where there is none."""
        return self.said.columns[name].values if name in self.said.columns else {}

    @property
    def zone(self) -> str:
        """Of times that name none; empty: it says none."""
        return self.said.zone

    @property
    def decimal(self) -> str:
        """The decimal sign of numbers that are text."""
        return self.said.decimal or "."

    def _into_major(self, found: dict[str, Any], minor: Collection[str]) -> None:
        for name, currency in (("amount", "currency"), ("billing_amount", "billing_currency")):
            if name in minor and name in found:
                found[name] = into_major(found[name], found.get(currency), self.said.columns[name].where)


def _hashed(column: Any) -> Any:
    """The same values as tokens; distinct ones stay distinct. It keeps card numbers out of models, not from who can try all of them."""
    encoded = column.dictionary_encode().combine_chunks()
    tokens = [None if text is None else token_of(text) for text in encoded.dictionary.cast(pa.string()).to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(tokens, pa.string()))


def _counted(name: str, unit: str, since_ms: int, **more: MappedField) -> SourceMapping:
    """Of a file whose times are counted from a start."""
    return SourceMapping({"event_time": MappedField((name,), unit, since_ms=since_ms), **more})


OURS = ColumnMapping({})

HANDBOOK = ColumnMapping(
    MappingProxyType(
        {
            "transaction_id": "TRANSACTION_ID",
            "event_time": "TX_DATETIME",
            "card_id": "CUSTOMER_ID",
            "terminal_id": "TERMINAL_ID",
            "amount": "TX_AMOUNT",
            "is_fraud": "TX_FRAUD",
            "fraud_scenario": "TX_FRAUD_SCENARIO",
        }
    ),
    {"currency": "EUR"},
)

SPARKOV = ColumnMapping(
    MappingProxyType(
        {
            "transaction_id": "trans_num",
            "event_time": "trans_date_trans_time",
            "card_id": "cc_num",
            "terminal_id": "merchant",
            "amount": "amt",
            "is_fraud": "is_fraud",
            "latitude": "merch_lat",
            "longitude": "merch_long",
        }
    ),
    {"currency": "USD", "country": "US"},
    tokens=("card_id",),
)
"""Each merchant is a terminal; money is in dollars; `cc_num` is a card number and becomes a token."""

ULB = ColumnMapping(
    MappingProxyType(
        {"transaction_id": ROW, "event_time": "Time", "card_id": ROW, "amount": "Amount", "is_fraud": "Class"}
        | {f"attributes.v{i}": f"V{i}" for i in range(1, 29)}
    ),
    {"currency": "EUR", "terminal_id": "unknown"},
    said=_counted("Time", "s", ULB_BEGINS_MS),
)
"""It names no card and no terminal: each payment is a card of its own, and only the profile `passthrough` can be trained."""

_SIMULATED_FROM_MS = 1_546_300_800_000
"""2019-01-01: simulations that count steps name no date."""

PAYSIM = ColumnMapping(
    MappingProxyType(
        {
            "transaction_id": ROW,
            "event_time": "step",
            "card_id": "nameOrig",
            "terminal_id": "nameDest",
            "amount": "amount",
            "type": "type",
            "is_fraud": "isFraud",
        }
    ),
    {"currency": "EUR"},
    said=_counted(
        "step",
        "h",
        _SIMULATED_FROM_MS,
        type=MappedField(
            ("type",),
            values={"PAYMENT": "purchase", "DEBIT": "purchase", "TRANSFER": "purchase", "CASH_OUT": "withdrawal", "CASH_IN": "refund"},
        ),
    ),
)
"""Mobile money: a step is an hour, an account is a card, whom it pays a terminal; nearly every payer pays once, so windows of cards are empty."""

BANKSIM = ColumnMapping(
    MappingProxyType(
        {
            "transaction_id": ROW,
            "event_time": "step",
            "card_id": "customer",
            "terminal_id": "merchant",
            "amount": "amount",
            "is_fraud": "fraud",
        }
    ),
    {"currency": "EUR"},
    said=_counted("step", "d", _SIMULATED_FROM_MS),
)
"""A step is a day: windows below one, the night and the order within a day tell nothing."""

TABFORMER = ColumnMapping(
    MappingProxyType(
        {
            "transaction_id": ROW,
            "event_time": "#time",
            "card_id": "#card",
            "terminal_id": "Merchant Name",
            "amount": "#amount",
            "type": "#type",
            "channel": "#channel",
            "mcc": "#mcc",
            "approved": "#approved",
            "is_fraud": "#fraud",
        }
    ),
    {"currency": "USD"},
    prepared=tabformer.prepared,
    needed=tabformer.NEEDED | {"MCC", "Errors?"},
)
"""Each merchant is a terminal; a card is one of a user's; times name no zone and are taken for UTC."""

IEEE_CIS_BEGINS_MS = 1_512_086_400_000
"""2017-12-01: the file has seconds since a day that its makers do not name."""

IEEE_CIS = ColumnMapping(
    MappingProxyType(
        {
            "transaction_id": "TransactionID",
            "event_time": "TransactionDT",
            "card_id": "card1",
            "terminal_id": "ProductCD",
            "amount": "TransactionAmt",
            "is_fraud": "isFraud",
        }
        | {f"attributes.{name.lower()}{i}": f"{name}{i}" for name, count in (("C", 14), ("D", 15), ("V", 339)) for i in range(1, count + 1)}
    ),
    {"currency": "USD"},
    said=_counted("TransactionDT", "s", IEEE_CIS_BEGINS_MS),
)
"""`card1` is a code that several cards share, a product stands where a terminal would: its own numbers tell more than our windows."""

KNOWN: Mapping[frozenset[str], ColumnMapping] = MappingProxyType(
    {
        frozenset({"TRANSACTION_ID"}): HANDBOOK,
        frozenset({"trans_num", "cc_num"}): SPARKOV,
        frozenset({"Time", "V1", "V28", "Amount"}): ULB,
        frozenset({"step", "nameOrig", "nameDest", "isFraud"}): PAYSIM,
        frozenset({"step", "customer", "merchant", "fraud"}): BANKSIM,
        tabformer.NEEDED: TABFORMER,
        tabformer.MADE: TABFORMER,
        frozenset({"TransactionID", "TransactionDT", "TransactionAmt", "card1"}): IEEE_CIS,
    }
)
"""By columns that no other file has."""


def column_mapping_of(given: Collection[str]) -> ColumnMapping:
    """The known layout of a file with these columns; ours where there is none, or where it has our ids."""
    found = (column_mapping for marks, column_mapping in KNOWN.items() if marks <= set(given) and "transaction_id" not in given)
    return next(found, OURS)


def read_mapping(path: FilePath) -> ColumnMapping:
    """A mapping in YAML.

    Raises:
        DataError: it cannot be used; where and why.
    """
    try:
        with path.open("rb") as opened:
            made = mapping_of(opened.read(MOST_MAPPING_BYTES + 1).decode())
    except (OSError, UnicodeDecodeError, MappingError) as error:
        told = str(error) if isinstance(error, MappingError) else f"It cannot be read: {error}."
        raise DataError(f"{path}: {told} docs/how-to/wire-formats.md shows a mapping.") from None
    columns = {name: ".".join(column.path) for name, column in made.columns.items()}
    return ColumnMapping(columns, tokens=made.tokens, said=made)
