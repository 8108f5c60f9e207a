"""Files that call things by other names: what each of their columns is to us.

Known by their columns: the Fraud Detection Handbook's transactions, Sparkov's CSV (`fraudTrain.csv`), ULB's `creditcard.csv`. Any other is
described by a mapping in YAML:

    columns:                 # ours: theirs
      transaction_id: id
      event_time: paid_at
      card_id: pan
      terminal_id: shop
      amount: value
      is_fraud: chargeback
      attributes.v1: score_of_the_gateway
    constants:               # ours: the same for every row, as written: NO is Norway
      currency: USD
    tokens: [card_id]        # replaced by a hash: the file holds card numbers
    time_unit: s             # of times that are numbers: s, ms (the default), us or ns
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from stream_app.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

UNITS_MS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
_BEYOND_MS = 2.0**60
"""What is larger is no time in any unit: it stays so large, and is refused."""
_MOST_MAPPING_BYTES = 65_536
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
    """

    columns: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    tokens: Collection[str] = ()
    time_unit_ms: float = 1
    epoch_ms: int = 0

    @property
    def sources(self) -> set[str]:
        """Theirs, that are read."""
        return set(self.columns.values()) - {ROW}

    def theirs(self, name: str) -> str:
        """What the file calls a column of ours."""
        return self.columns.get(name, name)

    def called(self, name: str) -> str:
        """The same in an error."""
        is_constant = name in self.constants and name not in self.columns
        return f"constant {name!r} of the mapping" if is_constant else f"column {self.theirs(name)!r}"

    def applied(self, table: Any) -> Any:
        """The table under our names: columns of the layout, and others that already have them."""
        rows = pa.array(np.arange(table.num_rows).astype(str)) if ROW in self.columns.values() else None
        found = {
            ours: rows if source == ROW else table[source] for ours, source in self.columns.items() if source in {ROW, *table.column_names}
        }
        taken = self.sources - set(self.columns)
        found |= {name: table[name] for name in table.column_names if name not in taken and name not in found}
        zeros = pa.array(np.zeros(table.num_rows, np.int8))
        for ours, value in self.constants.items():
            found.setdefault(ours, pa.DictionaryArray.from_arrays(zeros, [value]))
        for name in self.tokens:
            found[name] = _hashed(found[name])
        if (self.time_unit_ms, self.epoch_ms) != (1, 0):
            found |= {name: self._milliseconds(found[name]) for name in ("event_time", "labelled_at") if name in found}
        return pa.table(found)

    def _milliseconds(self, column: Any) -> Any:
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            return column
        if self.time_unit_ms < 1 and pa.types.is_integer(column.type):  # a double does not hold them to the millisecond
            scaled = pc.divide(column.cast(pa.int64()), round(1 / self.time_unit_ms))
        else:
            exact = pc.round(pc.multiply(column.cast(pa.float64(), safe=False), self.time_unit_ms))
            within = pc.min_element_wise(pc.max_element_wise(exact, -_BEYOND_MS, skip_nulls=False), _BEYOND_MS, skip_nulls=False)
            scaled = pc.if_else(pc.is_nan(within), None, within).cast(pa.int64())
        return pc.add(scaled, self.epoch_ms)


def _hashed(column: Any) -> Any:
    """The same values as tokens; distinct ones stay distinct. It keeps card numbers out of models, not from who can try all of them."""
    encoded = column.dictionary_encode().combine_chunks()
    tokens = [
        None if text is None else hashlib.sha256(text.encode()).hexdigest()[:16]
        for text in encoded.dictionary.cast(pa.string()).to_pylist()
    ]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(tokens, pa.string()))


class _TextsOnly(yaml.BaseLoader):
    """Every scalar is the text that was written: `NO` is Norway and `0742` a code. A name that stands twice is refused."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as yaml calls it
        """A map of texts."""
        names = [self.construct_object(key) for key, _ in node.value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.YAMLError(f"{twice!r} stands twice")
        return super().construct_mapping(node, deep=deep)


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

KNOWN: Mapping[frozenset[str], ColumnMapping] = MappingProxyType(
    {
        frozenset({"TRANSACTION_ID"}): HANDBOOK,
        frozenset({"trans_num", "cc_num"}): SPARKOV,
        frozenset({"Time", "V1", "V28", "Amount"}): ULB,
    }
)
"""By columns that no other file has."""


def column_mapping_of(names: Collection[str]) -> ColumnMapping:
    """The known layout of a file with these columns; ours where there is none, or where it has our ids."""
    found = (column_mapping for marks, column_mapping in KNOWN.items() if marks <= set(names) and "transaction_id" not in names)
    return next(found, OURS)


def read_mapping(path: Path, known: Callable[[str], bool]) -> ColumnMapping:
    """A mapping in YAML.

    Args:
        path: the file.
        known: whether a name is one of our columns.

    Raises:
        DataError: it cannot be read, or says what is not known, with what is.
    """
    told: Any
    try:
        if path.stat().st_size > _MOST_MAPPING_BYTES:
            raise DataError(f"{path}: a mapping has at most {_MOST_MAPPING_BYTES} bytes. Is this the data?")
        told = yaml.load(path.read_text(encoding="utf-8"), Loader=_TextsOnly)  # noqa: S506 - it makes texts, lists and maps alone
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: the mapping cannot be read: {why}. Mend it; docs/how-to/own-data.md shows one.") from None
    parts: dict[str, type] = {"columns": dict, "constants": dict, "tokens": list, "time_unit": str}
    if not isinstance(told, dict) or not isinstance(told.get("columns"), dict):
        raise DataError(f"{path}: the mapping has no `columns`. Write them as `ours: theirs`, one a line.")
    for part, given in told.items():
        values = given.values() if isinstance(given, dict) else given if isinstance(given, list) else ()
        if part not in parts or not isinstance(given, parts[part]) or not all(isinstance(value, str) for value in values):
            raise DataError(f"{path}: {part!r} is no part of a mapping, or of another kind. It has {', '.join(parts)}.")
    columns, constants = told["columns"], told.get("constants", {})
    for name in (*columns, *constants):
        if not known(name):
            raise DataError(
                f"{path}: {name!r} is none of our columns. Take one of transaction.v1, is_fraud, labelled_at, or attributes.NAME."
            )
    tokens, unit = told.get("tokens", ()), told.get("time_unit", "ms")
    if unit not in UNITS_MS or not set(tokens) <= set(columns):
        units = ", ".join(UNITS_MS)
        raise DataError(
            f"{path}: `time_unit` is one of {units}, and `tokens` are among the columns; there stand {unit!r} and {list(tokens)}."
        )
    return ColumnMapping(columns, constants, tokens, UNITS_MS[unit])
