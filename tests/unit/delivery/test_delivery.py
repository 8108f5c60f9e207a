"""The promise: whatever is killed, lost or rolled back, every payment is decided once, published once, counted once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.delivery.rebuild import REACH_S
from stream_app.errors import TopologyError, Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.features.compute import Vectors
from stream_app.features.plan import catalogue_plan
from stream_app.messages.alert import alert_id_of
from stream_app.scoring.ports import Scores
from tests.examples import examples
from tests.topics import Kept, MemoryTopics
from tests.unit.delivery.world import BATCH, Publishing, World, Writing, payment
from tests.unit.scoring.test_scorer import NOW, START, FakeModel

HOUR = 3_600_000
PAYMENTS: list[dict[str, Any] | bytes] = [
    b"not a payment" if i in {4, 11} else payment(f"T{i}", 900.0 if i % 3 == 0 else 20.0, i * HOUR, card_id=f"c{i % 2}") for i in range(16)
]
LABELS = [
    {k: v for k, v in payment(f"T{i}", 900.0, i * HOUR, card_id=f"c{i % 2}").items() if k != "currency"}
    | {"is_fraud": True, "labelled_at": payment("", at=(i + 2) * HOUR)["event_time"]}
    for i in (0, 3, 6)
]


def undisturbed() -> World:
    """What should come out."""
    world = World()
    world.send(PAYMENTS, LABELS)
    assert world.run() == "done"
    return world


EXPECTED = undisturbed()


def test_there_is_something_to_lose() -> None:
    """What is expected below is not nothing: decisions, alerts in two cases, dead letters, state of two cards and their terminal."""
    assert [m.offset for m in EXPECTED.published("scores")] == [i for i in range(16) if i not in {4, 11}]
    first, second = alert_id_of("c0", "T0"), alert_id_of("c1", "T3")
    assert [(m.offset, m.case) for m in EXPECTED.published("alerts")] == [
        (0, first),
        (3, second),
        (6, first),
        (9, second),
        (12, first),
        (15, second),
    ]
    assert EXPECTED.refused() == [b"4", b"11"]
    assert sorted(EXPECTED.state()) == ["c:c0", "c:c1", "t:t1"]


def assert_as_undisturbed(world: World) -> None:
    """Each decision and dead letter once, and the same; the same state."""
    for topic in ("scores", "alerts"):
        found = world.published(topic)
        assert sorted(found, key=lambda m: m.offset) == EXPECTED.published(topic), topic
    assert sorted(world.refused()) == sorted(EXPECTED.refused())
    assert world.state() == EXPECTED.state()


@pytest.mark.parametrize("effects", range(60))
def test_a_worker_killed_at_any_effect_leaves_nothing_lost_and_nothing_doubled(effects: int) -> None:
    """Rule 5 of `already_published`: before and after each message and each write of the whole run, its first takeover included."""
    world = World()
    world.send(PAYMENTS, LABELS)
    world.run(kill_after=effects)
    assert world.run() == "done"
    assert_as_undisturbed(world)


FAULT = st.one_of(
    st.tuples(st.just("kill"), st.integers(0, 25)),
    st.tuples(st.just("flush"), st.just(0)),
    st.tuples(st.just("back"), st.integers(1, 4)),
    st.tuples(st.just("commit"), st.just(0)),
    st.tuples(st.just("send"), st.integers(1, 6)),
)


@examples(300)
@given(st.lists(FAULT, max_size=12))
def test_any_run_of_kills_losses_and_rollbacks_ends_as_if_nothing_had_happened(faults: list[tuple[str, int]]) -> None:
    """Payments arrive bit by bit between faults; Kafka's committed offset lags as it likes."""
    world, sent = World(), 0
    for fault, number in faults:
        if fault == "send":
            world.send(PAYMENTS[sent : sent + number], LABELS if not sent else ())
            sent += number
            world.run()
        elif fault == "kill":
            world.run(kill_after=number)
        elif fault == "flush":
            world.lose_all()
        elif fault == "back":
            world.go_back(number)
        elif 0 in world.store.kept and world.store.kept[0].cursor:
            world.commit()
    world.send(PAYMENTS[sent:], () if sent else LABELS)
    assert world.run() == "done"
    assert_as_undisturbed(world)


