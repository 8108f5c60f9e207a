"""A time in the future: refused, and that stands; no record's time alone removes, rebuilds or hides anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.messages.majority import LEAST
from stream_app.scoring.already_published import Refusals
from tests.topics import Kept, MemoryTopics
from tests.unit.delivery.bank import Bank
from tests.unit.delivery.test_faulty_records import poisoned
from tests.unit.delivery.world import World, payment
from tests.unit.scoring.test_scorer import DAY, HOUR, NOW, START, FakeClock

MINUTE = HOUR // 60
AT = NOW - START
"""The present, as `payment` counts."""


def many(count: int = 300) -> list[dict[str, Any]]:
    """Payments of as many cards at as many terminals, now."""
    return [payment(f"L{n}", 20.0, AT - count + n, card_id=f"live{n}", terminal_id=f"live{n}") for n in range(count)]


def ahead(world: World, by_ms: int, *payments: dict[str, Any]) -> None:
    """Send payments whose producer has such a clock: their Kafka timestamps are ahead too."""
    world.topics.now_ms += by_ms
    world.send(payments)
    world.topics.now_ms -= by_ms


def far(by_ms: int, name: str = "F") -> dict[str, Any]:
    """A payment dated so far ahead."""
    return payment(name, 20.0, AT + by_ms, card_id="c-ahead", terminal_id="t-ahead")


def label_of(tx: dict[str, Any], at_ms: int) -> dict[str, Any]:
    """A label of it, given then."""
    return {k: v for k, v in tx.items() if k != "currency"} | {"is_fraud": True, "labelled_at": START + at_ms}


@pytest.fixture
def swept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each batch."""
    monkeypatch.setattr("stream_app.delivery.sweeper.EVERY_S", 0.0)


@pytest.mark.usefixtures("swept_often")
@pytest.mark.parametrize("clock_ahead", [0, 130 * DAY])
def test_one_payment_dated_129_days_ahead_removes_no_card(clock_ahead: int) -> None:
    """Its timestamp is ahead too. It is refused; by a clock that is as far ahead it is taken, and removes nothing either."""
    world = World(clock=FakeClock(NOW + clock_ahead))
    world.send(many(LEAST + 9))
    ahead(world, 129 * DAY, far(129 * DAY))
    world.send(many())
    assert world.run() == "done"
    assert {f"c:live{n}" for n in range(300)} | {f"t:live{n}" for n in range(300)} <= set(world.state())
    assert world.seen.counts["swept"] == 0
    assert world.codes() == ({} if clock_ahead else {LEAST + 9: "future"})


@pytest.mark.usefixtures("swept_often")
def test_where_most_payments_are_ahead_they_are_refused_and_remove_nothing() -> None:
    """The present is the clock's, whoever sends most."""
    world = World()
    world.send([payment("T0", 20.0, AT - DAY, card_id="old")])
    ahead(world, 200 * DAY, *[far(200 * DAY, f"F{n}") for n in range(3 * LEAST)])
    assert world.run() == "done"
    assert world.codes() == dict.fromkeys(range(1, 3 * LEAST + 1), "future")
    assert world.seen.counts["scored"] == 1
    assert "c:old" in world.state()


@settings(max_examples=25, deadline=None)
@given(
    good=st.integers(0, 40),
    bursts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 2 * LEAST)), min_size=1, max_size=2),
    by_ms=st.integers(HOUR + MINUTE, 400 * DAY),
    clock_ms=st.integers(-MINUTE, MINUTE),
    at_once=st.sampled_from([1, 3, 51, 1000]),
)
def test_whatever_one_producer_sends_at_once_from_a_wrong_clock_is_refused(
    good: int, bursts: list[tuple[int, int]], by_ms: int, clock_ms: int, at_once: int
) -> None:
    """Before, amid and after others, in batches of its own or with them, also to a fresh worker. None of the others is refused for it."""
    world = World(clock=FakeClock(NOW + clock_ms), at_once=at_once)
    wild = set[int]()
    sent = 0
    for place, count in sorted(bursts):
        world.send(many(40)[sent : min(place, good)])
        sent = max(sent, min(place, good))
        first = len(world.topics.logs["transactions", 0])
        ahead(world, by_ms, *[far(by_ms, f"F{first + n}") for n in range(count)])
        wild |= set(range(first, first + count))
    world.send(many(40)[sent:good])
    assert world.run() == "done"
    assert world.codes() == dict.fromkeys(wild, "future")
    assert not {"c:c-ahead", "t:t-ahead"} & set(world.state())
    assert world.seen.counts.get("scored", 0) == good


def refused_by_the_clock() -> World:
    """Two payments and a label dated two hours ahead, timestamps too, among others; both were refused."""
    world = World()
    world.send(many(4), [label_of(many(4)[0], AT - 1)])
    ahead(world, 2 * HOUR, far(2 * HOUR), payment("F2", 20.0, AT + 2 * HOUR, card_id="live0", terminal_id="live0"))
    world.topics.now_ms += 2 * HOUR
    world.send([], [label_of(many(4)[1], AT + 2 * HOUR)])
    world.topics.now_ms -= 2 * HOUR
    world.send(many(6)[4:], [label_of(many(4)[2], AT - 1)])
    return world


