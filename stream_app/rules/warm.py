"""Compile the kernels of rules and lists before the first payment; see `features.warm`."""

from __future__ import annotations

import numpy as np

from stream_app.messages.transaction import Transaction
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists import CardList, ListedValue, ListEntries, Lists
from stream_app.rules.rule import Rule, checked_rule
from stream_app.rules.verdicts import RuleBook


def warm() -> None:
    """Run every kernel once, with arrays of the kinds that a worker passes: when an image is built, and when a worker starts."""
    at_ms = 10**12
    lists = Lists()
    lists.take(CardList("warm", "card", "block", "warm", "warm"), at_ms)
    lists.take(ListEntries("warm", (ListedValue("warm"),), "warm", "warm"), at_ms)
    rule = checked_rule(Rule("warm", 1, "amount * 2 > 1 and card_id in @warm", "warm", "suppress", "warm"))
    payment = Transaction("warm", at_ms, "warm", "warm", 1.0, "EUR")
    batch = ScoredBatch([payment], np.ones(1), np.zeros((1, 0), dtype=np.float32), np.ones(1, dtype=np.float32), np.zeros(1, dtype=np.int8))
    RuleBook([rule], lists).verdicts(batch)
