"""Rules and lists changed by a process that follows them: what it answers is in force, and what would be refused is not written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

import msgspec
import pytest
from loguru import logger

from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.rule_desk import PutRule, RuleDesk, RuleTopicWriter
from stream_app.errors import NotFound, RuleError, Unavailable
from stream_app.rules.checkpoint import pieces_of
from stream_app.rules.lists import CardList, ListedValue, ListEntries, ListRemoval
from stream_app.rules.rule import ReleasePolicy, release_of
from stream_app.rules.tree import ListKind
from tests.unit.delivery.rule_desks import desk_of
from tests.unit.delivery.test_live_rules import LIST, Desk
from tests.unit.rules.made import rule
from tests.unit.scoring.test_scorer import payment

LARGE = rule("amount > 15", code="large")
SIGNED = ("ann", "for tests")


async def refused(step: Awaitable[Any], why: str) -> None:
    """A step that is refused."""
    with pytest.raises(RuleError, match=why):
        await step


def test_a_rule_that_is_put_and_released_decides_when_its_author_is_answered_and_no_more_when_it_is_disabled() -> None:
    """Put twice it is the same version; a live one must be confirmed; bands stay where nothing is said of them."""
    process = Desk()
    desk = desk_of(process)

    async def body() -> None:
        assert await desk.put([LARGE], "bob") == [PutRule(msgspec.structs.replace(LARGE, author="bob"), is_new=True)]
        assert [one.is_new for one in await desk.put([LARGE], "eve")] == [False]
        await refused(desk.release(["large"], SIGNED, msgspec.UNSET, ()), r"'large' would act on payments.*\"confirm\": \[\"large\"\]")
        await refused(desk.release(["none"], SIGNED, msgspec.UNSET, ()), "There is no rule 'none'; there are: large")
        done = await desk.release(["large"], SIGNED, ReleasePolicy(0.9, 0.9, 0.9), ["large"])
        assert done.changes == ("+ large 1 (live, review): amount > 15",)
        assert await process.alerted(payment("a", 20), payment("b", 10)) == ["a review"]
        held = len(process.rules.records or ())
        assert await desk.release(["large"], SIGNED, msgspec.UNSET, ()) == (done.name, ())
        assert len(process.rules.records or ()) == held, "what is in force already is not released again"
        await refused(desk.disable(["other"], SIGNED), "Rule 'other' is not in force; these are: large")
        assert (await desk.disable(["large"], SIGNED)).changes == ("- large 1 (live, review): amount > 15",)
        assert await process.alerted(payment("a", 20)) == []
        assert desk.live.in_force.policy == ReleasePolicy(0.9, 0.9, 0.9)
        await desk.release([], SIGNED, None, ())
        assert desk.live.in_force.policy is None

    process.run(body)


def test_a_release_leaves_the_rules_that_it_does_not_name_and_has_one_name_whatever_came_first() -> None:
    """What is put again as it is there is not written again."""
    process = Desk()
    desk = desk_of(process)

    async def body() -> None:
        await desk.put([LARGE, rule("amount < 5", code="small")], "ann")
        await desk.release(["large"], SIGNED, msgspec.UNSET, ["large"])
        both = await desk.release(["small"], SIGNED, msgspec.UNSET, ["small"])
        assert await process.alerted(payment("a", 20), payment("b", 2), payment("c", 10)) == ["a review", "b review"]
        await desk.disable(["large"], SIGNED)
        assert await process.alerted(payment("a", 20), payment("b", 2)) == ["b review"]
        assert (await desk.release(["large"], SIGNED, msgspec.UNSET, ["large"])).name == both.name
        held = list(process.rules.records or ())
        await desk.put([LARGE], "ann")
        assert process.rules.records == held

    process.run(body)


def test_a_rule_of_another_program_whose_list_is_not_there_is_not_released() -> None:
    """A record of the topic may ask any list: which there are is asked when it comes into force."""
    process = Desk()
    desk = desk_of(process)
    process.rules.put(rule("terminal_id in @none", code="asks"))

    async def body() -> None:
        await refused(desk.release(["asks"], SIGNED, msgspec.UNSET, ["asks"]), "asks list @none, which there is not")
        assert len(process.rules.records or ()) == 1

    process.run(body)


def test_where_approval_is_needed_a_live_rule_waits_for_another_person() -> None:
    """Its author is refused."""
    process = Desk()
    desk = desk_of(process, needs_approval=True)

    async def body() -> None:
        await desk.put([LARGE], "ann")
        await refused(desk.release(["large"], SIGNED, msgspec.UNSET, ["large"]), "Nobody approved large")
        await refused(desk.approve("large", None, "ann"), "its author cannot approve it")
        await refused(desk.approve("large", 2, "bob"), "There is no version 2 of rule 'large'")
        assert (await desk.approve("large", None, "bob")).version == 1
        await desk.release(["large"], SIGNED, msgspec.UNSET, ["large"])
        assert await process.alerted(payment("a", 20)) == ["a review"]

    process.run(body)


def test_a_list_that_is_changed_decides_when_its_author_is_answered() -> None:
    """Made, filled, emptied."""
    process = Desk()
    desk = desk_of(process)

    async def body() -> None:
        await desk.change_list(LIST)
        await desk.change_list(ListEntries("bad", (ListedValue("t1"),), "ann", "seen"))
        assert await process.alerted(payment("b", 10)) == ["b decline"]
        await desk.change_list(ListRemoval("bad", ("t1",), "ann", "over"))
        assert await process.alerted(payment("b", 10)) == []

    process.run(body)


def test_what_would_be_refused_is_not_written() -> None:
    """Rule 1 of `rule_desk`, of rules and lists, for the reasons of the commands; the topics stay as they were."""
    process = Desk()
    desk = desk_of(process)

    async def body() -> None:
        await desk.change_list(CardList("cards", "card", "block", "ann", "for tests"))
        await desk.change_list(LIST)
        before = len(process.rules.records or ()), len(process.lists.records or ())
        await refused(desk.put([LARGE, rule("amout > 15", code="wrong")], "ann"), "amout")
        await refused(desk.put([rule("terminal_id in @none", code="asks")], "ann"), "asks list @none, which there is not")
        await refused(desk.put([rule("terminal_id in @cards", code="asks")], "ann"), "cards")
        await refused(desk.release([], SIGNED, ReleasePolicy(0.9, 0.5, 0.9), ()), "must not fall")
        for change, why in (
            (ListEntries("none", (ListedValue("t1"),), "ann", "x"), "There is no list 'none'"),
            (ListEntries("cards", (ListedValue("4111111111111111"),), "ann", "x"), "this is a card number"),
            (ListEntries("bad", (ListedValue("t1", 10**12),), "ann", "x"), "is past"),
            (ListEntries("bad", (ListedValue("t1"), ListedValue("t1")), "ann", "x"), "stands twice"),
            (CardList("bad", "card", "block", "ann", "x"), "holds values of kind 'terminal'"),
        ):
            await refused(desk.change_list(change), why)
        assert (len(process.rules.records or ()), len(process.lists.records or ())) == before

    process.run(body)


def test_an_author_who_was_not_the_fastest_is_told_where_the_record_stands() -> None:
    """Rule 2 of `rule_desk`: another program wrote between the look and the record: the topic decides, and what is in force is the other's."""
    process = Desk()
    desk = desk_of(process)
    other = rule("amount > 5", code="other")

    async def faster(value: bytes) -> None:
        if b"release" in value:
            process.rules.put(other, release_of([other], "eve", "faster", None))

    write = desk._writer.write

    async def second(topic: str, value: bytes, checkpoint: int | None) -> int:
        await faster(value)
        return await write(topic, value, checkpoint)

    object.__setattr__(desk._writer, "write", second)

    async def body() -> None:
        await desk.put([LARGE], "ann")
        await refused(desk.release(["large"], SIGNED, msgspec.UNSET, ["large"]), "Another author was faster; this was written at offset 3")
        assert await process.alerted(payment("b", 10)) == ["b review"]

    process.run(body)


