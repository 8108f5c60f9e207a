"""Features of a whole history, by the code that serves them: `stream_app.features` over state in memory.

The stream is replayed: payments and labels are merged by time, a payment by its `event_time`, a label by its `labelled_at`.

1. A payment at time t sees every label with `labelled_at` <= t: at one time, labels act first. No payment sees a label from later on.
2. Payments of one time go by `transaction_id`, as texts, and those of one id by `card_id`.
3. Only frauds with a `labelled_at` make a label; that a payment was genuine changes no feature.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stream_app.errors import DataError
from stream_app.features.compute import Rows, compute, to_minor
from stream_app.features.definitions import VELOCITY
from stream_app.features.plan import compile_plan
from stream_app.messages.money import Money
from stream_app.messages.transaction import ATTRIBUTE
from training.data.replay import ReplayedHistory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from stream_app.features.compute import Floats, Vectors
    from stream_app.features.definitions import Feature
    from stream_app.features.plan import EntityPlan, Ints, Plan


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
        frame: as `training.data.dataset.read_transactions` gives it, with labels or without.
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
    replay, state = prepared(plan, frame, money)
    vectors, scored, late = _computed(plan, replay, state, _Asked(money.unit, wanted))
    unpriced = int(np.count_nonzero(scored & (replay.minor < 0)))
    amounts = np.maximum(replay.minor, 0) / money.unit
    return Backfill(plan.features, vectors, scored, amounts, late, unpriced)


def prepared(plan: Plan, frame: pd.DataFrame, money: Money) -> tuple[ReplayedHistory, list[Rows]]:
    """Payments and labels of a history in processing order, and every entity's rows, empty."""
    replay = ReplayedHistory.of(frame, _minor(frame, money), [entity.entity for entity in plan.entities if len(entity.features)])
    return replay, [_empty(entity, len(replay.numbered[entity.entity].distinct)) for entity in plan.entities]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Minor units of money in a major one, and which vectors are wanted; None: all."""

    unit: int
    wanted: NDArray[np.bool_] | None


def _computed(plan: Plan, replay: ReplayedHistory, state: list[Rows], asked: _Asked) -> tuple[Vectors, NDArray[np.bool_], int]:
    """Vectors and verdicts in the frame's order, and how many were late; in runs, so that no second copy of all vectors is ever there."""
    count = len(replay.minor)
    vectors, scored, late = np.empty((count, len(plan.features)), dtype=np.float32), np.empty(count, dtype=np.bool_), 0
    with ThreadPoolExecutor(len(state)) as threads:
        for start in range(0, len(replay.rows), RUN):
            run = slice(start, start + RUN)
            computed = compute(plan, replay.events(run), state, asked.unit, threads.map)
            rows, payments = replay.rows[run], ~replay.is_label[run]
            scored[rows[payments]] = computed.scored[payments]
            kept = payments if asked.wanted is None else payments & asked.wanted[rows]
            vectors[rows[kept]] = computed.vectors[kept]
            late += int(np.count_nonzero(computed.late))
    return vectors, scored, late


def _empty(plan: EntityPlan, count: int) -> Rows:
    rows = np.zeros((count, plan.layout.width), dtype=np.int64)
    return Rows.alone(rows)


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
