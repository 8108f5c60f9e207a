"""Rules of `store` that only the one in Redis needs: what other workers do between its round trips."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from stream_app.adapters.redis import entity_memory
from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.ports import FeatureStore
from stream_app.features.plan import NEWEST, catalogue_plan
from tests.contract.stores import START, in_redis, joined, moved, own, pay, run, taken, total, wrote
from tests.named_ids import ids_of

pytestmark = pytest.mark.servers


def between(line: Any, meanwhile: Callable[[Any], Awaitable[None]]) -> None:
    """Do something after the next round trip of a line, once; it is given the commands."""
    trip = line.round_trip

    async def with_it(commands: Any) -> Any:
        answers = await trip(commands)
        line.round_trip = trip
        await meanwhile(commands)
        return answers

    line.round_trip = with_it


def test_the_cursor_of_another_workers_partition_comes_in_one_command_with_the_parts(redis_url: str) -> None:
    """Rule 5 of `store`: nothing can be written between them."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        theirs, cursor = await taken(other, 1, 2)
        work = await theirs.read(ids_of(["c2"], ["t1"], ["d1"]))
        pay(work, [START])
        await wrote(theirs, work, moved(cursor, 1))
        ours, _ = await taken(store, 0, 2)
        assert isinstance(store, RedisStore)
        sent: list[Any] = []

        async def noted(commands: Any) -> None:
            sent.extend(commands)

        between(store._held[0]._line, noted)
        assert total(await ours.read(ids_of(["c1"], ["t1"], ["d1"])))[0, NEWEST] == START
        tag = store._held[0].space.all[1]
        of_theirs = [command for command in sent if any(str(key).startswith(tag) for key in command)]
        assert of_theirs == [("MGET", f"{tag}cursor", f"{tag}t:t1", f"{tag}d:d1")]

    run(in_redis(redis_url), test)


def test_a_takeover_forgets_what_was_read_while_the_owner_before_still_wrote(redis_url: str) -> None:
    """Rule 6 of `store`: taken back from another worker; after the look at the cursor our other partition reads a part that is then written."""

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        store.hold([0, 1], 2)
        ours, _ = await joined(store, 0)
        await joined(store, 1)
        theirs, cursor = await taken(other, 1, 2)
        assert isinstance(store, RedisStore)
        line_of = store._servers.line

        async def meanwhile(_: Any) -> None:
            assert not own(await ours.read(ids_of(["c1"], ["t1"], [])))[0, NEWEST]
            work = await theirs.read(ids_of(["c2"], ["t1"], []))
            pay(work, [START])
            await wrote(theirs, work, moved(cursor, 1))

        async def overtaken(tag: str) -> Any:
            line = await line_of(tag)
            between(line, meanwhile)
            return line

        vars(store._servers)["line"] = overtaken
        _, found = await store.take_over(1)
        assert found.transactions == 1
        assert total(await ours.read(ids_of(["c1"], ["t1"], [])))[0, NEWEST] == START

    run(in_redis(redis_url), test)


def test_a_read_under_which_sums_were_dropped_is_done_again(redis_url: str) -> None:
    """Rule 3 of `write_through`: between question and answer another partition of the worker fails; the terminal is asked for after all."""

    async def test(store: FeatureStore, _: FeatureStore) -> None:
        store.hold([0, 1], 2)
        ours, cursor = await joined(store, 0)
        fails, _cursor = await joined(store, 1)
        work = await ours.read(ids_of(["c1"], ["t1"], []))
        pay(work, [START])
        await wrote(ours, work, moved(cursor, 1))
        assert isinstance(store, RedisStore)

        async def failed(_: Any) -> None:
            fails.forget()

        between(store._held[0]._line, failed)
        assert total(await ours.read(ids_of(["c1"], ["t1"], [])))[0, NEWEST] == START

    run(in_redis(redis_url), test)


def test_what_is_counted_after_an_owner_was_told_of_damage_is_in_the_sums_that_others_read(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the mark is on its way another batch of the worker makes the array of sums larger: the payment must not be counted in the old one."""
    room = 16
    monkeypatch.setattr(entity_memory, "SHARED_MEMORY_BYTES", 8 * catalogue_plan().entities[1].layout.width * room)
    subject = in_redis(redis_url)

    async def test(store: FeatureStore, other: FeatureStore) -> None:
        store.hold([0, 1], 3)
        ours, cursor = await joined(store, 0)
        beside, _ = await joined(store, 1)
        theirs, of_theirs = await taken(other, 2, 3)
        work = await theirs.read(ids_of(["c2"], ["t1"], []))
        pay(work, [START])
        await wrote(theirs, work, moved(of_theirs, 1))
        await subject.replace(2, "t", "t1", lambda value: value[:-1])
        assert isinstance(store, RedisStore)
        line = store._held[0]._line

        async def read_much(_: Any) -> None:
            await beside.read(ids_of(["c9"], [f"other{n}" for n in range(3 * room)], []))

        async def told_next(_: Any) -> None:
            between(line, read_much)

        between(line, told_next)
        work = await ours.read(ids_of(["c1"], ["t1"], []))
        assert await subject.marked(2)
        pay(work, [START + 1])
        await wrote(ours, work, moved(cursor, 1))
        assert total(await beside.read(ids_of(["c9"], ["t1"], [])))[0, NEWEST] == START + 1

    run(subject, test)