def test_changes_of_one_process_follow_one_another() -> None:
    """Rule 3 of `rule_desk`: asked for at the same time, each gets a version of its own."""
    process = Desk()
    desk = desk_of(process)

    async def body() -> None:
        put = await asyncio.gather(*(desk.put([rule(f"amount > {n}", code="one")], "ann") for n in range(5)))
        assert sorted(one.rule.version for (one,) in put) == [1, 2, 3, 4, 5]

    process.run(body)


def test_changes_of_lists_take_their_turn() -> None:
    """Each is held against all that came before it: of two that make one list of two kinds, the second is refused and not written."""
    process = Desk()
    desk = desk_of(process)
    kinds: tuple[ListKind, ...] = ("terminal", "card", "device")

    async def body() -> None:
        made = await asyncio.gather(
            *(desk.change_list(CardList("bad", kind, "block", "ann", "for tests")) for kind in kinds), return_exceptions=True
        )
        assert [type(one) for one in made] == [type(None), RuleError, RuleError]
        assert "Another author" not in " ".join(map(str, made))
        assert len(process.lists.records or ()) == 1

    process.run(body)


@pytest.mark.parametrize("change", ["put", "approve", "release", "disable"])
def test_the_log_of_rules_is_not_looked_at_while_a_record_is_taken_into_it(change: str) -> None:
    """A thread takes records: a look meanwhile would see half of one."""
    process = Desk()
    desk = desk_of(process)
    changes: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "put": lambda: desk.put([rule("amount > 1", code="small")], "ann"),
        "approve": lambda: desk.approve("large", None, "bob"),
        "release": lambda: desk.release([], SIGNED, ReleasePolicy(0.9, 0.9, 0.9), ()),
        "disable": lambda: desk.disable(["large"], SIGNED),
    }

    async def body() -> None:
        await desk.put([LARGE], "ann")
        await desk.release(["large"], SIGNED, msgspec.UNSET, ["large"])
        looks, log = list[str](), cast("Any", LiveRules.rules_log)

        def look(live: LiveRules) -> Any:
            looks.append(change)
            return log.__get__(live)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LiveRules, "rules_log", property(look))
            async with desk.live.reading:
                waiting = asyncio.create_task(changes[change]())
                for _ in range(50):
                    await asyncio.sleep(0)
                assert looks == []
            await waiting
            assert looks

    process.run(body)


