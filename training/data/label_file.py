"""Chargebacks, scheme reports and verdicts in a file of their own → labels, as they are joined to payments (`training.data.label_join`).

Read as files of payments are: any format, any names by a mapping. Its columns, under our names:

    transaction_id     the payment; or, where a row has none:
    card_id, amount, event_time   its card, its amount, its day (a date is enough)
    currency           of the amount, where the file has it
    labelled_at        when it became known; a date is taken for its end; without it, the payment's time and the delay
    is_fraud           whether it was fraud; without the column, each row says that it was
    fraud_type         our word, or the code of TC40 or SAFE: see `stream_app.messages.fraud_types`
    source             who says so; without it, `chargeback`
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.fraud_types import FRAUD_TYPE
from stream_app.messages.label_reports import BY_PAYMENT, source_of
from training.data.columns import Column
from training.data.files import LABEL_TEXTS, columns_of, field_of
from training.data.sources import shown as shown_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MOST_LABELS = 5_000_000
"""Some hundred bytes of memory each."""
_READ = ("transaction_id", *BY_PAYMENT, "currency", "labelled_at", "is_fraud", *sorted(LABEL_TEXTS))


@dataclass(frozen=True, slots=True, eq=False)
class LabelTable:
    """Labels in order of the file; a text that is missing is None.

    Attributes:
        path: of the file.
        transaction_id, card_id, currency: object [labels].
        amount: float64 [labels], NaN where missing.
        event_ms: int64 [labels], of the payment, or the begin of its day; 0 where missing.
        labelled_ms: int64 [labels]; 0 where missing.
        is_fraud: bool [labels].
        source: object [labels], who says so, and `:` with the type of fraud.
        zone: whose days are meant.
    """

    path: Path
    transaction_id: NDArray[Any]
    card_id: NDArray[Any]
    currency: NDArray[Any]
    amount: NDArray[np.float64]
    event_ms: NDArray[np.int64]
    labelled_ms: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    source: NDArray[Any]
    zone: str

    def __len__(self) -> int:
        """How many labels."""
        return len(self.amount)


def read_labels(path: Path, *, mapping: Path | None = None, refuse_card_numbers: bool = True) -> LabelTable:
    """The labels of a file.

    Args:
        path: as of `read_transactions`.
        mapping: YAML, what its columns are.
        refuse_card_numbers: as the setting of the worker.

    Raises:
        DataError: one line with the file, the column and the row, and what to do.
    """
    table, column_mapping = columns_of(path, mapping, LABEL_TEXTS)
    names = [name for name in _READ if name in table.column_names]
    if "transaction_id" not in names and not {*BY_PAYMENT} <= {*names}:
        lacking = next(name for name in BY_PAYMENT if name not in names)
        raise DataError(
            f"{shown_path(path)} does not say which payments it means: it has neither column {column_mapping.theirs('transaction_id')!r} nor all of "
            f"{', '.join(BY_PAYMENT)} (no {column_mapping.theirs(lacking)!r}). Add one, or say in a mapping which column it is."
        )
    if table.num_rows > MOST_LABELS:
        raise DataError(
            f"{shown_path(path)} has {table.num_rows:,} rows; {MOST_LABELS:,} labels are read at the most. Give it in parts, by time."
        )
    columns = {
        name: Column(path, column_mapping.called(name), _optional(name), table[name]).values(refuse_card_numbers=refuse_card_numbers)
        for name in names
    }
    count = table.num_rows
    is_fraud = np.asarray(columns["is_fraud"].to_numpy(dtype=bool, na_value=False)) if "is_fraud" in columns else np.ones(count, bool)
    labelled = _times(columns.get("labelled_at"), count)
    return LabelTable(
        path=path,
        transaction_id=_texts(columns.get("transaction_id"), count),
        card_id=_texts(columns.get("card_id"), count),
        currency=_texts(columns.get("currency"), count),
        amount=np.asarray(columns.get("amount", np.full(count, np.nan)), np.float64),
        event_ms=_times(columns.get("event_time"), count),
        labelled_ms=_ended(labelled, column_mapping.zone or "UTC"),
        is_fraud=is_fraud,
        source=_sources(_texts(columns.get("source"), count), _texts(columns.get("fraud_type"), count)),
        zone=column_mapping.zone or "UTC",
    )


def _optional(name: str) -> Any:
    """The field of a column: any row may lack any."""
    return FRAUD_TYPE if name == FRAUD_TYPE.name else replace(field_of(name), required=False, default=None)


def _texts(values: Any, count: int) -> NDArray[Any]:
    if values is None:
        return np.full(count, None, object)
    texts = pd.Series(values).astype(object)
    return np.asarray(texts.where(texts.notna() & (texts != ""), None).to_numpy(), object)


def _times(values: Any, count: int) -> NDArray[np.int64]:
    return np.zeros(count, np.int64) if values is None else np.asarray(pd.array(values, dtype="Int64").to_numpy(np.int64, na_value=0))


def _ended(labelled: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """Dates, which are the begins of days, of UTC or of the mapping's zone, as their ends."""
    at = pd.DatetimeIndex(pd.to_datetime(labelled, unit="ms", utc=True)).tz_convert(zone)
    is_date = (labelled % DAY_MS == 0) | np.asarray(at == at.normalize())
    return np.where((labelled > 0) & is_date, labelled + DAY_MS - 1, labelled)


def _sources(sources: NDArray[Any], types: NDArray[Any]) -> NDArray[Any]:
    return np.asarray([source_of(source, kind) for source, kind in zip(sources, types, strict=True)], object)
