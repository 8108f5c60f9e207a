"""What payments carry beside time and money, as the numbers that the kernel reads: one rule for training and for the stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_app.features.aggregations import HOUR_MS, PLACE_ZERO, Fact
from stream_app.features.plan import Ints

_MICRO = 1e6
_LETTERS, _FIRST_LETTER = 26, ord("A")

ONLINE = "online"
"""The channel that counts as online."""
CHANNELS: Mapping[str | None, int] = MappingProxyType(
    {None: 0, "chip": 1, "contactless": 2, "atm": 3, "magstripe": 4, "moto": 5, ONLINE: 6},
)
"""Ways to pay, the better the card's presence is proved the lower. 0: not said."""
TYPES: Mapping[str | None, int] = MappingProxyType({None: 0, "purchase": 0, "withdrawal": 1, "verification": 2, "refund": 3, "reversal": 4})
_HOURS = 24


def hashes(ids: Sequence[str]) -> Ints:
    """63 bits of XXH3 of each id, never 0."""
    digest = xxhash.xxh3_64_intdigest
    return np.array([(digest(i.encode()) >> 1) or 1 for i in ids], dtype=np.int64)


def country_numbers(codes: Sequence[str | None]) -> Ints:
    """1 + the place of each code of two letters among AA … ZZ; 0 where there is none."""
    return np.array([1 + _LETTERS * (ord(c[0]) - _FIRST_LETTER) + ord(c[1]) - _FIRST_LETTER if c else 0 for c in codes], dtype=np.int64)


def mcc_numbers(codes: Sequence[str | None]) -> Ints:
    """1 + each code of four digits as a number; 0 where there is none."""
    return np.array([1 + int(code) if code else 0 for code in codes], dtype=np.int64)


def numbers_of(known: Mapping[str | None, int], texts: Sequence[str | None]) -> Ints:
    """The number of each text in `CHANNELS` or `TYPES`; 0 of any other."""
    return np.array([known.get(text, 0) for text in texts], dtype=np.int64)


def facts_of(  # noqa: PLR0913 - one for each fact
    terminals: Ints,
    *,
    cards: Ints | None = None,
    online: NDArray[np.bool_] | None = None,
    place: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    countries: Ints | None = None,
    devices: Ints | None = None,
    channels: Ints | None = None,
    types: Ints | None = None,
    mccs: Ints | None = None,
) -> Ints:
    """The facts of payments, int64 [payments, facts]; what is not given, none of them has.

    Args:
        terminals: hashes of their ids.
        cards: hashes of their ids.
        online: whether the channel is online.
        place: latitude and longitude in degrees, NaN where one is missing.
        countries: from `country_numbers`.
        devices: hashes of their ids, 0 where a payment has none.
        channels: numbers of `CHANNELS`.
        types: numbers of `TYPES`.
        mccs: from `mcc_numbers`.
    """
    facts = np.zeros((len(terminals), len(Fact)), dtype=np.int64)
    facts[:, Fact.TERMINAL] = terminals
    given = {
        Fact.ONLINE: online, Fact.COUNTRY: countries, Fact.DEVICE: devices, Fact.CARD: cards,
        Fact.CHANNEL: channels, Fact.TYPE: types, Fact.MCC: mccs,
    }  # fmt: skip
    for fact, column in given.items():
        if column is not None:
            facts[:, fact] = column
    if place is not None:
        known = ~np.isnan(place[0]) & ~np.isnan(place[1])
        for fact, degrees in zip((Fact.LATITUDE, Fact.LONGITUDE), place, strict=True):
            facts[known, fact] = np.rint(degrees[known] * _MICRO).astype(np.int64) + PLACE_ZERO
    return facts


def derived(facts: Ints, times_ms: Ints, minor: Ints) -> Ints:
    """The facts of payments with those that follow from time, money and others. What was given is not changed.

    Args:
        facts: from `facts_of`.
        times_ms: event time.
        minor: amount in minor units, -1 where it is not known: then no amount is a fact.
    """
    whole = facts.copy()
    whole[:, Fact.HOUR] = 1 + times_ms // HOUR_MS % _HOURS
    whole[:, Fact.AMOUNT] = np.where(minor < 0, 0, _mixed(minor + 1))
    whole[:, Fact.CATEGORY] = np.where(facts[:, Fact.MCC] == 0, 0, _mixed(facts[:, Fact.MCC]))
    return whole


def _mixed(numbers: Ints) -> Ints:
    """63 bits of each number, never 0: near ones are as far from each other as any (the finaliser of SplitMix64)."""
    mixed = numbers.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.maximum(((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64), 1)
