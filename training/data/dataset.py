"""Files of past transactions → one DataFrame, whatever wrote them. What cannot be trained on stops here, in one line.

Formats: Parquet (`.parquet`), CSV (`.csv`), JSON Lines (`.jsonl`, `.ndjson`); with the columns of `transaction.v1`, with those of a layout
that is known (`training.data.column_mapping`), or through a mapping. What `read_transactions` returns:

    transaction_id                          str
    event_time                              int64, ms since epoch, UTC (read from integers, timestamps or ISO 8601 texts)
    card_id terminal_id currency            category of str (a card's text is held once, its code is at `.cat.codes`)
    type merchant_id mcc country channel    category of str, missing allowed; each of these only where the file has it
    billing_currency device_id ip           category of str, missing allowed; only where the file has it
    amount                                  float64, 0 … 10⁹, never NaN
    billing_amount latitude longitude       float64, NaN where missing; only where the file has it
    attributes.<name>                       float64, NaN where missing; JSON's object `attributes` is laid out like this
    approved                                boolean (nullable); only where the file has it
    sent_at                                 int64 ms, the true time where terminals' clocks are wrong; only where the file has it
    is_fraud fraud_scenario                 bool, int8; each only where the file has it (TX_FRAUD, TX_FRAUD_SCENARIO)
    labelled_at                             Int64 (nullable) ms; wherever is_fraud is; a fraud without one gets event_time + delay

Rows keep the order of the file. Row numbers in errors count from 1, a CSV's header not counted.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS, NOT_MILLISECONDS
from stream_app.messages.iso import CURRENCIES
from stream_app.messages.transaction import ATTRIBUTE, MAX_AMOUNT, Transaction
from training.data.files import FLAGS, FLOATS, OPTIONAL_TEXTS, REQUIRED, TIMES, columns_of

if TYPE_CHECKING:
    from pathlib import Path

MAX_ID_LENGTH = 64
NEEDED_TO_TRAIN = (*REQUIRED[:5], "is_fraud", "labelled_at")


def read_transactions(path: Path, *, label_delay_days: float = 7, mapping: Path | None = None) -> pd.DataFrame:
    """Read a file of transactions into the columns above.

    Args:
        path: the file; its suffix says the format.
        label_delay_days: when a fraud became known, where the file does not say: so many days after the payment.
        mapping: YAML, what its columns are; see `training.data.column_mapping`.

    Raises:
        DataError: one line with the file, the column (as the file calls it) and the row, and what to do.
    """
    table, column_mapping = columns_of(path, mapping)
    for name in REQUIRED:
        if name not in table.column_names:
            given = ", ".join(table.column_names) or "none that is known"
            raise DataError(
                f"{path}: column {column_mapping.theirs(name)!r} is missing (known ones there: {given}). Add it, or rename the one that holds it."
            )
    if not table.num_rows:
        raise DataError(f"{path} has no rows. Give a file with transactions; `fraudstream simulate` makes one.")
    columns: dict[str, Any] = {}
    for name in sorted(table.column_names, key=_place):
        column, table = table[name], table.drop_columns(name)  # so that of ten million rows nothing is held in both forms
        try:
            columns[name] = _converted(path, name, column)
        except DataError as error:
            raise DataError(str(error).replace(f"column {name!r}", f"column {column_mapping.theirs(name)!r}", 1)) from None
    if "is_fraud" in columns:
        columns["labelled_at"] = _labelled_at(path, columns, round(label_delay_days * DAY_MS))
    del column, table
    _give_back()
    return pd.DataFrame(columns, copy=False)


def check_for_training(frame: pd.DataFrame, source: str = "The training data") -> None:
    """Refuse what would train a wrong model silently.

    Raises:
        DataError: a column is missing, there are no frauds (or nothing else), rows are out of order, or a transaction stands twice.
    """
    for name in NEEDED_TO_TRAIN:
        if name not in frame.columns:
            raise DataError(f"{source}: column {name!r} is missing; training needs it. Join the labels to the transactions first.")
    frauds = int(frame["is_fraud"].sum())
    if frauds in {0, len(frame)}:
        what = "no frauds" if not frauds else "nothing but frauds"
        raise DataError(f"{source} has {what} in column 'is_fraud' ({len(frame)} rows); training needs both. Give a longer history.")
    times = frame["event_time"].to_numpy()
    back = np.flatnonzero(times[1:] < times[:-1])
    if len(back):
        row = int(back[0]) + 1
        back_by = f"row {row + 1} has event_time {times[row]}, row {row} before it {times[row - 1]}"
        raise DataError(f"{source} is not in order of time: {back_by}. Sort the file by event_time, ties by transaction_id.")
    _refuse_repeated(frame, source)


def _refuse_repeated(frame: pd.DataFrame, source: str) -> None:
    """A transaction's id is unique on its card: only where ids stand twice are cards looked at."""
    rows = np.flatnonzero(frame["transaction_id"].duplicated(keep=False).to_numpy())
    pairs = frame[["card_id", "transaction_id"]].iloc[rows]
    twice = pairs.duplicated().to_numpy()
    _give_back()
    if twice.any():
        again = int(twice.argmax())
        card, name = pairs.iloc[again]
        first = int(((pairs["card_id"] == card) & (pairs["transaction_id"] == name)).to_numpy().argmax())
        where = f"in rows {rows[first] + 1} and {rows[again] + 1}"
        raise DataError(f"{source} has transaction_id {name!r} twice on card {card!r}, {where}. Remove one of them.")


