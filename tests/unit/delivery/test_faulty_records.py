"""A record on which the program breaks goes to the dead letters; its neighbours are decided, once; a fault of the program stops it."""

from __future__ import annotations

import pytest

from stream_app.delivery.faulty_records import MOST_IN_A_ROW
from stream_app.errors import Stop
from tests.unit.delivery.test_delivery import LABELS, PAYMENTS
from tests.unit.delivery.world import World, payment

POISON = 666
REFUSED = frozenset({3, 6})
"""Offsets; each is the first of its batch."""


def poisoned() -> World:
    """Two payments among the others on which the model breaks."""
    world = World(poison=frozenset({POISON}))
    payments = list(PAYMENTS)
    for at in (5, 10):
        payments[at] = payment(f"T{at}", float(POISON), at * 3_600_000)
    world.send(payments, LABELS)
    return world


def test_the_culprits_are_dead_lettered_with_what_was_raised_and_their_neighbours_decided() -> None:
    """Neither is counted; everything else is, exactly once."""
    world = poisoned()
    assert world.run() == "done"
    assert world.codes() == {4: "not_json", 5: "scoring_failed", 10: "scoring_failed", 11: "not_json"}
    letter = next(r for r in world.topics.logs["dlq", 0] if dict(r.headers)["source.offset"] == b"5")
    assert dict(letter.headers)["error.message"] == b"The record could not be scored: ZeroDivisionError: amount 666."
    without = World()
    without.send([b"left out" if i in {5, 10} else p for i, p in enumerate(PAYMENTS)], LABELS)
    without.run()
    assert world.published("scores") == without.published("scores")
    assert world.published("alerts") == without.published("alerts")
    assert world.state() == without.state()


@pytest.mark.parametrize("effects", range(0, 60, 3))
def test_a_worker_killed_while_it_looks_for_the_culprit_doubles_nothing(effects: int) -> None:
    """Rule 6 of `already_published`: the next owner finds what was published, dead letters too."""
    whole = poisoned()
    whole.run()
    world = poisoned()
    world.run(kill_after=effects)
    assert world.run() == "done"
    assert world.codes() == whole.codes()
    assert len(world.refused()) == len(whole.refused())
    assert sorted(m.offset for m in world.published("scores")) == [m.offset for m in whole.published("scores")]
    assert world.state() == whole.state()


def too_large() -> World:
    """Two payments whose decisions no topic takes."""
    world = World(too_large=REFUSED)
    world.send(PAYMENTS, LABELS)
    return world


def test_a_decision_that_no_topic_takes_is_a_dead_letter_and_its_neighbours_are_published_once() -> None:
    """Rule 4 of `partition`: they were out when it was refused: taken record by record, each is looked for first. The refused ones are not counted."""
    world = too_large()
    assert world.run() == "done"
    assert {code for offset, code in world.codes().items() if offset in REFUSED} == {"decision_too_large"}
    without = World()
    without.send([b"left out" if i in REFUSED else p for i, p in enumerate(PAYMENTS)], LABELS)
    without.run()
    assert world.published("scores") == without.published("scores")
    assert world.published("alerts") == without.published("alerts")
    assert world.state() == without.state()


@pytest.mark.parametrize("effects", range(0, 60, 3))
def test_a_worker_killed_while_decisions_are_refused_doubles_nothing(effects: int) -> None:
    """Rule 5 of `partition`: where outputs are read from stays until the cursor has passed the whole batch."""
    whole = too_large()
    whole.run()
    world = too_large()
    world.run(kill_after=effects)
    assert world.run() == "done"
    assert world.codes() == whole.codes()
    assert sorted(m.offset for m in world.published("scores")) == [m.offset for m in whole.published("scores")]
    assert world.state() == whole.state()


def test_where_every_record_fails_the_worker_stops() -> None:
    """The model is broken, not the records: only so many are dead-lettered."""
    world = World(poison=frozenset({POISON}))
    world.send([payment(f"T{i}", float(POISON), i) for i in range(40)])
    with pytest.raises(Stop, match="the fault is not theirs"):
        world.run()
    assert len(world.refused()) == MOST_IN_A_ROW
