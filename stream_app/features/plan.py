"""From a feature list to arrays: where each tile stands in an entity's row, and what the kernel reads for each feature.

A row is int64: `[newest_ms, last_ms]`, for cards the ledger, the last place and the last declines, then one ring of tiles for each series.
A series is one quantity (count, amount, … or a set) at one hop; features share it. Tile k stands at ring position k mod n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stream_app.errors import SettingsError
from stream_app.features.aggregations import (
    CARDS_IN,
    FIELD_OF_SET,
    FIRST_OF_ROW,
    FIRST_OF_TILES,
    HOUR_S,
    OF_SERIES,
    Combination,
    Op,
    Quantity,
)
from stream_app.features.definitions import CATALOGUE, Feature
from stream_app.features.entities import ENTITIES, Entity

type Ints = NDArray[np.int64]
type Table = NDArray[np.void]
"""An array of records, all of whose columns are int64: `SERIES`, `TERM` or `FEATURE`."""


def columns(*names: str) -> np.dtype[np.void]:
    """The columns of a table that a kernel reads, by name."""
    return np.dtype([(name, np.int64) for name in names])


SERIES = columns("hop_ms", "tiles", "first", "quantity", "words", "bits", "combination", "of")
"""A ring of tiles: width of a tile, how many, the first one's column in the row, and what its quantity declares."""
TERM = columns("span", "window_ms", "delay_ms", "hop_ms", "coarse_hop_ms", "tiles", "reads", "first", "sum", "combination")
"""A run of tiles: when it is, the ring (hop, tiles, first column), how many of its tiles it may read, and into which sum they go, and how."""
FEATURE = columns("op", "a", "b", "c", "column")
"""A feature: its operation, the sums that it is made of (`a` of `OF_SERIES`, `a` and `b` of tiles: their series), and where it stands in the vector."""

NEWEST, LAST, HEADER = 0, 1, 2
"""Columns of every row: newest time seen (payments, credits, labels), time of the last payment counted; how many they are."""

CASE_LAST, RECENT_NEXT, RECENT, RECENT_LEN = 2, 3, 4, 32
"""A card's ledger: time of the last alert; the ring of its last 32 transaction ids (hashes)."""
LABELS, LABELS_LEN = RECENT + RECENT_LEN, 32
"""A card's ledger: its last 32 labels, each (hash of the transaction id, 2 * labelled_at + is_fraud)."""
PLACED, LATITUDE, LONGITUDE = (LABELS + 2 * LABELS_LEN + n for n in range(3))
"""A card's last place: time of its newest counted payment that has one, and the place as in `Fact`; 0 where there is none."""
DECLINES, DECLINES_LEN = LONGITUDE + 1, 8
"""Times of a card's newest declined payments that are newer than `LAST`, the newest first, 0 where there are fewer."""
CARD_HEADER = DECLINES + DECLINES_LEN


_DESCRIBED = 6  # columns of `SERIES` that a fingerprint is over; the others follow from the quantity


class Span(IntEnum):
    """How a term's tiles follow from the time of the payment."""

    PLAIN = 0
    DELAYED = 1
    DELAYED_HEAD = 2


def needs_of(feature: Feature) -> tuple[Quantity, ...]:
    """The quantities that a feature is made of."""
    if feature.of.needs or feature.of.op not in OF_SERIES:
        return feature.of.needs
    return (FIELD_OF_SET[feature.field],) if feature.field else (CARDS_IN[feature.window_s],)


def is_of_tiles(feature: Feature) -> bool:
    """Whether it is read off the tiles of its window one after the other, in place of their sums."""
    return FIRST_OF_TILES <= feature.of.op < FIRST_OF_ROW


@dataclass(frozen=True, slots=True)
class Term:
    """A run of tiles of one hop: the whole of a plain window, or one of the two runs of a delayed window."""

    span: Span
    window_s: int
    delay_s: int
    hop_s: int
    coarse_hop_s: int

    @property
    def tiles(self) -> int:
        """How many tiles back from the newest this run can reach.

        A delayed run has one to spare: where another partition's payment has moved the ring on before one that is older is read, its window
        is whole still. By up to an hour, so much as partitions can lie apart where nothing lags.
        """
        if self.span is Span.PLAIN:
            return self.window_s // self.hop_s
        reach_s = self.window_s if self.span is Span.DELAYED else self.coarse_hop_s
        return (self.delay_s + reach_s) // self.hop_s + 2


