"""From a feature list to arrays: where each tile stands in an entity's row, and what the kernel reads for each feature.

A row is int64: `[newest_ms, last_ms]`, for cards the ledger, then one ring of tiles for each series. A series is one quantity
(count, amount, amount squared, fraud) at one hop; features share it. Tile k stands at ring position k mod n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from stream_app.features.definitions import CATALOGUE, ENTITIES, HOUR_S, OF_RECORD, Entity, Feature

type Ints = NDArray[np.int64]

NEWEST, LAST, HEADER = 0, 1, 2
"""Columns of every row: newest time seen (payments and labels), time of the last payment counted; how many they are."""

CASE_LAST, RECENT_NEXT, RECENT, RECENT_LEN = 2, 3, 4, 32
"""A card's ledger: time of the last alert; the ring of its last 32 transaction ids (hashes)."""
LABELS, LABELS_LEN = RECENT + RECENT_LEN, 32
"""A card's ledger: its last 32 labels, each (hash of the transaction id, 2 * labelled_at + is_fraud)."""
CARD_HEADER = LABELS + 2 * LABELS_LEN


class Quantity(IntEnum):
    """What a series counts in each tile."""

    COUNT = 0
    AMOUNT = 1
    AMOUNT_SQ = 2
    FRAUD = 3


class Span(IntEnum):
    """How a term's tiles follow from the time of the payment."""

    PLAIN = 0
    DELAYED = 1
    DELAYED_HEAD = 2


class Op(IntEnum):
    """How a feature follows from the sums."""

    COUNT = 0
    MEAN = 1
    RATIO = 2
    ZSCORE = 3
    SINCE_LAST = 4
    RISK = 5
    PRIOR_MEAN = 6
    PRIOR_COUNT = 7
    DELAYED_COUNT = 8


_OPS = {
    "mean_amount": Op.MEAN,
    "amount_ratio": Op.RATIO,
    "amount_zscore": Op.ZSCORE,
    "seconds_since_last": Op.SINCE_LAST,
    "risk": Op.RISK,
    "prior_mean_amount": Op.PRIOR_MEAN,
    "prior_count": Op.PRIOR_COUNT,
}
_NEEDS = {
    "count": (Quantity.COUNT,),
    "prior_count": (Quantity.COUNT,),
    "mean_amount": (Quantity.COUNT, Quantity.AMOUNT),
    "prior_mean_amount": (Quantity.COUNT, Quantity.AMOUNT),
    "amount_ratio": (Quantity.COUNT, Quantity.AMOUNT),
    "amount_zscore": (Quantity.COUNT, Quantity.AMOUNT, Quantity.AMOUNT_SQ),
    "risk": (Quantity.COUNT, Quantity.FRAUD),
    "seconds_since_last": (),
}


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
        """How many tiles back from the newest this run can reach."""
        if self.span is Span.PLAIN:
            return self.window_s // self.hop_s
        reach_s = self.window_s if self.span is Span.DELAYED else self.coarse_hop_s
        return (self.delay_s + reach_s) // self.hop_s + 1


