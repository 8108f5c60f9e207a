"""A label counts once, in features and in outcomes: however often it is sent, in whichever order, through restarts and rebuilds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.features.aggregations import DAY_S, Quantity
from stream_app.features.packing import Packer
from stream_app.features.plan import LABELS_LEN, catalogue_plan
from stream_app.scoring import outcomes
from stream_app.scoring.bound_rules import RulesInForce
from tests.unit.delivery.world import World, payment
from tests.unit.rules.made import rule, rules
from tests.unit.scoring.test_scorer import DAY, HOUR, START

MANY = LABELS_LEN + 8
"""Payments of one card: more than its row remembers the labels of."""
TERMINAL = catalogue_plan().entities[1].layout


def paid(number: int) -> dict[str, Any]:
    """Payment n, each third of which is alerted."""
    return payment(f"T{number}", 300.0 if number % 3 == 0 else 10.0, number * 60_000)


def label(number: int, hour: int = 1, *, fraud: bool = True) -> dict[str, Any]:
    """A label of payment n, given so many hours after the second day began."""
    told = {k: v for k, v in paid(number).items() if k in {"transaction_id", "card_id", "terminal_id", "event_time", "amount"}}
    return told | {"is_fraud": fraud, "labelled_at": START + DAY + hour * HOUR}


def frauds(world: World) -> int:
    """How many frauds the terminal has in the tiles of that day."""
    row = np.zeros((1, TERMINAL.width), dtype=np.int64)
    Packer(TERMINAL).unpack([world.state()["t:t1"]], ["t:t1"], row, np.arange(1))
    first, tiles = TERMINAL.series[DAY_S, Quantity.FRAUD]
    return int(row[0, first : first + tiles].sum())


def net(world: World) -> dict[str, int]:
    """The outcomes that are not nought."""
    return {outcome: count for outcome, count in world.seen.outcomes.items() if count}


def of_newest(labels: list[dict[str, Any]]) -> dict[str, bool]:
    """The oracle: what the newest label of each payment says; of two of one time the later in the log."""
    newest: dict[str, dict[str, Any]] = {}
    for told in labels:
        if told["labelled_at"] >= newest.get(told["transaction_id"], told)["labelled_at"]:
            newest[told["transaction_id"]] = told
    return {name: told["is_fraud"] for name, told in newest.items()}


def judged(labels: list[dict[str, Any]]) -> dict[str, int]:
    """The oracle's outcomes."""
    found = {"caught": 0, "missed": 0, "false_alarm": 0}
    for name, fraud in of_newest(labels).items():
        is_alerted = int(name[1:]) % 3 == 0
        if fraud or is_alerted:
            found[("caught" if is_alerted else "missed") if fraud else "false_alarm"] += 1
    return {outcome: count for outcome, count in found.items() if count}


SENT = st.lists(st.lists(st.tuples(st.integers(0, MANY - 1), st.integers(0, 3), st.booleans()), min_size=1, max_size=30), max_size=4)
"""Labels, life after life of the worker: of which payment, when, and what."""


@settings(max_examples=25, deadline=None)
@given(lives=SENT, size=st.sampled_from([3, 200]), lost=st.integers(0, 4))
def test_the_newest_label_of_each_payment_counts_once(lives: list[list[tuple[int, int, bool]]], size: int, lost: int) -> None:
    """After every fraud of the card was told once: repeated, corrected, out of order, each life by another worker; at last Redis is emptied."""
    world = World(at_once=size)
    sent = [label(n) for n in range(MANY)]
    world.send([paid(n) for n in range(MANY)], sent)
    world.run()
    for life, labels in enumerate(lives):
        batch = [label(n, hour, fraud=fraud) for n, hour, fraud in labels]
        sent += batch
        world.send([], batch)
        assert world.run() == "done"
        assert frauds(world) == sum(of_newest(sent).values())
        assert net(world) == judged(sent), life
    world.commit()
    world.lose_all()
    assert world.run() == "done"
    again = [label(n, 3, fraud=fraud) for n, fraud in ((int(name[1:]), fraud) for name, fraud in of_newest(sent).items())][lost:]
    world.send([], again)
    assert world.run() == "done"
    assert frauds(world) == sum(of_newest(sent + again).values())


def test_a_file_of_chargebacks_that_is_sent_every_day_counts_once() -> None:
    """More frauds of one card than its row remembers, all of one time, as a file is stamped: on the next day nothing is added."""
    world = World(at_once=100)
    world.send([paid(n) for n in range(MANY)])
    for day in range(3):
        world.send([], [label(n, hour=day // 2) for n in range(MANY)])
        assert world.run() == "done"
        assert frauds(world) == MANY
        assert net(world) == {"caught": 14, "missed": 26}


def test_without_the_notes_the_file_would_count_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what is not told of the labels before, the row alone has forgotten."""
    monkeypatch.setattr("stream_app.delivery.rounds.before_each", lambda labels, _: [0] * len(labels))
    world = World(at_once=100)
    world.send([paid(n) for n in range(MANY)], [label(n) for n in range(MANY)])
    world.run()
    world.send([], [label(n) for n in range(MANY)])
    world.run()
    assert frauds(world) > MANY


def test_a_label_that_falls_due_while_state_is_rebuilt_is_judged() -> None:
    """It came while no worker ran: of an alert that is published still it says caught, of other frauds that nobody knows; sent again, nothing."""
    soon = {"labelled_at": START + 4 * 60_000}
    world = World(at_once=1)
    world.send([paid(n) for n in range(6)], [label(0) | soon])
    world.run()
    assert net(world) == {"caught": 1}
    world.commit()
    world.lose_all()
    late = [label(n) | soon for n in (1, 2, 3)]
    world.send([], late)
    unknown = world.seen.unknown
    world.run()
    assert (net(world), world.seen.unknown - unknown) == ({"caught": 2}, 2)
    world.send([], [*late, label(0) | soon])
    world.run()
    assert (net(world), world.seen.unknown - unknown) == ({"caught": 2}, 2)


def test_a_label_of_a_payment_that_never_came_here_is_elsewhere() -> None:
    """Of a card that never paid here, and of a payment that a card of few payments did not make here; what it paid here is missed."""
    world = World()
    world.send([paid(1)], [label(1), label(2), label(4) | {"card_id": "c9"}])
    world.run()
    assert net(world) == {"missed": 1, "elsewhere": 2}
    assert outcomes.OUTCOMES[-1] == "elsewhere"


@pytest.mark.parametrize("killed_after", range(8))
def test_a_rule_is_judged_by_labels_whatever_was_killed_between_its_hit_and_them(killed_after: int) -> None:
    """In shadow, at a payment that was alerted and at one that was not: from the note, or from what was published before it was written."""
    world = World(rules=RulesInForce(tuple(rules(rule("amount > 5", mode="shadow", code="new")))))
    world.send([paid(0), paid(1)])
    world.run(kill_after=killed_after)
    assert world.run() == "done"
    world.send([], [label(0), label(1, fraud=False)])
    assert world.run() == "done"
    assert world.seen.hits == {("new", "shadow", True): 1, ("new", "shadow", False): 1}
    world.send([], [label(0, 2, fraud=False), label(1, fraud=False)])
    assert world.run() == "done"
    assert world.seen.hits == {("new", "shadow", True): 0, ("new", "shadow", False): 2}
