"""Payments of a portfolio of any size, for benchmarks: as many cards and terminals as asked for, busy ones and idle ones.

A card's share of the payments is drawn from a gamma distribution, a terminal's from a log-normal one: a tenth of the terminals have more
than a third of the payments. Four in ten payments are online, from the card's device; the others say where their terminal is.

`named` payments say who and where besides: a merchant for every five terminals, one of 300 categories, some of which many merchants have, one of 60
countries, five of which have nine payments in ten, and online an address in a network that some thirty cards share.
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
_OTHERS = (
    "AD AE AL AR AU BG BR CA CH CL CN CO CY CZ DK EE EG ES FI GB GR HK HR HU IE IL IN IS IT JP KR LT LU LV MA ME MT MX MY NO NZ PE PH PL PT RO RS SA SE SG "
    "SI SK TH TR UA US"
).split()
_TERMINALS_OF_A_MERCHANT, _CATEGORIES, _CARDS_OF_A_NETWORK = 5, 300, 30


@dataclass(slots=True)
class Portfolio:
    """Draws payments of its cards; the same seed draws the same ones.

    Attributes:
        cards, terminals: how many there are.
        named: whether payments name merchant, category and address; by default they are those of benchmarks of `velocity`.
    """

    cards: int
    terminals: int = 100_000
    named: bool = False
    seed: int = 7
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
            for card, terminal, amount, is_online in zip(cards, terminals, amounts, online, strict=True):
                rest = b'"card_id":"C%07d","terminal_id":"T%06d","amount":%.2f,"currency":"EUR","country":"%s",' % (
                    card, terminal, amount, self._country(terminal).encode(),
                )  # fmt: skip
                if self.named:
                    rest += _who(card, terminal, is_online=is_online)
                place = b'"channel":"chip","latitude":%.4f,"longitude":%.4f}' % (45 + terminal % 977 / 100, 3 + terminal % 991 / 100)
                yield b"C%07d\t%s%s\n" % (card, rest, b'"channel":"online","device_id":"D%07d"}' % card if is_online else place)

    def _country(self, terminal: int) -> str:
        if self.named and terminal % 10 == 0:
            return _OTHERS[terminal // 10 % len(_OTHERS)]
        return _COUNTRIES[terminal % len(_COUNTRIES)]


def _who(card: int, terminal: int, *, is_online: bool) -> bytes:
    """Merchant and category of a terminal, and the address that a card pays online from."""
    merchant, network = terminal // _TERMINALS_OF_A_MERCHANT, card // _CARDS_OF_A_NETWORK
    named = b'"merchant_id":"M%06d","mcc":"%04d",' % (merchant, 5000 + merchant * merchant % _CATEGORIES)
    if not is_online:
        return named
    return named + b'"ip":"%d.%d.%d.%d",' % (20 + (network >> 16), network >> 8 & 255, network & 255, 1 + card % _CARDS_OF_A_NETWORK)


def _cumulated(weights: Any) -> Any:
    total = np.cumsum(weights)
    return total / total[-1]
