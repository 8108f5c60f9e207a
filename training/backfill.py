"""Features of a whole history, by the code that serves them: `stream_app.features` over state in memory.

The stream is replayed: payments and labels are merged by time, a payment by its `event_time`, a label by its `labelled_at`.

1. A payment at time t sees every label with `labelled_at` <= t: at one time, labels act first. No payment sees a label from later on.
2. Payments of one time go by `transaction_id`, as texts.
3. Only frauds with a `labelled_at` make a label; that a payment was genuine changes no feature.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stream_app.errors import DataError
from stream_app.features import kernel
from stream_app.features.aggregations import ENTITIES, LABELLED
from stream_app.features.compute import Events, Rows, compute, to_minor
from stream_app.features.definitions import VELOCITY
from stream_app.features.facts import ONLINE, country_numbers, facts_of, hashes
from stream_app.features.plan import compile_plan
from stream_app.money import Money
from stream_app.transaction import CREDITS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from stream_app.features.aggregations import Entity
    from stream_app.features.compute import Bytes, Floats, Vectors
    from stream_app.features.definitions import Feature
    from stream_app.features.plan import EntityPlan, Ints, Plan


ATTRIBUTE = "attributes."
"""Begins the names of columns that hold the producer's own numbers."""

RUN = 100_000
"""Events in one call of the kernel."""

EUR = Money("EUR")
"""Euros, without rates."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """The features of a history, in the order of its frame.

    Attributes:
        features: what the columns of `vectors` are.
        vectors: float32 [transactions, features].
        scored: bool [transactions]; False for refunds, reversals and repeated transactions, whose vectors mean nothing.
        amounts: float64, money of each in major units of the base currency; 0 where it is in another.
        late: transactions so far behind their card's newest that they were scored, not counted.
        unpriced: transactions without a rate into the base currency: scored and counted, their money is not summed.
    """

    features: tuple[Feature, ...]
    vectors: Vectors
    scored: NDArray[np.bool_]
    amounts: Floats
    late: int
    unpriced: int


def backfill(
    frame: pd.DataFrame, features: Sequence[Feature] = VELOCITY, money: Money = EUR, wanted: NDArray[np.bool_] | None = None
) -> Backfill:
    """Compute the features of every transaction of a history as the stream would have.

    1. number cards, terminals, devices and transactions: here a transaction's id is a row's number + 1, no hash;
    2. merge payments and labels by time;
    3. run the kernel over all of them, from empty state;
    4. put the vectors back into the frame's order.

    Args:
        frame: as `training.dataset.read_transactions` gives it, with labels or without.
        features: the columns wanted.
        money: converts amounts into the base currency, as the worker's does.
        wanted: bool [transactions], those whose vectors are asked for; None: all. The others' mean nothing, and take no memory where they
            stand together: ten million vectors of 63 features would be 2.5 GB.

    Raises:
        DataError: not one transaction is in the base currency or has a rate; an attribute is nowhere in the history.
    """
    for feature in features:
        if feature.of.fields is None and ATTRIBUTE + feature.field not in frame.columns:
            known = ", ".join(c.removeprefix(ATTRIBUTE) for c in frame.columns if c.startswith(ATTRIBUTE)) or "none"
            raise DataError(f"No transaction has the attribute {feature.field!r}. Those that are there: {known}.")
    plan = compile_plan(features)
    events, rows, state = prepared(plan, frame, money)
    vectors, scored, late = _computed(plan, events, rows, state, _Asked(money.unit, wanted))
    minor = np.empty(len(frame), dtype=np.int64)
    minor[rows] = events.minor
    unpriced = int(np.count_nonzero(scored & (minor < 0)))
    amounts = np.maximum(minor, 0) / money.unit
    return Backfill(plan.features, vectors, scored, amounts, late, unpriced)


def prepared(plan: Plan, frame: pd.DataFrame, money: Money) -> tuple[Events, Ints, list[Rows]]:
    """Payments and labels of a history in processing order, the row of the frame that each is of, and every entity's rows, empty."""
    numbered = {entity: _numbered(frame.get(f"{entity}_id"), len(frame)) for entity in ENTITIES}
    events, rows = _merged(frame, numbered, _minor(frame, money))
    return events, rows, [_empty(entity, len(numbered[entity.entity][1])) for entity in plan.entities]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Minor units of money in a major one, and which vectors are wanted; None: all."""

    unit: int
    wanted: NDArray[np.bool_] | None


def _computed(plan: Plan, events: Events, rows: Ints, state: list[Rows], asked: _Asked) -> tuple[Vectors, NDArray[np.bool_], int]:
    """Vectors and verdicts in the frame's order, and how many were late; in runs, so that no second copy of all vectors is ever there."""
    is_payment = events.kinds < kernel.LABEL_GENUINE
    count = int(np.count_nonzero(is_payment))
    vectors, scored, late = np.empty((count, len(plan.features)), dtype=np.float32), np.empty(count, dtype=np.bool_), 0
    with ThreadPoolExecutor(len(state)) as threads:
        for start in range(0, len(rows), RUN):
            run = slice(start, start + RUN)
            computed = compute(plan, events.part(run), state, asked.unit, threads.map)
            payments = is_payment[run]
            scored[rows[run][payments]] = computed.scored[payments]
            kept = payments if asked.wanted is None else payments & asked.wanted[rows[run]]
            vectors[rows[run][kept]] = computed.vectors[kept]
            late += int(np.count_nonzero(computed.late))
    return vectors, scored, late


