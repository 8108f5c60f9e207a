"""Payments of a portfolio of any size, for benchmarks: as many cards and terminals as asked for, busy ones and idle ones.

A card's share of the payments is drawn from a gamma distribution, a terminal's from a log-normal one: a tenth of the terminals have more
than a third of the payments. Four in ten payments are online, from the card's device; the others say where their terminal is.

Where asked for, payments also name a merchant, its category, one of 60 countries and, online, an IP address: what the profile `payments` takes beside
the rest. Without it they are byte for byte what they always were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PER_CARD_AND_DAY = 1.5
_ONLINE = 0.4
_ALL_ONCE = 65_536
_COUNTRIES = ("DE", "FR", "NL", "BE", "AT")
_OTHER_COUNTRIES = tuple(
    "CH IT ES PT DK SE NO FI PL CZ SK HU SI HR RO BG GR EE MT CY IE LU LV LT IS GB US CA "
    "MX BR AR CL CO PE AU NZ JP KR CN HK TW SG MY TH VN ID PH IN AE TR EG MA ZA NG UA".split()
)
_TERMINALS_OF_A_MERCHANT, _CATEGORIES, _CARDS_OF_A_NETWORK = 4, 300, 20
_ABROAD = 20
"""One terminal in so many is in another country than the five near ones."""


@dataclass(slots=True)
class Portfolio:
    """Draws payments of its cards; the same seed draws the same ones.

    Attributes:
        cards, terminals: how many there are.
        who_and_where: whether payments name merchant, category, address, and more than five countries.
    """

    cards: int
    terminals: int = 100_000
    seed: int = 7
    who_and_where: bool = False
    _draw: Any = field(init=False)
    _of_cards: Any = field(init=False)
    _of_terminals: Any = field(init=False)

    def __post_init__(self) -> None:
        self._draw = np.random.default_rng(self.seed)
        self._of_cards = _cumulated(self._draw.gamma(2.0, 1.0, self.cards))
        self._of_terminals = _cumulated(self._draw.lognormal(0.0, 1.2, self.terminals))

    @property
    def apart_ms(self) -> float:
        """Time between two payments of the portfolio."""
        return 86_400_000 / (PER_CARD_AND_DAY * self.cards)

    def lines(self, count: int) -> Iterator[bytes]:
        """So many payments: key, tab, and the value but for its beginning, which names the payment and its time, see `client`."""
        for first in range(0, count, _ALL_ONCE):
            n, draw = min(_ALL_ONCE, count - first), self._draw
            cards = np.searchsorted(self._of_cards, draw.random(n)).tolist()
            terminals = np.searchsorted(self._of_terminals, draw.random(n)).tolist()
            amounts = np.round(draw.lognormal(3.3, 0.9, n), 2).tolist()
            online = (draw.random(n) < _ONLINE).tolist()
            country = _country_of if self.who_and_where else _near_country_of
            for card, terminal, amount, is_online in zip(cards, terminals, amounts, online, strict=True):
                rest = b'"card_id":"C%07d","terminal_id":"T%06d","amount":%.2f,"currency":"EUR","country":"%s",' % (
                    card, terminal, amount, country(terminal),
                )  # fmt: skip
                rest += _who_and_where(card, terminal, is_online=is_online) if self.who_and_where else b""
                place = b'"channel":"chip","latitude":%.4f,"longitude":%.4f}' % (45 + terminal % 977 / 100, 3 + terminal % 991 / 100)
                yield b"C%07d\t%s%s\n" % (card, rest, b'"channel":"online","device_id":"D%07d"}' % card if is_online else place)


def _near_country_of(terminal: int) -> bytes:
    return _COUNTRIES[terminal % len(_COUNTRIES)].encode()


def _country_of(terminal: int) -> bytes:
    abroad, away = divmod(terminal, _ABROAD)
    return _near_country_of(terminal) if away else _OTHER_COUNTRIES[abroad % len(_OTHER_COUNTRIES)].encode()


def _who_and_where(card: int, terminal: int, *, is_online: bool) -> bytes:
    """A merchant of four terminals, all of one category, a few categories having most; online, the card's address, in a network of twenty cards."""
    merchant = terminal // _TERMINALS_OF_A_MERCHANT
    share = merchant * 2_654_435_761 % 2**32 / 2**32
    named = b'"merchant_id":"M%06d","mcc":"%04d",' % (merchant, 3000 + int(_CATEGORIES * share**3))
    if not is_online:
        return named
    network = card // _CARDS_OF_A_NETWORK
    return named + b'"ip":"%d.%d.%d.%d",' % (20 + (network >> 16), network >> 8 & 255, network & 255, 1 + card % 250)


def _cumulated(weights: Any) -> Any:
    total = np.cumsum(weights)
    return total / total[-1]
