"""What payments carry beside time and money, as the numbers that the kernel reads: one rule for training and for the stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_app.features.aggregations import PLACE_ZERO, Fact
from stream_app.features.plan import Ints

_MICRO = 1e6
_LETTERS, _FIRST_LETTER = 26, ord("A")

ONLINE = "online"
"""The channel that counts as online."""


def hashes(ids: Sequence[str]) -> Ints:
    """63 bits of XXH3 of each id, never 0."""
    digest = xxhash.xxh3_64_intdigest
    return np.array([(digest(i.encode()) >> 1) or 1 for i in ids], dtype=np.int64)


def country_numbers(codes: Sequence[str | None]) -> Ints:
    """1 + the place of each code of two letters among AA … ZZ; 0 where there is none."""
    return np.array([1 + _LETTERS * (ord(c[0]) - _FIRST_LETTER) + ord(c[1]) - _FIRST_LETTER if c else 0 for c in codes], dtype=np.int64)


def facts_of(
    terminals: Ints,
    *,
    online: NDArray[np.bool_] | None = None,
    place: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    countries: Ints | None = None,
    devices: Ints | None = None,
) -> Ints:
    """The facts of payments, int64 [payments, facts]; what is not given, none of them has.

    Args:
        terminals: hashes of their ids.
        online: whether the channel is online.
        place: latitude and longitude in degrees, NaN where one is missing.
        countries: from `country_numbers`.
        devices: hashes of their ids, 0 where a payment has none.
    """
    facts = np.zeros((len(terminals), len(Fact)), dtype=np.int64)
    facts[:, Fact.TERMINAL] = terminals
    for fact, column in ((Fact.ONLINE, online), (Fact.COUNTRY, countries), (Fact.DEVICE, devices)):
        if column is not None:
            facts[:, fact] = column
    if place is not None:
        known = ~np.isnan(place[0]) & ~np.isnan(place[1])
        for fact, degrees in zip((Fact.LATITUDE, Fact.LONGITUDE), place, strict=True):
            facts[known, fact] = np.rint(degrees[known] * _MICRO).astype(np.int64) + PLACE_ZERO
    return facts
