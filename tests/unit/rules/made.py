"""Payments, rules and books of the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stream_app.messages.transaction import Transaction
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists import CardList, ListedValue, ListEntries, Lists
from stream_app.rules.power import Power
from stream_app.rules.rule import CheckedRule, Rule, checked_rule
from stream_app.rules.tree import ListKind
from stream_app.rules.verdicts import RuleBook, Verdicts

NOW_MS = 1_795_471_200_000
FEATURES = ("card_count_1h", "card_declines_in_a_row", "card_online_share_30d", "device_count_1d", "card_speed_kmh", "card_amount_ratio_7d")


def payment(**fields: Any) -> Transaction:
    """One, with what is given of it."""
    return Transaction(
        **{
            "transaction_id": "tx-1",
            "event_time": NOW_MS,
            "card_id": "card-1",
            "terminal_id": "term-1",
            "amount": 10.0,
            "currency": "EUR",
            **fields,
        }
    )


def batch(payments: Sequence[Transaction], features: Sequence[Mapping[str, float]] = (), **given: Any) -> ScoredBatch:
    """A micro-batch: money as the payments say it, features 0 and scores 0.5 where nothing is given."""
    vectors = np.zeros((len(payments), len(FEATURES)), dtype=np.float32)
    for row, values in enumerate(features):
        for name, value in values.items():
            vectors[row, FEATURES.index(name)] = value
    whole: dict[str, Any] = {
        "money": np.array([p.amount for p in payments]),
        "scores": np.full(len(payments), 0.5, dtype=np.float32),
        "actions": np.zeros(len(payments), dtype=np.int8),
    }
    return ScoredBatch(payments, vectors=vectors, **whole | given)


def rule(expression: str, **fields: Any) -> Rule:
    """A live rule that sends to review."""
    given: dict[str, Any] = {
        "code": "a_rule",
        "version": 1,
        "sentence": "It hit.",
        "effect": "alert",
        "action": "review",
        "mode": "live",
        "author": "ann",
    }
    return Rule(expression=expression, **given | fields)


def rules(*of: Rule) -> list[CheckedRule]:
    """Checked."""
    return [checked_rule(one) for one in of]


def lists(**holding: tuple[ListKind, Power, Sequence[str]]) -> Lists:
    """Lists by name: their kind, their power, what they hold."""
    made = Lists()
    for name, (kind, power, values) in holding.items():
        made.take(CardList(name, kind, power, "ann", "for tests"), NOW_MS)
        if values:
            made.take(ListEntries(name, tuple(map(ListedValue, values)), "ann", "for tests"), NOW_MS)
    return made


def verdicts(of: ScoredBatch, *asked: Rule, beside: Lists | None = None) -> Verdicts:
    """What is decided."""
    return RuleBook(rules(*asked), beside or Lists(), FEATURES).verdicts(of)


def hit(expression: str, one: Transaction | None = None, features: Mapping[str, float] | None = None, **given: Any) -> bool:
    """Whether a rule hits a payment."""
    found = verdicts(batch([one or payment()], [features or {}], **given), rule(expression))
    assert found.failed == {}
    return bool(found.hits[0, 0])
