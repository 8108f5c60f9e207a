"""A partition's cursor says which tiles are kept and since when, whoever takes it over."""

from __future__ import annotations

import msgspec

from stream_app.features.aggregations import HORIZON_S
from stream_app.features.entities import KEPT_BY_DEFAULT
from stream_app.features.kept_tiles import NOTHING, KeptTiles, goes_on, kept_layouts, kept_text, read_kept
from stream_app.scoring.positions import Cursor
from tests.later import of_later_layout
from tests.topics import MemoryTopics
from tests.unit.delivery.test_delivery import LABELS, PAYMENTS
from tests.unit.delivery.test_future import many
from tests.unit.delivery.world import World
from tests.unit.scoring.test_scorer import NOW


def _decided() -> World:
    world = World()
    world.send(PAYMENTS[:6], LABELS)
    assert world.run() == "done"
    return world


def _cursor(world: World) -> Cursor:
    cursor = world.store.kept[0].cursor
    assert cursor is not None
    return cursor


def _kept(world: World) -> KeptTiles:
    return read_kept(_cursor(world).kept)


def _as(world: World, kept: KeptTiles, by: int = 0) -> None:
    """As if a version had left the partition that kept these tiles."""
    world.store.kept[0].cursor = msgspec.structs.replace(of_later_layout(_cursor(world), by), kept=kept_text(kept))


def test_state_that_began_with_its_topics_keeps_everything_since_ever() -> None:
    """And goes on to, through takeovers and after it was lost."""
    world = _decided()
    ever = goes_on(NOTHING, kept_layouts(KEPT_BY_DEFAULT), 0)
    assert _kept(world) == ever
    world.send(PAYMENTS[6:])
    assert world.run() == "done"
    assert _kept(world) == ever
    world.commit()
    world.lose_all()
    assert world.run() == "done"
    assert _kept(world) == ever


def test_what_a_new_version_keeps_more_begins_with_its_takeover() -> None:
    """A version that knew less had it; the next takeover changes nothing; a cursor that does not say what it keeps begins anew with all."""
    world = _decided()
    ever = _kept(world)
    less = {ring: of for ring, of in ever.items() if ring.entity == "card"}
    _as(world, less)
    for _ in range(2):
        assert world.run() == "done"
        assert _kept(world) == goes_on(less, kept_layouts(KEPT_BY_DEFAULT), NOW)
        assert {of.since_ms for ring, of in _kept(world).items() if ring.entity == "terminal"} == {NOW}
    _as(world, NOTHING)
    assert world.run() == "done"
    assert {of.since_ms for of in _kept(world).values()} == {NOW}


def test_what_a_later_version_keeps_stands() -> None:
    """Its rows are not written by this version: nothing of theirs is lost."""
    world = _decided()
    more = {ring._replace(entity="merchant"): of for ring, of in _kept(world).items()} | dict(_kept(world))
    _as(world, more, by=1)
    assert world.run() == "done"
    assert _kept(world) == more


def test_state_made_from_topics_that_were_cut_keeps_what_they_kept() -> None:
    """Since their oldest payment: a horizon before all windows are full."""
    world = World(MemoryTopics(now_ms=NOW, first={("transactions", 0): 1}))
    world.send(many(10))
    world.topics.commits = {("transactions", 0): 10, ("labels", 0): 0}
    assert world.run() == "done"
    assert {of.since_ms for of in _kept(world).values()} == {_cursor(world).full_from_ms - HORIZON_S * 1000}
    assert NOW <= _cursor(world).full_from_ms - HORIZON_S * 1000 < NOW + 86_400_000
