"""Labels of a file of their own, joined to the payments that they mean.

1. A label that names a transaction means the payment of that id, on its card where it names that too; an id is unique on its card only.
2. One that names none means the payment of its card, its amount (and its currency, where it says one) and its day.
3. Where several payments fit, none is taken: it is reported, never guessed. Where none fits it is reported too.
4. A label from before its payment is none of it.
5. Of several labels of one payment the newest one's verdict stands, and the time of the first that said so.

Memory: some bytes for each payment, and the labels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.label_reports import UNJOINED
from stream_app.messages.refusals import DeadLetterCode
from training.data.sources import shown as shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from training.data.label_file import LabelTable

SHOWN_ROWS = 5
_NONE, _SEVERAL = -1, -2


@dataclass(frozen=True, slots=True)
class LabelJoin:
    """What became of the labels. Rows count from 1.

    Attributes:
        labels: how many there are.
        joined: how many have their one payment.
        payments: how many payments have a label.
        frauds: how many of those are frauds.
        contradicted: payments of which labels say both.
        ambiguous, without, before, incomplete: rows of labels that several payments fit; that none fits; that are from before their payment;
            that name no payment.
    """

    labels: int
    joined: int
    payments: int
    frauds: int
    contradicted: int
    ambiguous: tuple[int, ...]
    without: tuple[int, ...]
    before: tuple[int, ...]
    incomplete: tuple[int, ...]

    def lines(self) -> Iterator[str]:
        """For a person: what was joined, and every kind of label that was not, with the first rows."""
        twice = self.joined - self.payments
        yield f"Labels: {self.labels:,}; {self.joined:,} joined to {self.payments:,} payments, {self.frauds:,} of them fraud."
        if twice:
            both = f" ({self.contradicted:,} payments have both verdicts; the newest stands)" if self.contradicted else ""
            yield f"  {twice:,} are of a payment that has another one{both}"
        for rows, told in (
            (self.ambiguous, UNJOINED[DeadLetterCode.LABEL_AMBIGUOUS].many),
            (self.without, f"{UNJOINED[DeadLetterCode.LABEL_UNMATCHED].many} of the file"),
            (self.before, UNJOINED[DeadLetterCode.LABEL_BEFORE_EVENT].many),
            (self.incomplete, UNJOINED[DeadLetterCode.LABEL_INCOMPLETE].many),
        ):
            if rows:
                shown = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", …" if len(rows) > SHOWN_ROWS else "")
                yield f"  {len(rows):,} {told}: row{'s' * (len(rows) > 1)} {shown}"


def join_labels(frame: pd.DataFrame, labels: LabelTable, delay_ms: int) -> tuple[pd.DataFrame, LabelJoin]:
    """The payments with what is known of them, in the place of what their file says of that; and what became of the labels.

    Args:
        frame: as `read_transactions` gives it.
        labels: what is known.
        delay_ms: when it became known, where a label does not say: so long after the payment.

    Raises:
        DataError: not one label has its payment.
    """
    found = _found(frame, labels)
    named = _named(labels)
    event_ms = frame["event_time"].to_numpy()
    known_ms = np.where(labels.labelled_ms > 0, labels.labelled_ms, event_ms[found] + delay_ms)
    early = (found >= 0) & (known_ms < event_ms[found])
    usable = np.flatnonzero((found >= 0) & ~early)
    joined = LabelJoin(
        labels=len(labels),
        joined=len(usable),
        payments=0,
        frauds=0,
        contradicted=0,
        ambiguous=_rows(found == _SEVERAL),
        without=_rows((found == _NONE) & named),
        before=_rows(early),
        incomplete=_rows(~named),
    )
    if not len(usable):
        told = " ".join(line.strip() for line in joined.lines())
        raise DataError(
            f"{shown_path(labels.path)}: not one label has its payment. {told} Are cards tokens in both files, and days of one zone?"
        )
    verdict = _verdicts(found[usable], known_ms[usable], labels.is_fraud[usable])
    return _labelled(frame, labels, usable, verdict), replace(
        joined, payments=len(verdict.payments), frauds=int(verdict.is_fraud.sum()), contradicted=verdict.contradicted
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Standing:
    """What stands: rows of payments, whether each was fraud, since when that is known, which of the labels says it last."""

    payments: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    known_ms: NDArray[np.int64]
    label: NDArray[np.int64]
    contradicted: int


def _verdicts(payments: NDArray[np.int64], known_ms: NDArray[np.int64], is_fraud: NDArray[np.bool_]) -> _Standing:
    order = np.lexsort((known_ms, payments))
    payments, known_ms, is_fraud = payments[order], known_ms[order], is_fraud[order]
    first = np.flatnonzero(np.diff(payments, prepend=-1))
    last = np.append(first[1:], len(payments)) - 1
    group = np.repeat(np.arange(len(first)), last - first + 1)
    agrees = is_fraud == is_fraud[last][group]
    since = np.full(len(first), np.iinfo(np.int64).max)
    np.minimum.at(since, group[agrees], known_ms[agrees])
    return _Standing(payments[last], is_fraud[last], since, order[last], len(np.unique(group[~agrees])))


def _labelled(frame: pd.DataFrame, labels: LabelTable, usable: NDArray[np.int64], verdict: _Standing) -> pd.DataFrame:
    count = len(frame)
    is_fraud, known_ms, missing = np.zeros(count, bool), np.zeros(count, np.int64), np.ones(count, bool)
    is_fraud[verdict.payments], known_ms[verdict.payments], missing[verdict.payments] = verdict.is_fraud, verdict.known_ms, False
    texts = pd.Categorical(labels.source[usable[verdict.label]])
    codes = np.full(count, -1, np.int32)
    codes[verdict.payments] = texts.codes
    source = pd.Categorical.from_codes(codes, categories=texts.categories)
    kept = frame.drop(columns=["fraud_scenario"], errors="ignore")
    return kept.assign(is_fraud=is_fraud, labelled_at=pd.arrays.IntegerArray(known_ms, missing), source=source)


def _named(labels: LabelTable) -> NDArray[np.bool_]:
    return _given(labels.transaction_id) | _by_payment(labels)


def _by_payment(labels: LabelTable) -> NDArray[np.bool_]:
    return _given(labels.card_id) & ~np.isnan(labels.amount) & (labels.event_ms > 0)


def _found(frame: pd.DataFrame, labels: LabelTable) -> NDArray[np.int64]:
    """The row of each label's payment; below 0 where there is none, or several."""
    found = np.full(len(labels), _NONE, np.int64)
    by_id, with_card, with_currency = (_given(texts) for texts in (labels.transaction_id, labels.card_id, labels.currency))
    by_payment = ~by_id & _by_payment(labels)
    for rows, names in (
        (by_id & ~with_card, ("transaction_id",)),
        (by_id & with_card, ("transaction_id", "card_id")),
        (by_payment & ~with_currency, ("card_id", "amount", "day")),
        (by_payment & with_currency, ("card_id", "amount", "day", "currency")),
    ):
        at = np.flatnonzero(rows)
        if len(at):
            found[at] = _matched(frame, labels, at, names)
    return found