def _give_back() -> None:
    """Arrow keeps what it has freed: of ten million rows more than the rows themselves."""
    pa.default_memory_pool().release_unused()


def _place(name: str) -> tuple[int, str]:
    """Columns in order: the contract's, the producer's own by name, what is known of the fraud."""
    order = (*Transaction.__struct_fields__, "sent_at", ATTRIBUTE, "is_fraud", "fraud_scenario", "labelled_at")
    return order.index(ATTRIBUTE if name.startswith(ATTRIBUTE) else name), name


def _converted(path: Path, name: str, column: Any) -> Any:
    if name == "is_fraud":
        return _flags(path, name, column)
    if name == "fraud_scenario":
        return _numbers(path, name, column, allow_missing=False).astype(np.int8)
    if name in FLAGS:
        return pd.array(_checked_cast(path, name, column, pa.bool_()).to_pandas(), dtype="boolean")
    if name in TIMES:
        return _times(path, name, column)
    if name in FLOATS or name.startswith(ATTRIBUTE):
        values = _numbers(path, name, column, allow_missing=name != "amount")
        if name in {"amount", "billing_amount"}:
            remedy = "amounts are 0 to 10^9 in major units; a refund has type 'refund', not a minus"
            _refuse(path, name, (values < 0) | (values > MAX_AMOUNT), values, remedy)
        return values
    return _texts(path, name, column)


def _texts(path: Path, name: str, column: Any) -> Any:
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
        raise DataError(f"{path}: column {name!r} holds {column.type}, where text (or integers) must be. Write it as text.")
    if name == "transaction_id":
        return _transaction_ids(path, column)
    encoded = column.dictionary_encode().combine_chunks()
    distinct = encoded.dictionary.cast(pa.string())
    if name not in OPTIONAL_TEXTS:
        _refuse_missing(path, name, column)
        _refuse_lengths(path, name, column, pc.utf8_length(distinct).to_numpy()[encoded.indices.to_numpy()])
    if name in {"currency", "billing_currency"}:
        known = np.array([code in CURRENCIES for code in (*distinct.to_pylist(), "EUR")])  # the last one stands for missing codes
        _refuse(path, name, ~known[encoded.indices.fill_null(-1).to_numpy()], column, "it must be a code of ISO 4217, as EUR")
    return pd.Categorical(pa.DictionaryArray.from_arrays(encoded.indices, distinct).to_pandas())


def _transaction_ids(path: Path, column: Any) -> Any:
    """The same for texts that are all different: a dictionary of them would only be a copy more."""
    texts = column.cast(pa.large_string())
    _refuse_missing(path, "transaction_id", column)
    _refuse_lengths(path, "transaction_id", column, pc.utf8_length(texts).to_numpy())
    return pd.array(texts, dtype="str")


def _refuse_missing(path: Path, name: str, column: Any) -> None:
    _refuse(path, name, column.is_null().to_numpy(), None, "every transaction needs one: fill it in, or remove the row")