def _numbered(ids: pd.Series[Any] | None, count: int) -> tuple[Ints, pd.Index[str]]:
    """The number of each row's card, terminal … among the distinct ones, -1 where it has none; and these."""
    if ids is None:
        return np.full(count, -1), pd.Index([], dtype="str")
    numbered = (ids.cat.codes.to_numpy(), ids.cat.categories) if isinstance(ids.dtype, pd.CategoricalDtype) else pd.factorize(ids)
    codes: Ints = numbered[0].astype(np.int64)
    distinct: pd.Index[str] = pd.Index(numbered[1])
    if "" in distinct:  # the decoder takes an empty text for none
        codes[codes == distinct.get_loc("")] = -1
    return codes, distinct


def _empty(plan: EntityPlan, count: int) -> Rows:
    rows = np.zeros((count, plan.layout.width), dtype=np.int64)
    return Rows.alone(rows)


def _merged(frame: pd.DataFrame, numbered: Mapping[Entity, tuple[Ints, pd.Index[str]]], minor: Ints) -> tuple[Events, Ints]:
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
        entities=tuple(_of_events(entity, codes[rows], is_label) for entity, (codes, _) in numbered.items()),
        facts=_facts(frame, numbered)[rows],
        attribute=lambda name, run: _attribute(frame, name)[rows[run]],
    )
    return events, rows


def _of_events(entity: Entity, codes: Ints, is_label: NDArray[np.bool_]) -> Ints:
    """A label names no device: what is not in `label.v1` the stream would not know."""
    return codes if entity in LABELLED else np.where(is_label, -1, codes)


def _facts(frame: pd.DataFrame, numbered: Mapping[Entity, tuple[Ints, pd.Index[str]]]) -> Ints:
    """Of each row, as the worker makes them of a message."""
    terminals, devices = (np.append(hashes(numbered[e][1].tolist()), 0)[numbered[e][0]] for e in ("terminal", "device"))
    codes, countries = _numbered(frame.get("country"), len(frame))
    placed = {"latitude", "longitude"} <= set(frame.columns)
    return facts_of(
        terminals,
        devices=devices if "device_id" in frame.columns else None,
        online=(frame["channel"] == ONLINE).to_numpy() if "channel" in frame.columns else None,
        countries=np.append(country_numbers(countries.tolist()), 0)[codes],
        place=(frame["latitude"].to_numpy(), frame["longitude"].to_numpy()) if placed else None,
    )


def _attribute(frame: pd.DataFrame, name: str) -> Floats:
    column: Floats = (
        frame[ATTRIBUTE + name].to_numpy(dtype=np.float64) if ATTRIBUTE + name in frame.columns else np.full(len(frame), np.nan)
    )
    return column


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


def _minor(frame: pd.DataFrame, money: Money) -> Ints:
    """Money in minor units of the base currency, -1 where there is no rate."""
    based = _based(frame, money)
    known = ~np.isnan(based)
    if len(frame) and not known.any():
        raise DataError(
            f"No transaction is in {money.currency}, the base currency, or has a rate (the first is in {frame['currency'].iloc[0]}). Set "
            "FRAUDSTREAM_BASE_CURRENCY to the cards' own currency, or FRAUDSTREAM_RATES_FILE, for training and worker alike."
        )
    return np.where(known, to_minor(np.where(known, based, 0.0), money.unit), -1)


def _based(frame: pd.DataFrame, money: Money) -> Floats:
    """Major units of the base currency, NaN where there is no rate: what `money` says of each pair of currencies, applied to its rows."""
    amounts = frame["amount"].to_numpy(dtype=np.float64)
    codes, currencies = pd.factorize(frame["currency"])
    billing, billing_codes, billing_currencies = amounts, np.full(len(frame), -1), pd.Index([])
    if {"billing_amount", "billing_currency"} <= set(frame.columns):
        billing = frame["billing_amount"].to_numpy(dtype=np.float64)
        billing_codes, billing_currencies = pd.factorize(frame["billing_currency"].where(~np.isnan(billing)))
    pairs = [[money.terms(currency, billed) for billed in (*billing_currencies, None)] for currency in currencies]
    terms = np.array(pairs, dtype=np.float64).reshape(len(currencies), -1, 2)[codes, billing_codes]  # code -1, none, is the last
    based: Floats = np.where(terms[:, 0] > 0, billing, amounts) * terms[:, 1]
    return based