def _matched(frame: pd.DataFrame, labels: LabelTable, at: NDArray[np.int64], names: tuple[str, ...]) -> NDArray[np.int64]:
    """Of each of these labels the one payment that agrees in all of `names`; the first of them is looked up alone, and few are left."""
    first = getattr(labels, names[0])[at]
    candidates = np.flatnonzero(_among(frame[names[0]], pd.Index(pd.unique(first))))
    asked = pd.MultiIndex.from_arrays([_of_labels(labels, at, name) for name in names])
    keys = asked.unique()
    key = keys.get_indexer(pd.MultiIndex.from_arrays([_of_payments(frame, candidates, name, labels.zone) for name in names]))
    fits = key >= 0
    count = np.bincount(key[fits], minlength=len(keys))
    row = np.full(len(keys), _NONE, np.int64)
    row[key[fits]] = candidates[fits]
    return np.where(count > 1, _SEVERAL, row)[keys.get_indexer(asked)]


def _among(column: pd.Series[Any], wanted: pd.Index[Any]) -> NDArray[np.bool_]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray((wanted.get_indexer(column.cat.categories.astype(object)) >= 0)[column.cat.codes])
    return np.asarray(wanted.get_indexer(pd.Index(column, dtype=object)) >= 0)


def _of_labels(labels: LabelTable, at: NDArray[np.int64], name: str) -> NDArray[Any]:
    if name == "amount":
        return _thousandths(labels.amount[at])
    if name == "day":
        ms = labels.event_ms[at]
        return np.where(ms % DAY_MS == 0, ms // DAY_MS, _days(ms, labels.zone))  # a date is its own day, in whatever zone
    return np.asarray(getattr(labels, name)[at])


def _of_payments(frame: pd.DataFrame, at: NDArray[np.int64], name: str, zone: str) -> NDArray[Any]:
    if name == "amount":
        return _thousandths(frame["amount"].to_numpy()[at])
    if name == "day":
        return _days(frame["event_time"].to_numpy()[at], zone)
    return np.asarray(frame[name].iloc[at].astype(object))


def _thousandths(amounts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Exact for every currency with up to three decimals."""
    return np.asarray(np.rint(amounts * 1000), np.int64)


def _days(ms: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    local = pd.to_datetime(ms, unit="ms", utc=True).tz_convert(zone).tz_localize(None)
    return np.asarray(local.as_unit("ms").asi8 // DAY_MS)


def _given(texts: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray([text is not None for text in texts], bool)


def _rows(chosen: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple((np.flatnonzero(chosen) + 1).tolist())
