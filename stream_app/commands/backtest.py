"""`fraudstream rules backtest`: rules over a file of past transactions, by the code that runs them live: features, decoder, program, lists."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from stream_app.commands.replay import replay_of, transaction_records
from stream_app.errors import DataError, RecordError
from stream_app.features.compute import Vectors
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.rules.backtest import Backtest
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.names import SCORE
from stream_app.rules.power import Actions, places_of
from stream_app.rules.rule import CheckedRule
from stream_app.rules.verdicts import RuleBook
from stream_app.scoring.bound_model import BoundModel
from stream_app.scoring.ports import Model

if TYPE_CHECKING:
    import pandas as pd

    from stream_app.rules.lists import Lists

BATCH = 500


@dataclass(frozen=True, slots=True)
class Backtested:
    """A backtest, and what was left out of it.

    Attributes:
        skipped: why, by code, of rules that were not run.
        passed_over: payments that get no decision (refunds, reversals, repeated ones), by why.
    """

    backtest: Backtest
    skipped: dict[str, str]
    passed_over: dict[str, int]


def backtested(  # noqa: PLR0913 - a history, and all that it is held against
    rules: tuple[CheckedRule, ...],
    lists: Lists,
    frame: pd.DataFrame,
    money: Money,
    intake: IntakeRules,
    model: Model | None = None,
    *,
    last_ms: int | None = None,
) -> Backtested:
    """Run rules over a history.

    1. put the payments into the order of their times;
    2. compute the features that the rules and the model ask for, as the worker would have;
    3. score with the model, where one is given, and decide by its own thresholds;
    4. decode each payment from the message that `produce` would send, and ask the book, micro-batch after micro-batch.

    A rule in shadow is run as one that is live; one that asks for the score is skipped where there is no model.

    Args:
        rules: to run.
        lists: that they ask.
        frame: as `training.data.dataset` reads it.
        money: converts amounts, as the worker's does.
        intake: what the worker's decoder refuses.
        model: that decides beside them.
        last_ms: only payments of so long before the last one are looked at; those before fill the windows. None: all.

    Raises:
        DataError: no payment of the file can be decided.
    """
    asking = [one.rule.code for one in rules if model is None and SCORE in [name.name for name in one.names]]
    skipped = dict.fromkeys(asking, "it asks for the score, and no model was given: --model FILE.onnx")
    live = [replace(one, rule=structs.replace(one.rule, mode="live")) for one in rules if one.rule.code not in skipped]
    of_model = model.metadata.resolved() if model else ()
    features = tuple(dict.fromkeys((*of_model, *RuleBook(live, lists).features)))
    columns = [feature.name for feature in features]
    bound = BoundModel(model, features, None) if model else None
    frame = frame.iloc[np.argsort(frame["sent_at" if "sent_at" in frame.columns else "event_time"].to_numpy(), kind="stable")]
    computed: Any = importlib.import_module("training.data.backfill").backfill(frame, features, money)
    backtest = Backtest(RuleBook(live, lists, columns), [one.rule for one in live])
    passed_over = {"no decision": 0, "refused": 0}
    is_fraud = frame["is_fraud"].to_numpy(dtype=bool) if "is_fraud" in frame.columns else None
    times = frame["event_time"].to_numpy()
    looked_at = computed.scored if last_ms is None else computed.scored & (times > times.max(initial=0) - last_ms)
    for rows, payments in _decoded(frame, looked_at, intake, passed_over):
        based = np.array([money.of(payment) for payment in payments])
        vectors = computed.vectors[rows]
        scores, actions = _decided(bound, vectors)
        batch = ScoredBatch(payments, np.rint(based * money.unit) / money.unit, vectors, scores, actions)
        backtest.add(batch, None if is_fraud is None else is_fraud[rows])
    if not backtest.payments:
        raise DataError("No payment of the file can be decided: all are refunds, reversals or refused. Give a file with purchases.")
    return Backtested(backtest, skipped, {why: count for why, count in passed_over.items() if count})


def _decided(bound: BoundModel | None, vectors: Vectors) -> tuple[NDArray[np.float32], Actions]:
    """Scores and actions of the model; unknown, and none, where there is no model."""
    if bound is None:
        return np.full(len(vectors), np.nan, dtype=np.float32), np.zeros(len(vectors), dtype=np.int8)
    scores = bound.scores(bound.vectors(vectors)).probability
    return scores, places_of([bound.policy.action(score) for score in scores.astype(np.float64).tolist()])


def _decoded(
    frame: pd.DataFrame, scored: Any, intake: IntakeRules, passed_over: dict[str, int]
) -> Iterator[tuple[list[int], list[Transaction]]]:
    """Rows and payments that get a decision, as many as a micro-batch takes; the others are counted."""
    columns, decode = replay_of(frame, labels=False).transactions, Decoder(Transaction, intake).decode
    for start in range(0, len(frame), BATCH):
        rows, payments = list[int](), list[Transaction]()
        for row, (key, value) in enumerate(transaction_records(columns, start, start + BATCH), start):
            try:
                payment = decode(value, key, None, None)
            except RecordError:
                passed_over["refused"] += 1
                continue
            if scored[row]:
                rows.append(row)
                payments.append(payment)
            else:
                passed_over["no decision"] += 1
        if rows:
            yield rows, payments