def terms_of(feature: Feature) -> tuple[Term, ...]:
    """The runs of tiles that make a feature's window."""
    if not feature.window_s:
        return ()
    hop = feature.hop_s
    if not feature.delay_s:
        return (Term(Span.PLAIN, feature.window_s, 0, hop, hop),)
    whole = Term(Span.DELAYED, feature.window_s, feature.delay_s, hop, hop)
    if hop == HOUR_S or is_of_tiles(feature):
        return (whole,)
    return (whole, Term(Span.DELAYED_HEAD, feature.window_s, feature.delay_s, HOUR_S, hop))


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where everything stands in an entity's row.

    Attributes:
        entity: whose.
        series: (hop_s, quantity) → (first column, tiles in the ring).
        table: the same for the kernel, [series] of `SERIES`, in the same order.
        header: columns before the first series.
        width: columns of a row.
        fingerprint: 32 bits over all of it; every packed value carries it.
    """

    entity: Entity
    series: dict[tuple[int, Quantity], tuple[int, int]]
    table: Table
    header: int
    width: int
    fingerprint: int


def row_layout_of(entity: Entity, catalogue: Sequence[Feature]) -> RowLayout:
    """Lay out the rows of `entity` so that every feature of the catalogue can be computed from them."""
    tiles: dict[tuple[int, Quantity], int] = {}
    for feature in catalogue:
        if feature.entity != entity:
            continue
        for term in terms_of(feature):
            for quantity in needs_of(feature):
                key = (term.hop_s, quantity)
                tiles[key] = max(tiles.get(key, 0), term.tiles)
    at = header = CARD_HEADER if entity == "card" else HEADER
    series: dict[tuple[int, Quantity], tuple[int, int]] = {}
    rows: list[tuple[int, ...]] = []
    for hop, quantity in sorted(tiles):
        series[hop, quantity] = (at, tiles[hop, quantity])
        rows.append((hop * 1000, tiles[hop, quantity], at, int(quantity), quantity.words, quantity.bits, quantity.combination, quantity.of))
        at += tiles[hop, quantity] * quantity.words
    named = [list(row[:_DESCRIBED]) for row in rows]
    described = f"{entity}|{header}|{RECENT_LEN}|{LABELS_LEN}|{DECLINES_LEN}|{named}"
    fingerprint = int.from_bytes(hashlib.sha256(described.encode()).digest()[:4], "little")
    return RowLayout(entity, series, np.array(rows, dtype=SERIES), header, at, fingerprint)


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """What the kernel does for one entity: its layout, the runs of tiles to add up, the features to make of the sums.

    Attributes:
        terms: [terms] of `TERM`, those of one run side by side.
        features: [features] of `FEATURE`, those of one operation side by side.
        sums: how many sums there are.
    """

    entity: Entity
    layout: RowLayout
    terms: Table
    features: Table
    sums: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A feature list, ready for the kernel.

    Attributes:
        features: the output columns in order.
        entities: in the order of `ENTITIES`.
        of_record: columns that need no history.
        neutral: float32 [features], where there is no history or the payment lacks what a feature takes.
    """

    features: tuple[Feature, ...]
    entities: tuple[EntityPlan, ...]
    of_record: tuple[tuple[int, Feature], ...]
    neutral: NDArray[np.float32] = field(repr=False)


def compile_plan(features: Sequence[Feature], catalogue: Sequence[Feature] = CATALOGUE) -> Plan:
    """Bind a feature list to the layout that the whole catalogue needs.

    Raises:
        SettingsError: if a feature adds up the tiles of a set, naming it.
    """
    return Plan(
        tuple(features),
        tuple(_entity_plan(entity, features, row_layout_of(entity, catalogue)) for entity in ENTITIES),
        tuple((column, f) for column, f in enumerate(features) if f.entity is None),
        np.array([f.of.neutral for f in features], dtype=np.float32),
    )


@cache
def catalogue_plan() -> Plan:
    """The plan of the whole catalogue."""
    return compile_plan(CATALOGUE)


def _entity_plan(entity: Entity, features: Sequence[Feature], layout: RowLayout) -> EntityPlan:
    sums: dict[tuple[int, int, Quantity], int] = {}
    terms: list[tuple[int, ...]] = []
    rows: list[tuple[int, ...]] = []
    order = list(layout.series)
    for column, feature in enumerate(features):
        if feature.entity != entity:
            continue
        needs = needs_of(feature)
        if feature.of.op in OF_SERIES:
            rows.append((feature.of.op, order.index((feature.hop_s, needs[0])), 0, 0, column))
            continue
        if is_of_tiles(feature):
            payments, frauds = (order.index((feature.hop_s, quantity)) for quantity in needs)
            rows.append((feature.of.op, payments, frauds, 0, column))
            continue
        for quantity in needs:
            if quantity.combination is Combination.SET:
                raise SettingsError(
                    f"Feature {feature.name!r} adds up {quantity.name}, which is a set. Only {', '.join(op.name for op in sorted(OF_SERIES))} look into one."
                )
            key = (feature.window_s, feature.delay_s, quantity)
            if key in sums:
                continue
            sums[key] = len(sums)
            for term in terms_of(feature):
                first, tiles = layout.series[term.hop_s, quantity]
                times = (term.window_s * 1000, term.delay_s * 1000, term.hop_s * 1000, term.coarse_hop_s * 1000)
                reads = term.tiles if term.span is Span.PLAIN else tiles
                terms.append((term.span, *times, tiles, reads, first, sums[key], quantity.combination))
        used = [sums[feature.window_s, feature.delay_s, q] for q in needs] + [0, 0, 0]
        op = Op.PRIOR_COUNT if feature.of.op is Op.COUNT and feature.delay_s else feature.of.op
        rows.append((op, *used[:3], column))
    return EntityPlan(
        entity,
        layout,
        np.array(sorted(terms), dtype=TERM),
        np.array(sorted(rows), dtype=FEATURE),
        max(1, len(sums)),
    )