def test_a_step_whose_server_is_away_is_done_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 3 of `partition`: the first publication fails, and the first write: features and scores are made once all the same."""
    scored: list[int] = []

    def once_away(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        failures = [Unavailable("It is away.")]

        async def around(*given: Any) -> Any:
            if failures:
                raise failures.pop()
            return await original(*given)

        return around

    def told(self: FakeModel, vectors: Vectors) -> Scores:
        scored.append(len(vectors))
        return score(self, vectors)

    score = FakeModel.score
    monkeypatch.setattr(FakeModel, "score", told)
    monkeypatch.setattr(Publishing, "publish", once_away(Publishing.publish))
    monkeypatch.setattr(Writing, "write", once_away(Writing.write))
    world = World()
    world.send(PAYMENTS, LABELS)
    assert world.run() == "done"
    assert_as_undisturbed(world)
    assert sum(scored) == len(EXPECTED.published("scores"))


def test_a_redis_that_went_back_is_told_to_others_before_the_first_payment_is_counted_again() -> None:
    """Rule 2 of `already_published`: parts that lack decided payments are not whole, however whole they look; nothing is decided again."""
    world = World()
    for part, labels in ((PAYMENTS[:2], LABELS), (PAYMENTS[2:], ())):
        world.send(part, labels)
        assert world.run() == "done"
    scored = world.seen.counts["scored"]
    world.go_back(2)
    assert world.run(kill_after=2) == "killed"
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    assert cursor.rebuilding
    assert world.run() == "done"
    assert_as_undisturbed(world)
    assert world.seen.counts["scored"] - scored <= BATCH


def test_lost_state_is_rebuilt_without_a_word() -> None:
    """Rule 2 of `partition`: nothing is published again; what was decided is counted again, and said so."""
    world = undisturbed()
    world.commit()
    world.lose_all()
    assert world.run() == "done"
    assert_as_undisturbed(world)
    assert world.seen.counts["rebuilt"] == len(EXPECTED.published("scores"))
    assert world.seen.counts["scored"] == len(EXPECTED.published("scores"))


def test_a_rebuilt_card_has_every_tile_that_it_had() -> None:
    """The first payment is 38 days and 22 hours old, in the oldest day that the card holds: one of yesterday that comes late sees it still."""
    world = World()
    for n, at in enumerate((HOUR, *range(38 * DAY_MS + 23 * HOUR, 39 * DAY_MS, HOUR // 12))):
        world.topics.now_ms = START + at
        world.send([payment(f"T{n}", 20.0, at)])
    assert world.run() == "done"
    before = world.state()
    world.commit()
    world.lose_all()
    assert world.run() == "done"
    assert world.state() == before


def test_a_rebuild_reads_as_far_back_as_any_ring_reaches() -> None:
    """And no further: a longer ring would need more of the topics."""
    rings = [ring for entity in catalogue_plan().entities for ring in entity.layout.table]
    assert max(ring["hop_ms"] * ring["tiles"] for ring in rings) == REACH_S * 1000


def test_a_rebuild_counts_no_dead_letter_again() -> None:
    """Each was counted when it was written."""
    world = World()
    world.send([b"left out" if i % 5 == 0 else p for i, p in enumerate(PAYMENTS)], LABELS)
    world.run()
    world.commit()
    letters = dict(world.seen.letters)
    assert sum(letters.values()) >= len(world.codes()) >= len(PAYMENTS[::5])
    world.lose_all()
    assert world.run() == "done"
    assert world.seen.counts["rebuilt"]
    assert world.seen.letters == letters


def test_without_a_commit_the_outputs_tell_what_was_decided() -> None:
    """Rules 1 and 2 of `already_published`: Kafka's committed offset may be gone with the group; below the last batch everything was decided."""
    world = undisturbed()
    world.lose_all()
    assert world.run() == "done"
    assert_as_undisturbed(world)
    assert world.seen.counts["rebuilt"] == len([m for m in EXPECTED.published("scores") if m.offset < len(PAYMENTS) // BATCH * BATCH])


def test_an_alert_further_on_stands_though_others_are_found_before_it() -> None:
    """Rule 6 of `partition`, Rule 3 of `already_published`: only alerts are published, Redis goes back, the threshold is lower now.

    What stands further on is still known after another kill.
    """
    world = World(scores="", at_once=10)
    sent = [payment(f"T{i}", 900.0 if i in {4, 7} else 20.0, i * HOUR) for i in range(10)]
    world.send(sent[:1])
    world.run()
    world.send(sent[1:])
    world.run()
    world.go_back(2)
    world.threshold, world.at_once = 0.01, 3
    assert world.run(kill_after=6) == "killed"
    assert world.run() == "done"
    offsets = [m.offset for m in world.published("alerts")]
    assert len(offsets) == len(set(offsets))
    assert set(offsets) == set(range(1, 10))


def test_a_cursor_of_topics_that_are_gone_says_nothing_of_those_that_are_there() -> None:
    """Redis lost all, the topics were made anew, and the worker still remembers how far it was: all is decided that the new topics hold."""
    world = undisturbed()
    remembered = world.store.kept[0].cursor
    world.lose_all()
    world.topics = MemoryTopics(now_ms=world.topics.now_ms, ids={"transactions": "another"})
    world.send(PAYMENTS[:4])
    assert world.run(remembered=remembered) == "done"
    assert [m.offset for m in world.published("scores")] == [0, 1, 2, 3]


def test_where_topics_keep_less_than_the_windows_need_decisions_are_degraded_until_they_are_full() -> None:
    """Rule 7 of `partition`: state was lost, and retention removed the first records: from then on each decision says so, for one horizon."""
    world = World()
    world.send(PAYMENTS[:8])
    world.run()
    world.commit()
    world.lose_all()
    world.topics.first["transactions", 0] = 3
    world.send(PAYMENTS[8:10])
    assert world.run() == "done"
    assert world.seen.counts["degraded"] == 2
    world.topics.now_ms += 39 * 24 * HOUR
    world.send(PAYMENTS[12:14])
    assert world.run() == "done"
    assert world.seen.counts["degraded"] == 2


def test_no_payment_takes_the_mark_off_those_beside_it() -> None:
    """Rule 7 of `partition`: of a batch one has a Kafka timestamp from when the windows are full, by a producer whose clock is ahead."""
    world = World(at_once=10)
    world.send(PAYMENTS[:8])
    world.run()
    world.commit()
    world.lose_all()
    world.topics.first["transactions", 0] = 3
    world.send(PAYMENTS[8:10])
    world.topics.now_ms += 39 * 24 * HOUR
    world.send(PAYMENTS[10:11])
    world.topics.now_ms -= 39 * 24 * HOUR
    assert world.run() == "done"
    assert world.seen.counts["degraded"] == 3


def _made_anew(world: World) -> None:
    world.topics.ids["transactions"] = "another"


def _cut(world: World) -> None:
    del world.topics.logs["transactions", 0][5:]


def _grown_again(world: World) -> None:
    for topic in ("transactions", "labels"):
        log = world.topics.logs[topic, 0]
        del log[-2:]
        for i in range(3):
            world.topics.append((topic, 0), b"c0", b"another %d" % i)


def _of_another_time(world: World) -> None:
    log = world.topics.logs["transactions", 0]
    log[-1] = replace(log[-1], timestamp=log[-1].timestamp + 1)


def _gone(world: World) -> None:
    del world.topics.logs["labels", 0][-1]
    world.topics.logs["labels", 0].append(Kept(3, NOW, b"c0", b"a mark stood before it"))
    world.topics.logs["labels", 0].append(Kept(4, NOW, b"c0", b"and another"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_made_anew, "deleted and made again"),
        (_cut, "ends at 5"),
        (_grown_again, "'transactions' was cut and has grown again: at offset 15"),
        (_of_another_time, "'transactions' was cut and has grown again: at offset 15"),
        (_gone, "'labels' was cut and has grown again: at offset 2"),
    ],
)
def test_topics_that_are_not_those_of_the_state_stop_the_worker(change: Any, told: str) -> None:
    """One line with the topic and what to do; nothing is decided."""
    world = undisturbed()
    change(world)
    with pytest.raises(TopologyError, match=told) as stopped:
        world.run()
    assert "FRAUDSTREAM_CONSUMER_GROUP" in str(stopped.value)


def test_a_log_that_grew_again_stops_a_worker_that_would_rebuild_damaged_state_too() -> None:
    """What was decided of it is known from its cursor: records in the place of those are not taken for decided."""
    world = undisturbed()
    remembered = world.store.kept[0].cursor
    world.lose_all()
    _grown_again(world)
    with pytest.raises(TopologyError, match="has grown again"):
        world.run(remembered=remembered)


@pytest.mark.parametrize("topic", ["transactions", "labels"])
def test_a_last_record_that_is_not_kept_any_longer_stops_nobody(topic: str) -> None:
    """Retention removes from the begin; compaction anywhere; marks of transactions stand behind it."""
    world = undisturbed()
    log = world.topics.logs[topic, 0]
    world.topics.first[topic, 0] = len(log)
    assert world.run() == "done"
    world.topics.first.clear()
    log[-1] = replace(log[-1], offset=-1)
    world.topics.compact.add(topic)
    assert world.run() == "done"


def test_another_topic_under_the_same_group_stops_the_worker_and_is_named_with_the_former() -> None:
    """Its first payments would be taken for decided. Either setting, or a group of its own, mends it."""
    world = undisturbed()
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    for names, setting in (
        ({"former": "id", "labels": "id-of-labels"}, "FRAUDSTREAM_TRANSACTIONS_TOPIC=transactions"),
        ({"transactions": "id-of-transactions", "former": "id"}, "FRAUDSTREAM_LABELS_TOPIC=labels"),
    ):
        last = {topic: kept for topic, kept in cursor.last.items() if topic in names}
        world.store.kept[0].cursor = msgspec.structs.replace(cursor, topic_ids=names, last=last)
        with pytest.raises(TopologyError, match=f"'former'.*{setting}.*FRAUDSTREAM_CONSUMER_GROUP"):
            world.run()


def test_a_cursor_without_its_last_records_gets_them_at_the_takeover() -> None:
    """One of a version before: a partition to which nothing comes is known again too."""
    world = undisturbed()
    whole = world.store.kept[0].cursor
    assert whole is not None
    assert {topic: last.offset for topic, last in whole.last.items()} == {"transactions": 15, "labels": 2}
    world.store.kept[0].cursor = msgspec.structs.replace(whole, last={})
    world.run()
    mended = world.store.kept[0].cursor
    assert mended is not None
    assert mended.last == whole.last
    _grown_again(world)
    with pytest.raises(TopologyError, match="has grown again"):
        world.run()


def test_a_running_worker_whose_log_is_read_from_below_where_it_stood_looks_whether_it_is_the_same() -> None:
    """A log that was cut sends its consumer back to its begin; a consumer that only went back is no fault."""
    world = World()
    world.send(PAYMENTS[:6])
    assert world.run(again=lambda: None) == "done"
    with pytest.raises(TopologyError, match="ends at 5"):
        world.run(again=lambda: _cut(world))