def test_what_the_clock_refused_stays_refused_when_its_time_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hours later the state is lost: the rebuilt one is as it was, and nothing is published for them, however old their letters are."""
    monkeypatch.setattr("stream_app.delivery.outputs.LOOK_BACK", 0)
    world = refused_by_the_clock()
    assert world.run() == "done"
    assert world.codes() == {4: "future", 5: "future"}
    assert [dict(r.headers)["source.offset"] for r in world.topics.logs["labels-dlq", 0]] == [b"1"]
    state, outputs = world.state(), {place: len(log) for place, log in world.topics.logs.items()}
    world.commit()
    world.clock.now += 3 * HOUR
    world.lose_all()
    assert world.run() == "done"
    assert world.state() == state
    assert {place: len(log) for place, log in world.topics.logs.items()} == outputs


def test_what_was_decided_is_counted_again_whatever_the_clock_says_then() -> None:
    """A clock that was two hours ahead took them; the next worker's is right."""
    world = refused_by_the_clock()
    world.clock.now += 2 * HOUR
    assert world.run() == "done"
    assert world.codes() == {}
    state = world.state()
    world.commit()
    world.clock.now -= 2 * HOUR
    world.lose_all()
    assert world.run() == "done"
    assert world.state() == state
    assert world.codes() == {}


@pytest.mark.parametrize("effects", range(0, 40, 3))
def test_a_letter_of_a_killed_worker_stands_whatever_the_clock_of_the_next_says(effects: int) -> None:
    """Published, and the state not written: a worker three hours later neither decides the record nor publishes the letter again."""
    world = refused_by_the_clock()
    first = world.run(kill_after=effects)
    refused = {int(offset) for offset in world.refused()}
    world.clock.now += 3 * HOUR
    assert world.run() == "done"
    scored = {m.offset for m in world.published("scores")}
    assert len(world.refused()) == len(set(world.refused()))
    assert refused <= {int(offset) for offset in world.refused()}
    assert scored.isdisjoint({int(offset) for offset in world.refused()})
    assert scored | {int(offset) for offset in world.refused()} == set(range(8))
    assert first in {"killed", "done"}


def test_a_record_that_broke_the_program_stays_out_of_a_rebuilt_state() -> None:
    """Whatever broke on it is mended by then: it was not decided, so it is not counted."""
    world = poisoned()
    assert world.run() == "done"
    state = world.state()
    world.commit()
    world.lose_all()
    world.poison = frozenset()
    assert world.run() == "done"
    assert world.state() == state
    assert list(world.codes().values()).count("scoring_failed") == 2


@pytest.mark.parametrize("wrong", [40 * DAY, -400 * DAY])
def test_the_last_records_timestamp_alone_does_not_say_where_a_rebuild_begins(wrong: int) -> None:
    """It lies 40 days ahead, or is of another year: everything is counted again, and nothing is marked degraded."""
    world = World()
    world.send(many(30))
    ahead(world, wrong, payment("last", 20.0, AT - 1 + min(0, wrong), card_id="last"))
    assert world.run() == "done"
    state = world.state()
    world.commit()
    world.lose_all()
    world.send([payment("next", 20.0, AT, card_id="next")])
    assert world.run() == "done"
    assert {name: value for name, value in world.state().items() if name in state and name != "t:t1"} == {
        name: value for name, value in state.items() if name != "t:t1"
    }
    assert world.seen.counts["rebuilt"] == 31
    assert world.seen.counts.get("degraded", 0) == 0
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    assert cursor.noted_from_ms == NOW


@pytest.mark.parametrize("wrong", [0, 2])
def test_the_first_record_that_is_kept_does_not_say_alone_when_the_windows_are_full(wrong: int) -> None:
    """Retention left a log that begins with two wild timestamps: windows are full one horizon after the others."""
    world = World(MemoryTopics(now_ms=NOW, first={("transactions", 0): 1}))
    world.send(many(1))
    ahead(world, 200 * DAY, *many(wrong))
    world.send(many(9)[wrong:])
    world.topics.commits = {("transactions", 0): 10, ("labels", 0): 0}
    assert world.run() == "done"
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    assert 38 * DAY <= cursor.full_from_ms - NOW < 39 * DAY


def test_another_number_of_partitions_leaves_out_what_the_clock_refused() -> None:
    """Its time has come when the command runs: the card is as the old group decided it, and what nobody decided is taken by the clock."""
    bank, without = Bank(1), Bank(1)
    for each in (bank, without):
        each.send("transactions", many(6))
    bank.topics.now_ms += 2 * HOUR
    bank.send("transactions", [payment("F", 20.0, AT + 2 * HOUR, card_id="live0", terminal_id="live0")])
    bank.topics.now_ms -= 2 * HOUR
    for each in (bank, without):
        each.work("old")
        each.partitions = 2
        each.clock.now += 3 * HOUR
        each.repartition("old", "new")
    assert len(bank.topics.logs["dlq", 0]) == 1
    for n in range(6):
        assert bank.card("new", f"live{n}") == without.card("new", f"live{n}")
    bank.work("new")
    assert "F" not in {name for name, *_ in bank.decisions()}


@given(offsets=st.lists(st.integers(0, 60), unique=True).map(sorted), refused=st.lists(st.integers(0, 70), max_size=12))
def test_records_without_those_that_were_refused(offsets: list[int], refused: list[int]) -> None:
    """Whatever gaps the log has, and however often a letter is there."""
    records = [Kept(offset, NOW, None, None) for offset in offsets]
    refusals = Refusals(refused)
    assert [r.offset for r in refusals.without(records)] == [offset for offset in offsets if offset not in refused]
    assert refusals.last == max(refused, default=-1)
