"""A history as the stream that it was: payments and labels merged by time, a run of them at a time.

Each of ten million events as arrays would take 120 bytes; in runs, only the order is held, and what the frame does not have: about 30.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stream_app.features import kernel
from stream_app.features.compute import Events
from stream_app.features.entities import ENTITIES, KINDS
from stream_app.features.facts import CHANNELS, ONLINE, TYPES, country_numbers, facts_of, hashes, mcc_numbers, numbers_of
from stream_app.features.own_values import OwnColumn
from stream_app.messages.transaction import ATTRIBUTE, CREDITS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from stream_app.features.compute import Bytes, Floats
    from stream_app.features.entities import Entity, EntityKind
    from stream_app.features.plan import Ints


@dataclass(frozen=True, slots=True)
class Numbered:
    """Ids as numbers.

    Attributes:
        codes: of each row, the place of its id among the distinct ones; -1 where it has none.
        distinct: these.
    """

    codes: NDArray[np.integer[Any]]
    distinct: pd.Index[str]

    @staticmethod
    def of(ids: pd.Series[Any] | None, count: int) -> Numbered:
        """Of a column, or of one that is not there: then none of the `count` rows has an id. A category's codes are not copied."""
        if ids is None:
            return Numbered(np.full(count, -1, dtype=np.int8), pd.Index([], dtype="str"))
        codes, found = (ids.cat.codes.to_numpy(), ids.cat.categories) if isinstance(ids.dtype, pd.CategoricalDtype) else pd.factorize(ids)
        distinct: pd.Index[str] = pd.Index(found)
        if "" in distinct:  # the decoder takes an empty text for none
            codes = np.where(codes == distinct.get_loc(""), -1, codes).astype(codes.dtype)
        return Numbered(codes, distinct)

    def known_as(self, kind: EntityKind) -> Numbered:
        """The ids that these texts stand for, where they are no ids themselves."""
        if kind.named is None:
            return self
        codes, found = pd.factorize(np.array([*map(kind.named, self.distinct), None], dtype=object))  # the last is of those that have none
        return Numbered(codes[self.codes], pd.Index(found, dtype="str"))

    def each(self, values: Ints, rows: Ints) -> Ints:
        """Of some rows, what stands for their ids: one of `values`, int64 [distinct], 0 where a row has none."""
        found: Ints = np.append(values, 0)[self.codes[rows]]
        return found


