"""A deployment that keeps state of more entities, or of fewer: what is not whole is rebuilt, what is not counted is not said to be."""

from __future__ import annotations

from typing import Any

from stream_app.features.entities import ALL, KEPT_BY_DEFAULT, in_order
from tests.unit.delivery.world import World
from tests.unit.scoring.test_scorer import payment

HOUR = 3_600_000
NAMED = {"merchant_id": "shop", "mcc": "5411", "country": "FR", "ip": "203.0.113.7"}
BEFORE = [payment(f"T{n}", 20.0, n * HOUR, **NAMED) for n in range(8)]
MEANWHILE = [payment(f"U{n}", 20.0, (8 + n) * HOUR, **NAMED) for n in range(4)]
AFTER = [payment(f"V{n}", 20.0, (12 + n) * HOUR, **NAMED) for n in range(4)]


def told(world: World) -> tuple[str, ...]:
    """What its cursor says that there is whole state of."""
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    assert not cursor.rebuilding
    return cursor.entities


def shared(world: World) -> dict[str, Any]:
    """The values of what only some deployments keep."""
    return {key: value for key, value in world.state().items() if key.partition(":")[0] in {"m", "mc", "co", "i"}}


def test_what_is_not_asked_for_is_neither_counted_nor_said_to_be_kept() -> None:
    """By default: payments name a merchant, and there is no key of one."""
    world = World()
    world.send(BEFORE)
    assert world.run() == "done"
    assert told(world) == ("terminal", "device")
    assert not shared(world)


def test_an_entity_that_is_asked_for_later_is_whole_at_once_and_nothing_is_published_twice() -> None:
    """The partition is rebuilt from the topics; where it is let go of and asked for again, that is so again.

    keeps      few        all                     few            all
               BEFORE     rebuilt                 MEANWHILE      rebuilt, AFTER
    """
    world, always = World(), World()
    always.store.entities = ALL
    for sent, entities in ((BEFORE, KEPT_BY_DEFAULT), ([], ALL), (MEANWHILE, KEPT_BY_DEFAULT), ([], ALL), (AFTER, ALL)):
        world.send(sent)
        always.send(sent)
        world.store.entities = entities
        assert world.run() == "done"
        assert always.run() == "done"
        assert told(world) == in_order(entities)
        if entities == ALL:
            assert shared(world) == shared(always) != {}
    assert [(m.offset, m.score) for m in world.published("scores")] == [(m.offset, m.score) for m in always.published("scores")]
    assert len(world.published("scores")) == len(BEFORE + MEANWHILE + AFTER)
