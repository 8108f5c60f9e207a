"""`fraudstream rules backtest`: rules over a file of past transactions, by the code that runs them live: features, decoder, program, lists."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stream_app.commands.replay import replay_of, transaction_records
from stream_app.errors import DataError, RecordError
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.rules.backtest import Backtest
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.names import SCORE
from stream_app.rules.rule import CheckedRule
from stream_app.rules.verdicts import RuleBook

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


def backtested(rules: tuple[CheckedRule, ...], lists: Lists, frame: pd.DataFrame, money: Money, intake: IntakeRules) -> Backtested:
    """Run rules over a history.

    1. put the payments into the order of their times;
    2. compute the features that the rules ask for, as the worker would have;
    3. decode each payment from the message that `produce` would send, and ask the book, micro-batch after micro-batch.

    A rule in shadow is run as one that is live; one that asks for the score is skipped: no model is asked here.

    Args:
        rules: to run.
        lists: that they ask.
        frame: as `training.data.dataset` reads it.
        money: converts amounts, as the worker's does.
        intake: what the worker's decoder refuses.

    Raises:
        DataError: no payment of the file can be decided.
    """
    skipped = {one.rule.code: "it asks for the score, and no model is asked here" for one in rules if SCORE in [n.name for n in one.names]}
    run = [one for one in rules if one.rule.code not in skipped]
    features = RuleBook(run, lists).features
    frame = frame.iloc[np.argsort(frame["sent_at" if "sent_at" in frame.columns else "event_time"].to_numpy(), kind="stable")]
    computed: Any = importlib.import_module("training.data.backfill").backfill(frame, features, money)
    book = RuleBook(run, lists, [feature.name for feature in features])
    backtest, passed_over = Backtest(book, [one.rule.code for one in run]), {"no decision": 0, "refused": 0}
    is_fraud = frame["is_fraud"].to_numpy(dtype=bool) if "is_fraud" in frame.columns else None
    for rows, payments in _decoded(frame, computed.scored, intake, passed_over):
        based = np.array([money.of(payment) for payment in payments])
        batch = ScoredBatch(
            payments,
            np.rint(based * money.unit) / money.unit,
            computed.vectors[rows],
            np.full(len(rows), np.nan, dtype=np.float32),
            np.zeros(len(rows), dtype=np.int8),
        )
        backtest.add(batch, None if is_fraud is None else is_fraud[rows])
    if not backtest.payments:
        raise DataError("No payment of the file can be decided: all are refunds, reversals or refused. Give a file with purchases.")
    return Backtested(backtest, skipped, {why: count for why, count in passed_over.items() if count})


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
