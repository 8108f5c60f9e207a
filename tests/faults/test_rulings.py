"""The suite knows by heart what rules and lists decide: it agrees with the product, at every offset of changes as the suite makes them."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from stream_app.messages.transaction import Transaction
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.power import ACTIONS, places_of
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.verdicts import RuleBook
from stream_app.scoring.decision import Policy
from tests.faults import model
from tests.faults.rules import Choices
from tests.faults.rulings import BANDS, Asked, Books, Read, Ruling, asked_of, read_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.rules.lists import Lists

TERMINALS, CARDS = [f"t-{n}" for n in range(12)], [f"c-{n}" for n in range(12)]
NOW_MS = 1_795_641_600_000
STEPS = 60


def payments(chance: random.Random) -> list[Transaction]:
    """Of a few cards and terminals; one in eight has no rate."""
    return [
        Transaction(
            f"tx-{n}",
            NOW_MS + n,
            chance.choice(CARDS),
            chance.choice(TERMINALS),
            chance.randrange(100, 32_000) / 100,
            "USD" if n % 8 == 0 else "EUR",
            channel=chance.choice([None, "chip", "online"]),
        )
        for n in range(80)
    ]


def by_the_product(log: RulesLog, lists: Lists, paid: Sequence[Transaction], asked: Sequence[Asked]) -> list[Ruling]:
    """What its own book says."""
    release = log.in_force
    bands = msgspec.to_builtins(release.policy) if release and release.policy else BANDS
    book = RuleBook(release.rules if release else (), lists)
    actions = places_of([Policy(**bands).action(one.score) for one in asked])
    money = np.array([np.nan if one.amount is None else one.amount for one in asked])
    scores = np.array([one.score for one in asked], dtype=np.float32)
    found = book.verdicts(ScoredBatch(paid, money, np.zeros((len(paid), 0), dtype=np.float32), scores, actions))
    hits = [tuple((hit.code, hit.version, hit.mode) for hit in found.rule_hits(n)) for n in range(len(paid))]
    return [Ruling(found.action(n), found.decider(n), hits[n], found.lists(n)) for n in range(len(paid))]


@pytest.mark.parametrize("seed", range(3))
def test_what_the_suite_expects_is_what_the_product_decides(seed: int) -> None:
    """Releases and entries one after the other; each time all payments are asked, by what both had read."""
    chance, choices = random.Random(seed), Choices(seed, TERMINALS, CARDS)
    rules, lists = RulesLog(), ListsLog()
    written: tuple[list[tuple[int, Any]], list[tuple[int, Any]]] = ([], [])
    paid = payments(chance)
    scores = [chance.choice([model.score_of(model.DEAR, 0), model.score_of(0, 0)]) for _ in paid]
    rows = [msgspec.to_builtins(one) for one in paid]
    asked = [asked_of(row, -1 if row["currency"] == "USD" else round(row["amount"] * 100), s) for row, s in zip(rows, scores, strict=True)]
    at_each: list[tuple[Read, list[Ruling]]] = []

    def write(log: RulesLog | ListsLog, records: list[tuple[int, Any]], value: bytes) -> None:
        assert log.apply(log.offset, value, NOW_MS) is None
        records.append((log.offset - 1, json.loads(value)))

    for step in range(STEPS):
        if step % 2:
            made, release = choices.release(rules)
            for record in (*made, release):
                write(rules, written[0], msgspec.json.encode(record))
        else:
            write(lists, written[1], msgspec.json.encode(choices.entries(lists)))
        at_each.append((Read(rules.offset, lists.offset), by_the_product(rules, lists.lists, paid, asked)))
    books = Books(*written)
    assert {ruling.decided_by for _, found in at_each for ruling in found} == {"model", "rule", "suppression", "block", "allow"}
    for read, found in at_each:
        assert [books.ruling(one, read) for one in asked] == found, read


def test_a_release_that_does_not_follow_changes_nothing() -> None:
    """As the product refuses it; a time of its own, and a channel, are asked."""
    rule = {"kind": "rule", "code": "online", "version": 1, "effect": "alert", "mode": "live", "action": "review"}
    rule |= {"expression": 'amount >= 5 and amount < 9 and channel == "online"', "valid_until": 50}
    refused = {"kind": "release", "name": "b", "previous": "z", "rules": []}
    books = Books([(0, rule), (1, {"kind": "release", "name": "a", "rules": [rule]}), (2, refused)])
    asked = Asked("c-1", "t-1", "online", 49, 5.0, model.score_of(0, 0))
    hit = ("online", 1, "live")
    assert books.ruling(asked, Read(1, 0)) == books.ruling(asked, None) == Ruling(None, "model")
    assert books.ruling(asked, Read(3, 0)) == Ruling("review", "rule", (hit,))
    others = ({"event_time": 50}, {"amount": 9.0}, {"amount": None}, {"channel": None})
    assert {books.ruling(asked._replace(**other), Read(3, 0)) for other in others} == {Ruling(None, "model")}


def test_the_suite_knows_the_actions_by_their_order_and_reads_the_header() -> None:
    """A header of others says nothing."""
    from tests.faults import rulings  # noqa: PLC0415 - its own names for what the product has too

    assert rulings.ACTIONS == ACTIONS
    assert (read_of(b"an-id:12,other:7"), read_of(b":0,:3")) == (Read(12, 7), Read(0, 3))
    assert {read_of(header) for header in (None, b"", b"12,7", b"a:12", b"a:x,b:7")} == {None}