def terms_of(feature: Feature) -> tuple[Term, ...]:
    """The runs of tiles that make a feature's window."""
    if not feature.window_s:
        return ()
    hop = feature.hop_s
    if not feature.delay_s:
        return (Term(Span.PLAIN, feature.window_s, 0, hop, hop),)
    whole = Term(Span.DELAYED, feature.window_s, feature.delay_s, hop, hop)
    if hop == HOUR_S:
        return (whole,)
    return (whole, Term(Span.DELAYED_HEAD, feature.window_s, feature.delay_s, HOUR_S, hop))


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands in an entity's row.

    Attributes:
        series: (hop_s, quantity) → (first column, tiles in the ring).
        table: the same for the kernel, int64 [series, 4]: hop_ms, tiles, first column, quantity.
        header: columns before the first series.
        width: columns of a row.
        fingerprint: 32 bits over all of it; every packed value carries it.
    """

    series: dict[tuple[int, Quantity], tuple[int, int]]
    table: Ints
    header: int
    width: int
    fingerprint: int


def layout_of(entity: Entity, catalogue: Sequence[Feature]) -> Layout:
    """Lay out the rows of `entity` so that every feature of the catalogue can be computed from them."""
    tiles: dict[tuple[int, Quantity], int] = {}
    for feature in catalogue:
        if feature.entity != entity:
            continue
        for term in terms_of(feature):
            for quantity in _NEEDS[feature.aggregation]:
                key = (term.hop_s, quantity)
                tiles[key] = max(tiles.get(key, 0), term.tiles)
    at = header = CARD_HEADER if entity == "card" else HEADER
    series: dict[tuple[int, Quantity], tuple[int, int]] = {}
    for key in sorted(tiles):
        series[key] = (at, tiles[key])
        at += tiles[key]
    table = np.array([(hop * 1000, n, first, quantity) for (hop, quantity), (first, n) in series.items()], dtype=np.int64).reshape(-1, 4)
    fingerprint = int.from_bytes(
        hashlib.sha256(f"{entity}|{header}|{RECENT_LEN}|{LABELS_LEN}|{table.tolist()}".encode()).digest()[:4], "little"
    )
    return Layout(series, table, header, at, fingerprint)


@dataclass(frozen=True, slots=True)
class EntityPlan:
    """What the kernel does for one entity: its layout, the runs of tiles to add up, the features to make of the sums.

    Attributes:
        terms: int64 [terms, 8]: span, window_ms, delay_ms, hop_ms, coarse_hop_ms, first column, tiles, sum.
        features: int64 [features, 5]: op, the sums of count, amount (or fraud) and amount squared, output column.
        sums: how many sums there are.
    """

    entity: Entity
    layout: Layout
    terms: Ints
    features: Ints
    sums: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A feature list, ready for the kernel. `features` names the output columns in order; `entities` stand in the order of `ENTITIES`."""

    features: tuple[Feature, ...]
    entities: tuple[EntityPlan, ...]
    of_record: tuple[tuple[int, str], ...] = field(default=())


def compile_plan(features: Sequence[Feature], catalogue: Sequence[Feature] = CATALOGUE) -> Plan:
    """Bind a feature list to the layout that the whole catalogue needs."""
    of_record = tuple((column, f.aggregation) for column, f in enumerate(features) if f.aggregation in OF_RECORD)
    return Plan(
        tuple(features),
        tuple(_entity_plan(entity, features, layout_of(entity, catalogue)) for entity in ENTITIES),
        of_record,
    )


@cache
def catalogue_plan() -> Plan:
    """The plan of the whole catalogue."""
    return compile_plan(CATALOGUE)


def _entity_plan(entity: Entity, features: Sequence[Feature], layout: Layout) -> EntityPlan:
    sums: dict[tuple[int, int, Quantity], int] = {}
    terms: list[tuple[int, ...]] = []
    rows: list[tuple[int, ...]] = []
    for column, feature in enumerate(features):
        if feature.entity != entity:
            continue
        needs = _NEEDS[feature.aggregation]
        for quantity in needs:
            key = (feature.window_s, feature.delay_s, quantity)
            if key in sums:
                continue
            sums[key] = len(sums)
            for term in terms_of(feature):
                first, tiles = layout.series[term.hop_s, quantity]
                times = (term.window_s * 1000, term.delay_s * 1000, term.hop_s * 1000, term.coarse_hop_s * 1000)
                terms.append((term.span, *times, first, tiles, sums[key]))
        used = [sums[feature.window_s, feature.delay_s, q] for q in needs] + [0, 0, 0]
        op = _OPS.get(feature.aggregation, Op.DELAYED_COUNT if feature.delay_s else Op.COUNT)
        rows.append((op, *used[:3], column))
    return EntityPlan(
        entity, layout, np.array(terms, dtype=np.int64).reshape(-1, 8), np.array(rows, dtype=np.int64).reshape(-1, 5), max(1, len(sums))
    )
