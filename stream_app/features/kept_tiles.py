"""Which tiles the rows of a partition keep, and since when: what a window needs before it is full. As text it stands in the partition's cursor.

A ring is kept since a time where all that came since is in it. One that is new is empty; one that was made longer holds what the shorter one
held; one that was not kept for a while begins anew. So a ring is known by what was kept before, and when this version took over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from types import MappingProxyType
from typing import NamedTuple

from stream_app.features.definitions import Feature
from stream_app.features.entities import KeptEntities
from stream_app.features.plan import RowLayout, Span, catalogue_plan, needs_of, terms_of


class Ring(NamedTuple):
    """Tiles of one quantity, of one width, of one entity."""

    entity: str
    hop_s: int
    quantity: int


class KeptRing(NamedTuple):
    """Of a ring: how many tiles it has, and since when they are kept, Unix ms; 0: ever since there are payments."""

    tiles: int
    since_ms: int


type KeptTiles = Mapping[Ring, KeptRing]

NOTHING: KeptTiles = MappingProxyType({})


def kept_layouts(kept: KeptEntities) -> list[RowLayout]:
    """The rows that this version has of these entities."""
    return [plan.layout for plan in catalogue_plan().entities if plan.entity in kept]


def goes_on(before: KeptTiles, layouts: Iterable[RowLayout], now_ms: int) -> KeptTiles:
    """What rows of these layouts keep from now on.

    Args:
        before: what was kept up to now.
        layouts: of each entity that state is kept of.
        now_ms: no payment that was counted before is from later on.
    """
    return {
        Ring(layout.entity, hop_s, int(quantity)): KeptRing(
            tiles, _since(before.get(Ring(layout.entity, hop_s, int(quantity))), tiles, hop_s, now_ms)
        )
        for layout in layouts
        for (hop_s, quantity), (_, tiles) in layout.series.items()
    }


def _since(before: KeptRing | None, tiles: int, hop_s: int, now_ms: int) -> int:
    if before is None:
        return now_ms
    return before.since_ms if before.tiles >= tiles else max(before.since_ms, now_ms - before.tiles * hop_s * 1000)


class Need(NamedTuple):
    """What a window needs of a ring: how many tiles, and how far back they reach."""

    ring: Ring
    tiles: int
    reach_s: int


def needs_of_window(feature: Feature) -> frozenset[Need]:
    """All that the window of a feature needs; nothing of one without a window, or without tiles in it."""
    return frozenset(
        Need(
            Ring(feature.entity or "", term.hop_s, int(quantity)),
            term.tiles,
            term.window_s if term.span is Span.PLAIN else term.tiles * term.hop_s,
        )
        for term in terms_of(feature)
        for quantity in needs_of(feature)
    )


def full_from_ms(feature: Feature, kept: KeptTiles) -> int | None:
    """Event time from which the window of a feature is full; 0: always; None: state does not keep its tiles."""
    latest = 0
    for ring, tiles, reach_s in needs_of_window(feature):
        found = kept.get(ring)
        if found is None or found.tiles < tiles:
            return None
        latest = max(latest, found.since_ms + reach_s * 1000 if found.since_ms else 0)
    return latest


def kept_text(kept: KeptTiles) -> str:
    """As a cursor holds it: `entity width tiles since quantities`, those of one ring length together, their numbers as bits in hexadecimal."""
    rings = sorted((ring.entity, ring.hop_s, of.tiles, of.since_ms, ring.quantity) for ring, of in kept.items())
    return ";".join(
        f"{' '.join(map(str, alike))} {sum(1 << quantity for *_, quantity in group):x}" for alike, group in groupby(rings, lambda r: r[:4])
    )


def read_kept(text: str) -> KeptTiles:
    """What such a text says; nothing where it cannot be read: then all begins with the next takeover."""
    found: dict[Ring, KeptRing] = {}
    try:
        for alike in text.split(";") if text else ():
            entity, hop_s, tiles, since_ms, quantities = alike.split(" ")
            numbers = int(quantities, 16)
            for quantity in range(numbers.bit_length()):
                if numbers >> quantity & 1:
                    found[Ring(entity, int(hop_s), quantity)] = KeptRing(int(tiles), int(since_ms))
    except ValueError:
        return NOTHING
    return found
