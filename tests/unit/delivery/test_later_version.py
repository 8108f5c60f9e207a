"""A partition whose state a later version wrote: decided all the same, left as it is, and counted by the version that can."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.scoring.positions import Position
from tests.examples import examples
from tests.later import later, of_later_layout, of_today
from tests.unit.delivery.test_delivery import LABELS, PAYMENTS
from tests.unit.delivery.world import World

KEYS = ("c:c0", "c:c1", "t:t1")
NO_ALERTS = 1.0


def changed(world: World, keys: tuple[str, ...], change: Callable[[bytes], bytes]) -> None:
    """Do this to values of the partition, those that there are."""
    values = world.store.kept[0].values
    values.update({key: change(values[key]) for key in keys if key in values})


def laid_out(world: World, by: int) -> None:
    """As if a version had taken the partition over whose rows keep so much more, and had written nothing yet."""
    kept = world.store.kept[0]
    assert kept.cursor is not None
    kept.cursor = of_later_layout(kept.cursor, by)


def sent(world: World, first: int, end: int) -> None:
    """Send some of the payments, with the labels before all."""
    world.send(PAYMENTS[first:end], LABELS if not first else ())


def undisturbed(threshold: float | None = None) -> World:
    """What should come out."""
    world = World(threshold=threshold)
    sent(world, 0, len(PAYMENTS))
    assert world.run() == "done"
    return world


EXPECTED = undisturbed(NO_ALERTS)


def assert_as_undisturbed(world: World) -> None:
    """Each payment decided once, each refused once, and every one counted once."""
    assert sorted(m.offset for m in world.published("scores")) == [m.offset for m in EXPECTED.published("scores")]
    assert sorted(world.refused()) == sorted(EXPECTED.refused())
    assert world.state() == EXPECTED.state()


@pytest.mark.parametrize("keys", [KEYS, KEYS[:1], KEYS[2:]])
def test_what_was_decided_without_the_state_of_a_later_version_is_counted_when_that_version_is_back(keys: tuple[str, ...]) -> None:
    """Nothing of it is written meanwhile; the cursor stays, `decided` goes on; nothing is published twice."""
    world = World(threshold=NO_ALERTS)
    sent(world, 0, 6)
    world.run()
    changed(world, keys, later)
    left, before = world.state(), world.store.kept[0].cursor
    sent(world, 6, 12)
    assert world.run() == "done"
    cursor = world.store.kept[0].cursor
    assert before is not None
    assert cursor is not None
    assert world.state() == left
    assert cursor.position == before.position
    assert cursor.decided == Position(12, 3)
    assert world.seen.counts["degraded"] == 5
    changed(world, keys, of_today)
    sent(world, 12, len(PAYMENTS))
    assert world.run() == "done"
    assert_as_undisturbed(world)


def test_rows_of_a_later_layout_are_left_alone_and_what_was_decided_meanwhile_is_counted_when_that_version_is_back() -> None:
    """All values can be read, and none is written: it would lose the tiles that this version has no place for. Every decision is degraded, the first too."""
    world = World(threshold=NO_ALERTS)
    sent(world, 0, 6)
    world.run()
    laid_out(world, 1)
    left, before = world.state(), world.store.kept[0].cursor
    sent(world, 6, 12)
    assert world.run() == "done"
    cursor = world.store.kept[0].cursor
    assert before is not None
    assert cursor is not None
    assert world.state() == left
    assert (cursor.position, cursor.decided, cursor.layout) == (before.position, Position(12, 3), before.layout)
    assert world.seen.counts["degraded"] == 5
    laid_out(world, 0)
    sent(world, 12, len(PAYMENTS))
    assert world.run() == "done"
    assert_as_undisturbed(world)


def test_a_score_whose_alert_stands_says_that_its_features_lack_the_state_that_is_left_alone() -> None:
    """The alert was published upon the whole state, by a worker that was killed before the score: the decision stands, the score's vector is of now."""
    found = []
    for effects in range(12):
        world = World()
        sent(world, 0, 6)
        world.run()
        sent(world, 6, 7)
        world.run(kill_after=effects)
        laid_out(world, 1)
        assert world.run() == "done"
        logs = world.topics.logs
        if "source.stands" in dict(logs["scores", 0][-1].headers):
            found.append(tuple(msgspec.json.decode(logs[topic, 0][-1].value or b"")["degraded"] for topic in ("alerts", "scores")))
    assert set(found) == {(None, "a later version wrote state of partition 0, which this one cannot go on with")}