def _refuse_lengths(path: Path, name: str, column: Any, lengths: Any) -> None:
    _refuse(path, name, (lengths < 1) | (lengths > MAX_ID_LENGTH), column, f"it must have 1 to {MAX_ID_LENGTH} characters")


def _times(path: Path, name: str, column: Any) -> Any:
    missing = column.is_null().to_numpy()
    if name != "labelled_at":
        _refuse(path, name, missing, None, "every transaction needs its time: fill it in, or remove the row")
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed_times(path, name, column)
    values = _checked_cast(path, name, column, pa.int64()).fill_null(0).to_numpy()
    _refuse(path, name, ~missing & (values < EARLIEST_EVENT_TIME_MS), values, NOT_MILLISECONDS)
    return pd.arrays.IntegerArray(values, missing) if name == "labelled_at" else values


def _parsed_times(path: Path, name: str, column: Any) -> Any:
    """ISO 8601 → ms; one wrong text makes a whole column of a CSV text, so digits are milliseconds here too."""
    texts = column.to_pandas()
    digits = texts.str.fullmatch(r"[0-9]{1,15}").fillna(value=False).to_numpy(dtype=bool)
    parsed = pd.to_datetime(texts.mask(digits), utc=True, format="ISO8601", errors="coerce")
    values = parsed.dt.tz_convert(None).dt.as_unit("ms").to_numpy().astype(np.int64)
    values[digits] = texts[digits].astype(np.int64)
    remedy = "write ISO 8601, as 2018-04-01T00:00:31Z, or milliseconds since 1970"
    _refuse(path, name, (parsed.isna() & texts.notna()).to_numpy() & ~digits, texts, remedy)
    return pa.chunked_array([pa.array(values, mask=texts.isna().to_numpy())])


def _numbers(path: Path, name: str, column: Any, *, allow_missing: bool) -> Any:
    values = _checked_cast(path, name, column, pa.float64()).to_numpy()
    if not allow_missing:
        _refuse(path, name, np.isnan(values), None, "every transaction needs it: fill it in, or remove the row")
    _refuse(path, name, np.isinf(values), values, "it must be a finite number")
    return values


def _flags(path: Path, name: str, column: Any) -> Any:
    values = _numbers(path, name, column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column, allow_missing=False)
    _refuse(path, name, (values != 0) & (values != 1), values, "it must be true or false, or 1 or 0")
    return values == 1


def _labelled_at(path: Path, columns: dict[str, Any], delay_ms: int) -> Any:
    """The file's `labelled_at`; frauds without one get the time of the payment and the delay."""
    is_fraud, event_time = columns["is_fraud"], columns["event_time"]
    given = columns.get("labelled_at")
    missing = np.ones_like(is_fraud) if given is None else given.isna()
    values = np.zeros_like(event_time) if given is None else given.to_numpy(dtype=np.int64, na_value=0)
    remedy = "a label cannot be older than its transaction: correct it, or leave it empty"
    _refuse(path, "labelled_at", ~missing & (values < event_time), values, remedy)
    return pd.arrays.IntegerArray(np.where(missing, event_time + delay_ms, values), missing & ~is_fraud)


def _checked_cast(path: Path, name: str, column: Any, kind: Any) -> Any:
    """Cast, or name the first row that cannot be."""
    if _castable(column, kind):
        return column.cast(kind)
    row = bisect_left(range(len(column)), True, key=lambda last: not _castable(column[: last + 1], kind))
    wrong = f"{column[row].as_py()!r} is not {_KINDS[kind]}. Correct the value, or remove the row."
    raise DataError(f"{path}: column {name!r} is wrong in row {row + 1}: {wrong}")


def _castable(column: Any, kind: Any) -> bool:
    try:
        column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


_KINDS = {pa.float64(): "a number", pa.int64(): "an integer", pa.bool_(): "true or false"}


def _refuse(path: Path, name: str, wrong: Any, values: Any, remedy: str) -> None:
    """Stop at the first row of `wrong`; without `values`, what is wrong is that nothing is there."""
    if wrong.any():
        row = int(wrong.argmax())
        what = "is missing or empty" if values is None else f"is {values[row]!s}"
        raise DataError(f"{path}: column {name!r} {what} in row {row + 1} ({int(wrong.sum())} such rows); {remedy}.")
