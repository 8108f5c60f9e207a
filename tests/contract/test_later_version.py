"""State that a later version wrote is not damaged: it is left as it is, nobody is told to rebuild it, and decisions without it are degraded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from stream_app.delivery.ports import FeatureStore, PartitionState
from stream_app.errors import NewerState, StateError
from stream_app.features.definitions import LAYOUT_VERSION
from stream_app.features.plan import NEWEST
from stream_app.scoring.positions import Cursor, Position
from tests.contract.stores import HOUR, START, Subject, cards, in_redis, joined, moved, own, pay, run, taken, total, wrote
from tests.contract.test_sweeping import LATER, swept
from tests.later import later, later_cursor, of_later_layout, of_today
from tests.named_ids import ids_of
from tests.redis_cluster import client_of

DOUBT = "a later version wrote state of partition {}, which this one cannot go on with"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is said meanwhile."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


async def paid(store: FeatureStore, partition: int, partitions: int, card: str = "c1", at: int = START) -> tuple[PartitionState, Cursor]:
    """A partition in which this card paid at terminal t1."""
    state, cursor = await taken(store, partition, partitions)
    work = await state.read(ids_of([card], ["t1"], []))
    pay(work, [at])
    await wrote(state, work, moved(cursor, 1))
    return state, moved(cursor, 1)


@pytest.mark.parametrize(("kind", "name"), [("c", "c1"), ("t", "t1")])
def test_a_partition_with_a_value_of_a_later_version_is_read_without_it_and_nothing_of_it_is_packed(
    subject: Subject, kind: str, name: str
) -> None:
    """Rule 8 of `write_through`: empty, degraded, and `of_newer` from then on, also for batches that do not need it; once it can be read again, all is as it was."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        await paid(store, 0, 1)
        await subject.replace(0, kind, name, later)
        state, cursor = await taken(store, 0, 1)
        for card, terminal in (("c1", "t1"), ("c2", "t2")):
            work = await state.read(ids_of([card], [terminal], []))
            assert work.seen[0].of_newer
            assert work.seen[0].degraded == DOUBT.format(0)
            pay(work, [START + HOUR])
            packed = state.pack(work, Position(2, 0))
            assert packed == []
            await state.write(packed, cursor)
        await subject.replace(0, kind, name, of_today)
        state, _cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1", "c2"], ["t1", "t2"], []))
        assert (work.seen[0].of_newer, work.seen[0].degraded) == (False, None)
        assert cards(work)[:, NEWEST].tolist() == [START, 0]
        assert own(work)[:, NEWEST].tolist() == [START, 0]

    run(subject, test)


def test_a_partition_of_a_later_layout_is_read_and_nothing_of_it_is_packed_until_it_is_begun_anew(subject: Subject) -> None:
    """Its values are read, and would lose tiles if they were written: from the first batch on, and whoever takes it over next. Others read its parts."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        state, cursor = await paid(store, 0, 2)
        await state.write([], of_later_layout(cursor))
        for _again in range(2):
            state, cursor = await taken(store, 0, 2)
            assert cursor.of_later_layout
            work = await state.read(ids_of(["c1", "c2"], ["t1"], []))
            assert (work.seen[0].of_newer, cards(work)[:, NEWEST].tolist(), own(work)[:, NEWEST].tolist()) == (True, [START, 0], [START])
            assert DOUBT.format(0) in str(work.seen[0].degraded)
            pay(work, [START + HOUR])
            packed = state.pack(work, Position(2, 0))
            assert packed == []
            await state.write(packed, cursor)
        theirs, _ = await taken(other, 1, 2)
        work = await theirs.read(ids_of(["c3"], ["t1"], []))
        assert (work.seen[0].of_newer, work.seen[0].degraded, total(work)[0, NEWEST]) == (False, None, START)
        await state.begin(of_later_layout(cursor, 0))
        assert not (await state.read(ids_of(["c1"], ["t1"], []))).seen[0].of_newer

    run(subject, test)


def test_a_cursor_of_an_earlier_layout_is_of_this_one_from_the_takeover_on(subject: Subject) -> None:
    """So the version before knows that its rows may hold more from then on, whichever of them is written first."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await paid(store, 0, 1)
        await state.write([], of_later_layout(cursor, -1))
        state, cursor = await taken(store, 0, 1)
        assert cursor.layout == LAYOUT_VERSION
        assert not (await state.read(ids_of(["c1"], ["t1"], []))).seen[0].of_newer

    run(subject, test)