def test_labels_that_came_while_state_was_left_alone_are_counted_when_that_version_is_back() -> None:
    """Their outcome is unknown. No note says that they were there: it would be read as one of a label that is sent again, and not be counted."""
    world = World(threshold=NO_ALERTS)
    world.send(PAYMENTS[:6], ())
    world.run()
    changed(world, KEYS, later)
    world.send(PAYMENTS[6:12], LABELS)
    assert world.run() == "done"
    assert (world.seen.outcomes, world.seen.unknown) == ({}, len(LABELS))
    changed(world, KEYS, of_today)
    world.send(PAYMENTS[12:], ())
    assert world.run() == "done"
    assert_as_undisturbed(world)


def test_a_case_that_began_without_the_state_of_a_later_version_goes_on_when_that_version_is_back() -> None:
    """What was alerted meanwhile is known again from the outputs: the next alert of the card is of the case that was told last."""
    world = World()
    sent(world, 0, 6)
    world.run()
    changed(world, KEYS, later)
    sent(world, 6, 12)
    world.run()
    changed(world, KEYS, of_today)
    sent(world, 12, len(PAYMENTS))
    assert world.run() == "done"
    cases = {m.offset: m.case for m in world.published("alerts")}
    assert sorted(cases) == [0, 3, 6, 9, 12, 15]
    assert cases[6] != cases[0]
    assert (cases[12], cases[15]) == (cases[6], cases[9])


@pytest.mark.parametrize("effects", range(40))
def test_a_worker_killed_while_it_leaves_state_alone_loses_and_doubles_nothing(effects: int) -> None:
    """Before and after each message and each write; the next one leaves it alone as well."""
    world = World(threshold=NO_ALERTS)
    sent(world, 0, 5)
    world.run()
    changed(world, KEYS, later)
    sent(world, 5, 11)
    world.run(kill_after=effects)
    assert world.run() == "done"
    changed(world, KEYS, of_today)
    sent(world, 11, len(PAYMENTS))
    assert world.run() == "done"
    assert_as_undisturbed(world)


STEP = st.tuples(st.sampled_from(["later", "layout", "today", "kill", "send"]), st.integers(0, 12))


@examples(150)
@given(st.lists(STEP, max_size=12))
def test_versions_may_come_and_go_and_die_in_any_order(steps: list[tuple[str, int]]) -> None:
    """Rule 8 of `partition`: a later version writes some values, they are readable again, workers are killed; in the end each payment counts once."""
    world, done = World(threshold=NO_ALERTS), 0
    for step, number in steps:
        if 0 in world.store.kept and step in {"later", "today"}:
            keys = tuple(key for n, key in enumerate(KEYS) if number >> n & 1)
            values = world.store.kept[0].values
            changed(world, tuple(k for k in keys if k in values and of_today(values[k]) == values[k]), later)
            if step == "today":
                changed(world, KEYS, of_today)
                laid_out(world, 0)
        elif step == "layout" and 0 in world.store.kept and world.store.kept[0].cursor is not None:
            laid_out(world, 1)
        elif step == "kill":
            world.run(kill_after=number)
        elif step == "send":
            sent(world, done, done + number)
            done = max(done, min(len(PAYMENTS), done + number))
            world.run()
    if 0 in world.store.kept:
        changed(world, KEYS, of_today)
    if 0 in world.store.kept and world.store.kept[0].cursor is not None:
        laid_out(world, 0)
    if done < len(PAYMENTS):
        sent(world, done, len(PAYMENTS))
    assert world.run() == "done"
    assert_as_undisturbed(world)
    assert msgspec.json.encode(world.store.kept[0].cursor).endswith(b'"format":2}')