def test_a_release_that_cannot_be_used_here_is_told_to_its_author() -> None:
    """It stands in the topic; the one before decides."""
    process = Desk()
    desk = desk_of(process)

    async def body() -> None:
        await desk.put([LARGE], "ann")
        process.broken = True
        await refused(desk.release(["large"], SIGNED, msgspec.UNSET, ["large"]), "is written, and cannot be used here")

    process.run(body)


def test_a_checkpoint_that_is_due_is_written_beside_the_answer() -> None:
    """Rule 4 of `rule_desk`, of the topic that was written to."""
    process, checkpoints = Desk(), list[str]()
    desk = desk_of(process, checkpoints)

    async def body() -> None:
        await desk.change_list(LIST)
        while not checkpoints:  # noqa: ASYNC110 - the caller bounds it
            await asyncio.sleep(0)

    process.run(body)
    assert checkpoints == ["lists"]


def test_a_checkpoint_that_is_not_due_is_not_written_and_one_that_fails_is_told_beside_the_answer() -> None:
    """The change stands; each record says where the newest whole checkpoint begins."""
    process, said, tries, begins = Desk(), list[str](), list[str](), list[int | None]()
    process.lists.put(*pieces_of(iter(()), "one", 0, 0))
    of_memory, due = desk_of(process)._writer, [False]
    sink = logger.add(said.append, level="WARNING", format="{message}")

    async def failing(topic: str) -> None:
        tries.append(topic)
        raise Unavailable("Kafka did not answer.")

    async def write(topic: str, value: bytes, checkpoint: int | None) -> int:
        begins.append(checkpoint)
        return await of_memory.write(topic, value, checkpoint)

    desk = RuleDesk(process.live, RuleTopicWriter(write, failing, lambda _: due[0]), needs_approval=False)

    async def body() -> None:
        await desk.change_list(LIST)
        for _ in range(50):
            await asyncio.sleep(0)
        assert tries == []
        due[0] = True
        await desk.change_list(ListEntries("bad", (ListedValue("t1"),), "ann", "seen"))
        while not said:  # noqa: ASYNC110 - the caller bounds it
            await asyncio.sleep(0)

    process.run(body)
    logger.remove(sink)
    assert (tries, begins) == (["lists"], [0, 0])
    assert said == ["No checkpoint of topic 'lists' was written; the next change tries again. Kafka did not answer.\n"]


def test_topics_that_are_not_there_or_not_read_yet_are_told() -> None:
    """The one with its remedy, the other as what may be tried again."""
    process = Desk()
    desk = desk_of(process)
    look: Callable[[], Any] = lambda: asyncio.run(desk.change_list(LIST))  # noqa: E731 - twice
    with pytest.raises(Unavailable, match="not read yet"):
        look()
    process.rules.records = process.lists.records = None

    async def body() -> None:
        with pytest.raises(NotFound, match="Topic 'rules' does not exist"):
            await desk.put([LARGE], "ann")
        with pytest.raises(NotFound, match="Topic 'lists' does not exist"):
            await desk.change_list(LIST)

    process.run(body)
