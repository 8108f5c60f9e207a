"""Files that call things by other names: what each of their columns is to us.

Known by their columns: the Fraud Detection Handbook's transactions, Sparkov's CSV (`fraudTrain.csv`), ULB's `creditcard.csv`, PaySim's and
BankSim's CSV, TabFormer's and IEEE-CIS's `train_transaction.csv`. Any other is described by a mapping in YAML, the form that workers take for records: `stream_app.wire.mapping`. What it says of
files beyond that of records: a column that has the whole path as its name is meant before a nested one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stream_app.errors import DataError
from stream_app.wire.mapping import MOST_MAPPING_BYTES, MappedField, MappingError, SourceMapping, mapping_of, token_of
from training.data import tabformer
from training.data.mapped_columns import column_at, converted_column, into_major

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_BEYOND_MS = 2.0**60
"""What is larger is no time in any unit: it stays so large, and is refused."""
ROW = "#row"
"""In place of a column: the row's number, where a file has no ids."""
ULB_BEGINS_MS = 1_377_993_600_000
"""2013-09-01: ULB's file says "September 2013", and seconds since its first payment."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What a file's columns are.

    Attributes:
        columns: ours → theirs, or `ROW`.
        constants: ours → the same for every row, where the file has no column of ours by that name.
        tokens: ours, whose values are replaced by a hash.
        time_unit_ms: of times that are numbers.
        epoch_ms: what times that are numbers count from.
        said: what a mapping in YAML says, tables of values among it; None where nothing more is to be said.
        prepared: makes of a table what `columns` name, where that is no column by itself; it needs `needed` of theirs.
    """

    columns: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    tokens: Collection[str] = ()
    time_unit_ms: float = 1
    epoch_ms: int = 0
    said: SourceMapping | None = None
    prepared: Callable[[Any], Any] | None = None
    needed: Collection[str] = ()

    @property
    def sources(self) -> set[str]:
        """Theirs, that are read."""
        return set(self.columns.values()) - {ROW}

    def missing(self, names: Collection[str]) -> set[str]:
        """Theirs, that a file with these columns does not have."""
        nested = {ours: column.path[0] for ours, column in self.said.columns.items()} if self.said else {}
        return {source for ours, source in self.columns.items() if source not in {ROW, *names} and nested.get(ours) not in names}

    def reads(self, name: str) -> bool:
        """Whether a column of theirs is needed."""
        return (
            name in self.sources
            or name in self.needed
            or (self.said is not None and any(name == column.path[0] for column in self.said.columns.values()))
        )

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
            ours: rows if source == ROW else converted
            for ours, source in self.columns.items()
            if source == ROW or (converted := self._converted(table, ours, source)) is not None
        }
        taken = self.sources - set(self.columns)
        found |= {name: table[name] for name in table.column_names if name not in taken and name not in found}
        zeros = pa.array(np.zeros(table.num_rows, np.int8))
        for ours, value in self.constants.items():
            found.setdefault(ours, pa.DictionaryArray.from_arrays(zeros, [value]))
        for name in self.tokens:
            found[name] = _hashed(found[name])
        times = {name: self._milliseconds(found[name], self.unit_ms(name)) for name in ("event_time", "labelled_at") if name in found}
        return pa.table(self._into_major(found | times))

    def _converted(self, table: Any, ours: str, source: str) -> Any:
        """A column by what the mapping says of its values; None where there is none."""
        if self.said is None or ours not in self.said.columns:
            return table[source] if source in table.column_names else None
        said = self.said.columns[ours]
        column = column_at(table, source, said.path)
        return None if column is None else converted_column(column, ours, self.said)

    def unit_ms(self, name: str) -> float:
        """The unit of a column of times that are numbers."""
        said = self.said.columns.get(name) if self.said else None
        return UNITS_MS.get(said.unit, 1.0) if said and said.unit else self.time_unit_ms

    def values_of(self, name: str) -> Mapping[str, str]:
        """The table of values of a column of ours, theirs → ours; empty where there is none."""
        return self.said.columns[name].values if self.said is not None and name in self.said.columns else {}

    @property
    def zone(self) -> str:
        """Of times that name none; empty: it says none."""
        return self.said.zone if self.said else ""

    @property
    def decimal(self) -> str:
        """The decimal sign of numbers that are text."""
        return (self.said.decimal if self.said else "") or "."

    def _into_major(self, found: dict[str, Any]) -> dict[str, Any]:
        for name, currency in (("amount", "currency"), ("billing_amount", "billing_currency")):
            said = self.said.columns.get(name) if self.said else None
            if said is not None and said.unit == "minor" and name in found:
                found[name] = into_major(found[name], found.get(currency), said.path)
        return found

    def _milliseconds(self, column: Any, unit_ms: float) -> Any:
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            return column
        if (unit_ms, self.epoch_ms) == (1, 0):
            return column
        if unit_ms < 1 and pa.types.is_integer(column.type):  # a double does not hold them to the millisecond
            scaled = pc.divide(column.cast(pa.int64()), round(1 / unit_ms))
        else:
            exact = pc.round(pc.multiply(column.cast(pa.float64(), safe=False), unit_ms))
            within = pc.min_element_wise(pc.max_element_wise(exact, -_BEYOND_MS, skip_nulls=False), _BEYOND_MS, skip_nulls=False)
            scaled = pc.if_else(pc.is_nan(within), None, within).cast(pa.int64())
        return pc.add(scaled, self.epoch_ms)


def _hashed(column: Any) -> Any:
    """The same values as tokens; distinct ones stay distinct. It keeps card numbers out of models, not from who can try all of them."""
    encoded = column.dictionary_encode().combine_chunks()
    tokens = [None if text is None else token_of(text) for text in encoded.dictionary.cast(pa.string()).to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(tokens, pa.string()))


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
    time_unit_ms=1000,
    epoch_ms=ULB_BEGINS_MS,
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
    time_unit_ms=3_600_000,
    epoch_ms=_SIMULATED_FROM_MS,
    said=SourceMapping(
        {
            "type": MappedField(
                ("type",),
                values={"PAYMENT": "purchase", "DEBIT": "purchase", "TRANSFER": "purchase", "CASH_OUT": "withdrawal", "CASH_IN": "refund"},
            )
        }
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
    time_unit_ms=86_400_000,
    epoch_ms=_SIMULATED_FROM_MS,
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
    time_unit_ms=1000,
    epoch_ms=IEEE_CIS_BEGINS_MS,
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


def read_mapping(path: Path) -> ColumnMapping:
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
    return ColumnMapping(columns, made.constants, made.tokens, UNITS_MS.get(made.time_unit, 1.0), said=made)
