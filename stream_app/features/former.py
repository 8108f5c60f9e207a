"""The packed format before the present one, read so that a new version takes over the state that the old one wrote.

Its rings stood in a fixed order and nothing in a value said which they were; the order is written down here. Series that it did not have
start empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from stream_app.features.aggregations import Quantity
from stream_app.features.compiled import jit
from stream_app.features.entities import Entity
from stream_app.features.ledger import unpack_head
from stream_app.features.numbers import get
from stream_app.features.plan import NEWEST, RowLayout, Table, columns

FORMER_FORMAT = 1

_Q = Quantity
_DAYS = 86_400
_SERIES: Mapping[Entity, tuple[int, tuple[tuple[int, int, Quantity], ...]]] = MappingProxyType(
    {
        "card": (
            0x54EBFAF6,
            (
                (300, 12, _Q.COUNT), (3600, 24, _Q.COUNT), (3600, 24, _Q.AMOUNT), (21_600, 28, _Q.COUNT), (21_600, 28, _Q.AMOUNT),
                (_DAYS, 30, _Q.COUNT), (_DAYS, 30, _Q.AMOUNT), (_DAYS, 30, _Q.AMOUNT_SQ),
            ),
        ),
        "terminal": (
            0x402C3024,
            (
                (300, 12, _Q.COUNT), (3600, 193, _Q.COUNT), (3600, 193, _Q.FRAUD), (21_600, 57, _Q.COUNT), (21_600, 57, _Q.FRAUD),
                (_DAYS, 38, _Q.COUNT), (_DAYS, 38, _Q.FRAUD),
            ),
        ),
    }
)  # fmt: skip
"""Fingerprint of the layout, and its series in order: hop in seconds, tiles, quantity."""

_RING = columns("tiles", "series")
"""A former ring: its tiles, and the place of its series in the present layout, -1 where it has none."""


@dataclass(frozen=True, slots=True)
class FormerLayout:
    """The rings of an entity's former values.

    Attributes:
        prefix: format and fingerprint, as they stand in a value; empty where the entity is new.
        table: [series] of `_RING`.
    """

    prefix: bytes
    table: Table

    @staticmethod
    def of(layout: RowLayout) -> FormerLayout:
        """The former rings of the entity of a layout, each with its place there."""
        fingerprint, series = _SERIES.get(layout.entity, (0, ()))
        order = list(layout.series)
        rows = [(tiles, order.index((hop, q)) if (hop, q) in layout.series else -1) for hop, tiles, q in series]
        prefix = bytes([FORMER_FORMAT]) + fingerprint.to_bytes(4, "little") if series else b""
        return FormerLayout(prefix, np.array(rows, dtype=_RING))


@jit  # type: ignore[untyped-decorator]
def unpack_former(former: Any, series: Any, header: int, row: Any, buffer: Any, at: int, end: int) -> Any:
    """Fill a row, which is zero, from the numbers of a former value; the position after them, or -1."""
    at = unpack_head(row, header, buffer, at, end)
    for f in range(len(former)):
        if at < 0:
            return -1
        used, at = get(buffer, at, end)
        age, s = -1, former[f].series
        for _ in range(used):
            if at < 0:
                return -1
            gap, at = get(buffer, at, end)
            if at < 0:
                return -1
            value, at = get(buffer, at, end)
            age += gap + 1
            if age >= former[f].tiles or gap < 0:
                return -1
            if s >= 0 and age < series[s].tiles:
                row[series[s].first + (row[NEWEST] // series[s].hop_ms - age) % series[s].tiles] = value
    return at
