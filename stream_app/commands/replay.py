"""A replay: what of a file of past payments is published, in which order, when each is due, and in which bytes. No I/O, no clock.

1. `replay_of` chooses from a frame; `Replay.order` merges transactions and labels by time: a label is due when the replayed time reaches
   its `labelled_at`, before the transactions of that millisecond.
2. `Pace` gives each event the second at which it is due. The schedule is open-loop: it never waits for Kafka, so a slow broker shows as
   lateness (`Tally.late_s`) and is not hidden in a lower rate.
3. `transaction_records` and `label_records` encode a run of them; `Tally` says what became of all.

Who publishes them is `produce`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stream_app.errors import DataError
from stream_app.messages.fields import Field, fields_of
from stream_app.messages.transaction import ATTRIBUTE, Label, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    type Columns = Mapping[str, Sequence[Any] | NDArray[Any]]
    type KeyValue = tuple[bytes, bytes]  # key, value


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What is to be published. Columns carry contract names and stand in order of their times; a missing value is None or NaN."""

    transactions: Columns
    transaction_times_ms: NDArray[np.int64]
    labels: Columns
    label_times_ms: NDArray[np.int64]

    def __len__(self) -> int:
        """Transactions and labels together."""
        return len(self.transaction_times_ms) + len(self.label_times_ms)

    def order(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which events, in order of time, are transactions; and their times, ms."""
        times = np.concatenate([self.label_times_ms, self.transaction_times_ms])
        merged = np.argsort(times, kind="stable")  # labels stand first: they win ties
        return merged >= len(self.label_times_ms), times[merged]


def replay_of(
    frame: pd.DataFrame, *, labels: bool = True, window: tuple[int | None, int | None] = (None, None), limit: int | None = None
) -> Replay:
    """What of the frame (`training.data.dataset`'s columns) is to be published.

    Args:
        frame: transactions in any order; where it has `sent_at`, that is the order of publishing.
        labels: also the labels due in the window, those of earlier transactions among them: adjoining windows replay the whole.
        window: ms, [from, to).
        limit: at most so many transactions; labels due after the last of them are left out.
    """
    times = frame["sent_at" if "sent_at" in frame.columns else "event_time"].to_numpy()
    first, end = (bound if bound is not None else default for bound, default in zip(window, (0, np.iinfo(np.int64).max), strict=True))
    chosen = np.flatnonzero((times >= first) & (times < end))
    chosen = chosen[np.argsort(times[chosen], kind="stable")][:limit]
    if limit is not None and len(chosen) == limit:
        end = min(end, int(times[chosen[-1]]) + 1)
    names = [name for name in frame.columns if name in Transaction.__struct_fields__ or name.startswith(ATTRIBUTE)]
    label_times, due = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if labels and "labelled_at" in frame.columns:
        label_times = frame["labelled_at"].to_numpy(dtype=np.int64, na_value=-1)
        due = np.flatnonzero((label_times >= first) & (label_times < end))
        due = due[np.argsort(label_times[due], kind="stable")]
    return Replay(
        transactions=_columns(frame[names].iloc[chosen]),
        transaction_times_ms=times[chosen],
        labels=_columns(frame[[name for name in Label.__struct_fields__ if name in frame.columns]].iloc[due]),
        label_times_ms=label_times[due],
    )


@dataclass(frozen=True, slots=True)
class Pace:
    """`rate`: transactions a second. `speed`: seconds of event time in one second. Neither: as fast as possible."""

    rate: float | None = None
    speed: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is a schedule to be late for."""
        return self.rate is not None or self.speed is not None

    def due_s(self, is_transaction: NDArray[np.bool_], times_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds after the start at which each event is due; never falling. With a rate, labels go along with the next transaction."""
        if self.rate is not None:
            before = np.cumsum(is_transaction, dtype=np.float64) - is_transaction
        elif self.speed is not None:
            before = (times_ms - times_ms[:1]).astype(np.float64)
        else:
            return np.zeros(len(times_ms))
        return np.asarray(before / (self.rate or 1000.0 * (self.speed or 1)), np.float64)


@dataclass(slots=True)
class Tally:
    """What has happened so far; shared with whoever shows it.

    Attributes:
        late_s: how late the newest run left.
        error: why the first record failed.
        refused: whether trying again would change nothing about it.
    """

    transactions: int = 0
    labels: int = 0
    acknowledged: int = 0
    failed: int = 0
    seconds: float = 0.0
    late_s: float = 0.0
    error: str = ""
    refused: bool = False

    @property
    def rate(self) -> float:
        """Transactions a second."""
        return self.transactions / self.seconds if self.seconds else 0.0


def transaction_records(columns: Columns, from_: int, to: int) -> list[KeyValue]:
    """Rows [from, to) as `transaction.v1`; optional fields without a value, and columns that are no field of it, are left out."""
    values = {name: _values(column, from_, to) for name, column in columns.items()}
    own = {name.removeprefix(ATTRIBUTE): column for name, column in values.items() if name.startswith(ATTRIBUTE)}
    if own:
        rows = zip(*own.values(), strict=True)
        values["attributes"] = [{name: value for name, value in zip(own, row, strict=True) if value is not None} or None for row in rows]
    return _encoded(map(Transaction, *(_of_field(field, values.get(field.name)) for field in _FIELDS)))


def label_records(columns: Columns, from_: int, to: int) -> list[KeyValue]:
    """The same for `label.v1`."""
    values = {name: _values(column, from_, to) for name, column in columns.items()}
    return _encoded(map(Label, *(_of_field(field, values.get(field.name)) for field in _LABEL_FIELDS)))


def _of_field(field: Field, values: list[Any] | None) -> Iterable[Any]:
    """A field's values; where there is none, or only an empty text, the default that the field has.

    Raises:
        DataError: if a message must have the field, and no row does.
    """
    if values is None and field.required:
        raise DataError(
            f"Column {field.name!r} is missing: a message without it is refused. Add it, or say in a mapping which column it is."
        )
    if values is None:
        return repeat(field.default)
    return values if field.default is None else [field.default if value is None or value == "" else value for value in values]


_FIELDS, _LABEL_FIELDS = fields_of(Transaction), fields_of(Label)
_ENCODER = msgspec.json.Encoder()


def _encoded(messages: Iterable[Transaction | Label]) -> list[KeyValue]:
    encode = _ENCODER.encode
    return [(message.card_id.encode(), encode(message)) for message in messages]


def _values(column: Sequence[Any] | NDArray[Any], from_: int, to: int) -> list[Any]:
    """Python values of a slice; NaN becomes None (only NaN differs from itself)."""
    part = column[from_:to]
    values = part.tolist() if isinstance(part, np.ndarray) else part
    return [value if value == value else None for value in values]  # noqa: PLR0124


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Numbers as they are; the rest as Python objects, None or NaN where missing."""
    columns: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        kind = getattr(column.dtype, "kind", "O")
        plain = isinstance(column.dtype, np.dtype) and kind in "iufb"
        columns[str(name)] = column.to_numpy() if plain else column.astype(object).where(column.notna(), None).to_numpy()
    return columns
