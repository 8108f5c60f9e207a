"""Features of a whole history, by the code that serves them: `stream_app.features` over state in memory.

The stream is replayed: payments and labels are merged by time, a payment by its `event_time`, a label by its `labelled_at`.

1. A payment at time t sees every label with `labelled_at` <= t: at one time, labels act first. No payment sees a label from later on.
2. Payments of one time go by `transaction_id`, as texts.
3. Only frauds with a `labelled_at` make a label; that a payment was genuine changes no feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stream_app.errors import DataError
from stream_app.features import kernel
from stream_app.features.compute import Events, Rows, compute, to_minor
from stream_app.features.definitions import DEFAULT_FEATURES
from stream_app.features.plan import compile_plan
from stream_app.iso import minor_units
from stream_app.transaction import CREDITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_app.features.compute import Bytes, Vectors
    from stream_app.features.definitions import Feature
    from stream_app.features.plan import EntityPlan, Ints


@dataclass(frozen=True, slots=True)
class Backfill:
    """The features of a history, in the order of its frame.

    Attributes:
        features: what the columns of `vectors` are.
        vectors: float32 [transactions, features].
        scored: bool [transactions]; False for refunds, reversals and repeated transactions, whose vectors mean nothing.
        late: transactions so far behind their card's newest that they were scored, not counted.
        foreign: transactions whose money is not in the base currency: counted, their money is not.
    """

    features: tuple[Feature, ...]
    vectors: Vectors
    scored: NDArray[np.bool_]
    late: int
    foreign: int


def backfill(frame: pd.DataFrame, features: Sequence[Feature] = DEFAULT_FEATURES, base_currency: str = "EUR") -> Backfill:
    """Compute the features of every transaction of a history as the stream would have.

    1. number cards, terminals and transactions: here an id is a row's number + 1, no hash;
    2. merge payments and labels by time;
    3. run the kernel over all of them, from empty state;
    4. put the vectors back into the frame's order.

    Args:
        frame: as `training.dataset.read_transactions` gives it, with labels or without.
        features: the columns wanted.
        base_currency: currency of the money features; money in others is not counted.

    Raises:
        DataError: no transaction at all is in the base currency.
    """
    plan = compile_plan(features)
    unit = minor_units(base_currency)
    cards, card_count = _numbered(frame["card_id"])
    terminals, terminal_count = _numbered(frame["terminal_id"])
    minor = _minor(frame, base_currency, unit)
    events, rows = _merged(frame, cards, terminals, minor)
    state = [_empty(entity, count) for entity, count in zip(plan.entities, (card_count, terminal_count), strict=True)]
    computed = compute(plan, events, state, unit)
    payments = np.flatnonzero(events.kinds < kernel.LABEL_GENUINE)
    place = np.empty(len(frame), dtype=np.int64)
    place[rows[payments]] = payments
    late, foreign = int(np.count_nonzero(computed.late)), int(np.count_nonzero(minor < 0))
    return Backfill(plan.features, computed.vectors[place], computed.scored[place], late, foreign)


def _numbered(ids: pd.Series[Any]) -> tuple[Ints, int]:
    if isinstance(ids.dtype, pd.CategoricalDtype):
        return ids.cat.codes.to_numpy().astype(np.int64), len(ids.cat.categories)
    codes, distinct = pd.factorize(ids)
    return codes.astype(np.int64), len(distinct)


def _empty(plan: EntityPlan, count: int) -> Rows:
    rows = np.zeros((count, plan.layout.width), dtype=np.int64)
    return Rows.alone(rows)


def _merged(frame: pd.DataFrame, cards: Ints, terminals: Ints, minor: Ints) -> tuple[Events, Ints]:
    """Payments and labels in processing order, and the row of the frame that each event is of."""
    times = frame["event_time"].to_numpy()
    payments = _payment_order(frame["transaction_id"], times)
    labels, labelled_at = _labels(frame)
    # A stable sort leaves labels before payments of the same time. Both runs are sorted already: it is a merge.
    order = np.argsort(np.concatenate([labelled_at, times[payments]]), kind="stable")
    rows = np.concatenate([labels, payments])[order]
    is_label = order < len(labels)
    events = Events(
        kinds=np.where(is_label, kernel.LABEL_FRAUD, _kinds(frame)[rows]).astype(np.int8),
        times_ms=times[rows],
        labelled_ms=np.concatenate([labelled_at, np.zeros_like(times)])[order],
        ids=rows + 1,
        minor=minor[rows],
        amounts=frame["amount"].to_numpy()[rows],
        entities=(cards[rows], terminals[rows]),
    )
    return events, rows


def _payment_order(transaction_ids: pd.Series[str], times: Ints) -> Ints:
    """Rows by time, then by transaction id; only where times are equal are ids looked at."""
    order = np.argsort(times, kind="stable")
    same = times[order][1:] == times[order][:-1]
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if len(tied):
        rows = order[tied]
        ranks = np.unique(transaction_ids.to_numpy(dtype=object)[rows].astype(str), return_inverse=True)[1]
        order[tied] = rows[np.lexsort((ranks, times[rows]))]
    return order


def _labels(frame: pd.DataFrame) -> tuple[Ints, Ints]:
    """Rows of the labelled frauds by the time of their labels, and those times."""
    if "is_fraud" not in frame.columns:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    known = frame["is_fraud"].to_numpy() & frame["labelled_at"].notna().to_numpy()
    rows = np.flatnonzero(known)
    labelled_at = frame["labelled_at"].to_numpy(dtype=np.int64, na_value=0)[rows]
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


def _minor(frame: pd.DataFrame, base_currency: str, unit: int) -> Ints:
    """Money in minor units of the base currency: the billing amount if it is in it, else the amount if it is, else -1."""
    minor = np.where(frame["currency"] == base_currency, to_minor(frame["amount"].to_numpy(), unit), -1)
    if {"billing_amount", "billing_currency"} <= set(frame.columns):
        billed = (frame["billing_currency"] == base_currency).to_numpy() & frame["billing_amount"].notna().to_numpy()
        minor[billed] = to_minor(frame["billing_amount"].to_numpy()[billed], unit)
    if len(minor) and (minor < 0).all():
        raise DataError(
            f"No transaction is in {base_currency}, the base currency (the first is in {frame['currency'].iloc[0]}). "
            f"Set FRAUDSTREAM_BASE_CURRENCY to the cards' own currency, for training and worker alike."
        )
    return minor