@dataclass(frozen=True, slots=True)
class ReplayedHistory:
    """Payments and labels of a history, in processing order.

    Attributes:
        rows: of each event, the row of the frame that it is of.
        is_label: bool, of each event.
        minor: int64, money of each row of the frame in minor units, -1 where there is no rate.
        numbered: ids of the frame, of each entity.
    """

    rows: Ints
    is_label: NDArray[np.bool_]
    minor: Ints
    numbered: dict[Entity, Numbered]
    _frame: pd.DataFrame
    _kinds: Bytes
    _facts: _Facts

    @staticmethod
    def of(frame: pd.DataFrame, minor: Ints, wanted: Collection[Entity] = ENTITIES) -> ReplayedHistory:
        """Merge a history's payments and labels by time; at one time labels act first, then payments by transaction and card.

        Args:
            frame: as `training.data.dataset.read_transactions` gives it, with labels or without.
            minor: money of each of its rows.
            wanted: of others than these, and than those that facts name, no event names one.
        """
        times = frame["event_time"].to_numpy()
        numbered = {entity: _numbered(frame, entity, {*wanted, *_OF_FACTS}) for entity in ENTITIES}
        payments, (labels, labelled_at) = _payment_order(frame, times), _labels(frame)
        at = np.searchsorted(times[payments], labelled_at, side="left")
        is_label = np.insert(np.zeros(len(payments), dtype=np.bool_), at, True)
        return ReplayedHistory(np.insert(payments, at, labels), is_label, minor, numbered, frame, _kinds(frame), _Facts.of(frame, numbered))

    def events(self, run: slice) -> Events:
        """Some of the events; a transaction's id is its row + 1, no hash."""
        rows, is_label = self.rows[run], self.is_label[run]
        labelled_at = np.zeros(len(rows), dtype=np.int64)
        if is_label.any():
            labelled_at[is_label] = self._frame["labelled_at"].iloc[rows[is_label]].to_numpy(dtype=np.int64)
        return Events(
            kinds=np.where(is_label, kernel.LABEL_FRAUD, self._kinds[rows]).astype(np.int8),
            times_ms=self._frame["event_time"].to_numpy()[rows],
            labelled_ms=labelled_at,
            ids=rows + 1,
            minor=self.minor[rows],
            entities=tuple(_of_events(entity, ids.codes[rows].astype(np.int64), is_label) for entity, ids in self.numbered.items()),
            facts=self._facts.each(rows),
            own=lambda name, within: _own(self._frame, name, rows[within]),
        )


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the facts of a row are made of; see `stream_app.features.facts.facts_of`. A pair: ids, and the number of each distinct one."""

    ids: dict[str, tuple[Numbered, Ints]]
    online: NDArray[np.bool_] | None
    place: tuple[Floats, Floats] | None

    @staticmethod
    def of(frame: pd.DataFrame, numbered: dict[Entity, Numbered]) -> _Facts:
        placed = {"latitude", "longitude"} <= set(frame.columns)
        ids = {name: (numbered[entity], hashes(numbered[entity].distinct.tolist())) for entity, name in _OF_FACTS.items()}
        for name, numbers in _NUMBERS.items():
            codes = Numbered.of(frame.get(_COLUMNS[name]), len(frame))
            ids[name] = codes, numbers(codes.distinct.tolist())
        return _Facts(
            ids=ids,
            online=(frame["channel"] == ONLINE).to_numpy() if "channel" in frame.columns else None,
            place=(frame["latitude"].to_numpy(), frame["longitude"].to_numpy()) if placed else None,
        )

    def each(self, rows: Ints) -> Ints:
        """Of some rows, as the worker makes them of a message."""
        return facts_of(
            **{name: ids.each(values, rows) for name, (ids, values) in self.ids.items()},
            online=None if self.online is None else self.online[rows],
            place=None if self.place is None else (self.place[0][rows], self.place[1][rows]),
        )


_NUMBERS: Mapping[str, Callable[[list[str]], Ints]] = MappingProxyType(
    {
        "countries": country_numbers,
        "mccs": mcc_numbers,
        "channels": partial(numbers_of, CHANNELS),
        "types": partial(numbers_of, TYPES),
    }
)
_COLUMNS = MappingProxyType({"countries": "country", "mccs": "mcc", "channels": "channel", "types": "type"})


_OF_FACTS: Mapping[Entity, str] = MappingProxyType({"card": "cards", "terminal": "terminals", "device": "devices"})
"""What facts name, and what `facts_of` calls it."""


def _numbered(frame: pd.DataFrame, entity: Entity, wanted: Collection[Entity]) -> Numbered:
    kind = KINDS[entity]
    return Numbered.of(frame.get(kind.field) if entity in wanted else None, len(frame)).known_as(kind)


def _of_events(entity: Entity, codes: Ints, is_label: NDArray[np.bool_]) -> Ints:
    """What a label does not name the stream would not know."""
    return codes if KINDS[entity].labelled else np.where(is_label, -1, codes)


def _own(frame: pd.DataFrame, name: str, rows: Ints) -> OwnColumn:
    """The producer's own column of a name, of these rows."""
    column = frame.get(ATTRIBUTE + name)
    if column is None:
        return OwnColumn.of_none(len(rows))
    if isinstance(column.dtype, pd.CategoricalDtype):
        return OwnColumn(column.cat.codes.to_numpy()[rows].astype(np.int64), column.cat.categories.tolist())
    return OwnColumn(np.arange(len(rows)), column.to_numpy(dtype=np.float64)[rows])


def _payment_order(frame: pd.DataFrame, times: Ints) -> Ints:
    """Rows by time, then by transaction id, then by card; only where times are equal are ids looked at."""
    order = np.argsort(times, kind="stable")
    in_order = times[order]
    same = in_order[1:] == in_order[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(tied):
        rows = order[tied]
        names, cards = (_ranks(frame[name].iloc[rows].to_numpy(dtype=object).astype(str)) for name in ("transaction_id", "card_id"))
        order[tied] = rows[np.lexsort((cards, names, times[rows]))]
    return order


def _ranks(texts: NDArray[np.str_]) -> Ints:
    return np.unique(texts, return_inverse=True)[1]


def _labels(frame: pd.DataFrame) -> tuple[Ints, Ints]:
    """Rows of the labelled frauds by the time of their labels, and those times."""
    if "is_fraud" not in frame.columns:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rows = np.flatnonzero(frame["is_fraud"].to_numpy() & frame["labelled_at"].notna().to_numpy())
    labelled_at = frame["labelled_at"].iloc[rows].to_numpy(dtype=np.int64)
    order = np.argsort(labelled_at, kind="stable")
    return rows[order], labelled_at[order]


def _kinds(frame: pd.DataFrame) -> Bytes:
    """What each payment is to the kernel: refunds and reversals are credits, also where they were declined."""
    kinds = np.full(len(frame), kernel.PAYMENT, dtype=np.int8)
    if "approved" in frame.columns:
        kinds[~frame["approved"].fillna(value=True).to_numpy(dtype=np.bool_)] = kernel.DECLINED
    if "type" in frame.columns:
        kinds[frame["type"].isin(CREDITS).to_numpy()] = kernel.CREDIT
    return kinds