def test_a_part_of_another_worker_that_a_later_version_wrote_condemns_nobody(subject: Subject) -> None:
    """Rule 7 of `store`: the reader counts what it can read of the same partition, and says so; no mark is set, the owner goes on."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        theirs, cursor = await paid(other, 1, 2)
        work = await theirs.read(ids_of(["c1"], ["t2"], []))
        pay(work, [START + HOUR])
        await wrote(theirs, work, moved(cursor, 2))
        await subject.replace(1, "t", "t1", later)
        ours, _ = await taken(store, 0, 2)
        work = await ours.read(ids_of(["c2"], ["t1", "t2"], []))
        assert work.seen[0].degraded == DOUBT.format(1)
        assert not work.seen[0].of_newer
        assert total(work)[:, NEWEST].tolist() == [0, START + HOUR]
        assert not await subject.marked(1)
        assert (await theirs.read(ids_of(["c1"], [], []))).seen[0].degraded is None

    run(subject, test)


def test_a_part_of_a_later_version_beside_a_damaged_one_hides_no_damage(subject: Subject) -> None:
    """Damage is found where both are read together, and named; garbage with a later version's number is damage."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        for partition, damage in enumerate((lambda value: value[:-1], lambda value: later(value)[:-1]), start=1):
            await paid(other, partition, 3)
            await subject.replace(partition, "t", "t1", damage)
        ours, _ = await taken(store, 0, 3)
        assert "the state of partition 1, 2 is being rebuilt" in str((await ours.read(ids_of(["c2"], ["t1"], []))).seen[0].degraded)
        assert await subject.marked(1)
        assert await subject.marked(2)

    run(subject, test)


def test_a_damaged_card_beside_one_of_a_later_version_is_damaged(subject: Subject) -> None:
    """StateError, as ever: what is newer excuses nothing."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1", "c2"], ["t1"], []))
        pay(work, [START, START], card=1)
        await wrote(state, work, moved(cursor, 1))
        await subject.replace(0, "c", "c1", later)
        await subject.replace(0, "c", "c2", lambda value: value[:-1])
        state, _cursor = await taken(store, 0, 1)
        with pytest.raises(StateError, match="c2") as raised:
            await state.read(ids_of(["c1", "c2"], [], []))
        assert not isinstance(raised.value, NewerState)

    run(subject, test)


@pytest.mark.servers
def test_a_later_part_in_another_partition_of_the_same_worker_leaves_that_one_alone(redis_url: str, told: list[str]) -> None:
    """Met by partition 0, where the sums are made: its decision is degraded; partition 1 is `of_newer` at its next batch. One line, not one a batch."""
    subject = in_redis(redis_url)

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        await paid(store, 1, 2)
        await subject.replace(1, "t", "t1", later)
        store.hold([0, 1], 2)
        first, second = [(await joined(store, partition))[0] for partition in (0, 1)]
        for _again in range(2):
            work = await first.read(ids_of(["c2"], ["t1"], []))
            assert (work.seen[0].of_newer, work.seen[0].degraded) == (False, DOUBT.format(1))
        work = await second.read(ids_of(["c1"], [], []))
        assert (work.seen[0].of_newer, work.seen[0].degraded) == (True, DOUBT.format(1))
        assert [line for line in told if "later version" in line] == [told[0]]

    run(subject, test)


def test_sweeping_passes_over_what_a_later_version_wrote(subject: Subject) -> None:
    """However idle it is: nobody here can say."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        state, _cursor = await paid(store, 0, 1)
        await subject.replace(0, "c", "c1", later)
        assert await swept(state, LATER) == 1
        await subject.replace(0, "c", "c1", of_today)
        state, _cursor = await taken(store, 0, 1)
        work = await state.read(ids_of(["c1"], ["t1"], []))
        assert cards(work)[0, NEWEST] == START
        assert not own(work).any()

    run(subject, test)


async def _cursor_of_tomorrow(url: str, partition: int, store: FeatureStore) -> None:
    key = f"{{{vars(store)['_group']}:{partition}}}cursor"
    async with client_of(url) as redis:
        found: Any = await redis.get(key)
        await redis.set(key, later_cursor(found))


@pytest.mark.servers
def test_a_cursor_of_a_later_format_is_read_by_its_format(redis_url: str) -> None:
    """Another worker's: what it holds is counted as far as it can be read, positions are nobody's guess, the decision is degraded. One's own: no takeover."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        await paid(other, 1, 2)
        await _cursor_of_tomorrow(redis_url, 1, other)
        ours, _ = await taken(store, 0, 2)
        work = await ours.read(ids_of(["c2"], ["t1"], []))
        assert work.seen[0].degraded == DOUBT.format(1)
        assert work.seen[0].positions is None
        assert total(work)[0, NEWEST] == START
        with pytest.raises(NewerState, match="has format 3; this version reads up to 2"):
            await taken(other, 1, 2)

    run(in_redis(redis_url), test)
