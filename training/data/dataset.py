"""Files of past transactions → one DataFrame, whatever wrote them. What cannot be trained on stops here, in one line.

Formats: Parquet (`.parquet`), CSV (`.csv`), JSON Lines (`.jsonl`, `.ndjson`); with the columns of `transaction.v1`, with those of a layout
that is known (`training.data.column_mapping`), or through a mapping. What `read_transactions` returns:

    transaction_id                          str
    event_time                              int64, ms since epoch, UTC (read from integers, timestamps or ISO 8601 texts)
    card_id terminal_id currency            category of str (a card's text is held once, its code is at `.cat.codes`)
    type merchant_id mcc country channel    category of str, missing allowed (so is an empty text); only where the file has it
    billing_currency device_id ip           category of str, missing allowed; only where the file has it
    amount                                  float64, 0 … 10⁹, never NaN
    billing_amount latitude longitude       float64, NaN where missing; only where the file has it
    attributes.<name>                       float64, NaN where missing; or category of str, missing allowed, where the file has texts there;
                                            JSON's object `attributes` is laid out like this
    approved                                boolean (nullable); only where the file has it
    sent_at                                 int64 ms, the true time where terminals' clocks are wrong; only where the file has it
    is_fraud fraud_scenario                 bool, int8; each only where the file has it (TX_FRAUD, TX_FRAUD_SCENARIO)
    labelled_at                             Int64 (nullable) ms; wherever is_fraud is; a fraud without one gets event_time + delay

Rows keep the order of the file. Row numbers in errors count from 1, a CSV's header not counted.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from stream_app.errors import DataError, RecordError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.refusals import LABEL_BEFORE_EVENT_TOLD, DeadLetterCode
from stream_app.messages.transaction import ATTRIBUTE, IntakeRules, Transaction
from training.data.columns import Column
from training.data.files import REQUIRED, columns_of, field_of
from training.data.label_file import read_labels
from training.data.label_join import LabelJoin, join_labels
from training.data.record_size import refuse_too_large
from training.data.sources import parts_of
from training.data.sources import shown as shown_path

if TYPE_CHECKING:
    from pathlib import Path

NEEDED_TO_TRAIN = (*REQUIRED[:5], "is_fraud", "labelled_at")


def read_transactions(
    path: Path, *, label_delay_days: float = 7, mapping: Path | None = None, refuse_card_numbers: bool = True
) -> pd.DataFrame:
    """Read a file of transactions into the columns above.

    Args:
        path: the file; its suffix says the format.
        label_delay_days: when a fraud became known, where the file does not say: so many days after the payment.
        mapping: YAML, what its columns are; see `training.data.column_mapping`.
        refuse_card_numbers: as the setting of the worker.

    Raises:
        DataError: one line with the file, the column (as the file calls it) and the row, and what to do.
    """
    table, column_mapping = columns_of(path, mapping)
    for name in REQUIRED:
        if name not in table.column_names:
            given = ", ".join(table.column_names) or "none that is known"
            raise DataError(
                f"{shown_path(path)}: column {column_mapping.theirs(name)!r} is missing (known ones there: {given}). Add it, or rename the one that holds it."
            )
    if not table.num_rows:
        raise DataError(f"{shown_path(path)} has no rows. Give a file with transactions; `fraudstream simulate` makes one.")
    columns: dict[str, Any] = {}
    checked = partial(_checked, path, of_text_file=parts_of(path)[0].kind == ".csv", refuse_card_numbers=refuse_card_numbers)
    for name in sorted(table.column_names, key=_place):
        column, table = table[name], table.drop_columns(name)  # so that of ten million rows nothing is held in both forms
        columns[name] = checked(column_mapping.called(name), name, column)
    if "is_fraud" in columns:
        of = Column(path, column_mapping.called("labelled_at"), field_of("labelled_at"), None)
        columns["labelled_at"] = _labelled_at(of, columns, round(label_delay_days * DAY_MS))
    refuse_too_large(path, columns)
    del column, table
    _give_back()
    return pd.DataFrame(columns, copy=False)


def with_labels(
    frame: pd.DataFrame, labels: Path, *, mapping: Path | None, label_delay_days: float, refuse_card_numbers: bool = True
) -> tuple[pd.DataFrame, LabelJoin]:
    """Transactions with the labels of a file of their own, see `training.data.label_join`.

    Raises:
        DataError: it cannot be read, or not one of its labels has its payment.
    """
    table = read_labels(labels, mapping=mapping, refuse_card_numbers=refuse_card_numbers)
    return join_labels(frame, table, round(label_delay_days * DAY_MS))


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
    ahead_ms = int(times[-1]) - int(time.time() * 1000) - IntakeRules().max_ahead_of_clock_s * 1000
    if ahead_ms > 0:
        raise DataError(
            f"{source} has payments of the future: row {len(times)} has event_time {times[-1]}, and a worker refuses what is so far ahead of its "
            "clock. Look at the column's unit, at day and month, or leave those rows out."
        )
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


def _checked(path: Path, called: str, name: str, column: Any, *, of_text_file: bool, refuse_card_numbers: bool) -> Any:
    values = Column(path, called, field_of(name), column, of_text_file).values(refuse_card_numbers=refuse_card_numbers)
    return values.astype(np.int8) if name == "fraud_scenario" else values


def _labelled_at(of: Column, columns: dict[str, Any], delay_ms: int) -> Any:
    """The file's `labelled_at`; frauds without one get the time of the payment and the delay."""
    is_fraud, event_time = columns["is_fraud"], columns["event_time"]
    given = columns.get("labelled_at")
    missing = np.ones_like(is_fraud) if given is None else given.isna()
    values = np.zeros_like(event_time) if given is None else given.to_numpy(dtype=np.int64, na_value=0)
    of.refuse(~missing & (values < event_time), lambda _row: RecordError(DeadLetterCode.LABEL_BEFORE_EVENT, LABEL_BEFORE_EVENT_TOLD))
    return pd.arrays.IntegerArray(np.where(missing, event_time + delay_ms, values), missing & ~is_fraud)
