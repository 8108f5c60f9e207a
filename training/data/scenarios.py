"""Beyond the book: merchants, categories, devices and IP addresses, and frauds that have names, added to a simulated history. What is there stays as it is.

| scenario | number | what happens | what looks alike, and is genuine |
|---|---|---|---|
| card-testing | 4 | within 20 minutes some 40 cards pay a trifle each at one terminal | two cards pay a trifle 20 times each at one terminal |
| account-takeover | 5 | at night one card buys what can be sold again, online, anywhere, from a device of its own | a traveller pays anywhere for three days |
| compromised-merchant | 6 | for 28 days every third payment at a merchant's terminals has a second one, which is fraud | all its other payments |
| shared-device | 7 | within a day some 25 cards pay online from one device, once or twice each | three cards of one firm pay 40 times from one device |
| one-network | 8 | within 20 minutes some 40 cards pay a trifle each online, anywhere, from their devices' names but one network | two cards pay a trifle 20 times each from one network |

Online payments have an IP address: of the network that the card shares with a few others, but for what is told of *one-network*.

Each scenario, and what is described, draws from a random stream of its own: the same seed gives the same scene whichever others there are.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stream_app.features.aggregations import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints

SCENARIOS: Mapping[str, int] = MappingProxyType(
    {"card-testing": 4, "account-takeover": 5, "compromised-merchant": 6, "shared-device": 7, "one-network": 8}
)
"""What each is called, and what stands in `fraud_scenario`."""
CATEGORIES: Mapping[str, float] = MappingProxyType(
    {"5411": 0.3, "5812": 0.2, "5541": 0.15, "5912": 0.1, "5311": 0.1, "4121": 0.08, "5732": 0.04, "5944": 0.03}
)
"""Codes of merchants (ISO 18245), and how many have each."""
SOLD_AGAIN = ("5732", "5944")  # electronics, jewellery
TERMINALS_OF_A_MERCHANT = 4
SHARED_DEVICES = 0.2
"""Of the cards, those that are used on the device of another."""
CARDS_OF_A_NETWORK = 3
ROBBED_DAYS = 28
"""As long as a terminal of the book is compromised: labels take a week, and of a fortnight nothing would be known for half of its frauds."""
PER_CARDS = 5_000
_MINUTE_MS = 60_000
_OF_FIRMS = 100_000_000
_ONLINE = "online"
_TOWN = 4
"""Beside the seed, so that no stream is that of the book's history."""


@dataclass(slots=True)
class _PaymentArrays:
    """Payments as arrays; cards, terminals, devices and networks by number, a device or network -1 where there is none."""

    card: Ints
    terminal: Ints
    time: Ints
    amount: Floats
    device: Ints
    network: Ints
    scenario: Ints

    @staticmethod
    def joined(parts: Sequence[_PaymentArrays]) -> _PaymentArrays:
        return _PaymentArrays(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_PaymentArrays)))


@dataclass(frozen=True, slots=True)
class _Town:
    """Who and what there is: of each terminal its merchant, the place of its category and whether it is online; of each card its device, its network and its mean amount."""

    merchant: Ints
    category: Ints
    online: NDArray[np.bool_]
    device: Ints
    network: Ints
    mean_amount: Floats
    start_ms: int
    days: int
    paid: _PaymentArrays

    def some_cards(self, rng: Generator, number: int) -> Ints:
        return rng.choice(len(self.mean_amount), min(number, len(self.mean_amount)), replace=False)

    def terminals(self, *, online: bool, categories: Sequence[str] = ()) -> Ints:
        """Those that are, or any where there is none such."""
        there = self.online == online
        if categories:
            there &= np.isin(self.category, [[*CATEGORIES].index(code) for code in categories])
        return np.flatnonzero(there) if there.any() else np.arange(len(there))

    def rows(  # noqa: PLR0913 - what a payment is made of
        self, card: Ints, terminal: Ints, time: Ints, amount: Floats, *, device: int | Ints = -1, network: int = -1, scenario: int = 0
    ) -> _PaymentArrays:
        """Payments; amounts are rounded to cents, at least one. Where no network is given it is the card's, online."""
        devices, scenarios = (np.full(len(card), number) for number in (device, scenario))
        networks = np.where(self.online[terminal], self.network[card] if network < 0 else network, -1)
        return _PaymentArrays(card, terminal, time, np.maximum(amount, 0.01).round(2), devices, networks, scenarios)


def with_scenarios(frame: pd.DataFrame, names: Sequence[str], seed: int, label_delay_ms: int) -> pd.DataFrame:
    """A simulated history with `merchant_id`, `mcc`, `device_id`, `ip`, and the payments of these scenarios, genuine ones that look alike included.

    Args:
        frame: of `simulate`, with `country` and `channel`.
        names: of `SCENARIOS`.
        seed: decides all of it.
        label_delay_ms: how long after its payment a fraud is known.
    """
    town_rng, *rngs = np.random.default_rng((seed, _TOWN)).spawn(1 + len(SCENARIOS))
    town = _described(frame, town_rng)
    made = [town.paid]
    for (name, number), rng in zip(SCENARIOS.items(), rngs, strict=True):
        if name in names:
            scenes = rng.poisson(_A_DAY[name] * len(town.mean_amount) / PER_CARDS, town.days)
            for scene, day in enumerate(np.repeat(np.arange(town.days), scenes).tolist()):
                device = len(town.mean_amount) + len(SCENARIOS) * scene + number
                made += _MADE[name](town, rng, town.start_ms + day * DAY_MS, device)
    return _frame(frame, town, _PaymentArrays.joined(made), label_delay_ms)


def _described(frame: pd.DataFrame, rng: Generator) -> _Town:
    terminal, card = (frame[name].cat.codes.to_numpy().astype(np.int64) for name in ("terminal_id", "card_id"))
    count, cards, amount = len(frame["terminal_id"].cat.categories), len(frame["card_id"].cat.categories), frame["amount"].to_numpy()
    online = np.zeros(count, dtype=np.bool_)
    online[terminal[(frame["channel"] == _ONLINE).to_numpy()]] = True
    merchant = rng.permutation(count) // TERMINALS_OF_A_MERCHANT
    category = rng.choice(len(CATEGORIES), 1 + count // TERMINALS_OF_A_MERCHANT, p=[*CATEGORIES.values()])[merchant]
    own = np.where(rng.random(cards) < SHARED_DEVICES, rng.integers(0, cards, cards), np.arange(cards))
    time = frame["event_time"].to_numpy()
    device = np.where(online[terminal], own[card], -1)
    network = rng.integers(0, 1 + cards // CARDS_OF_A_NETWORK, cards)
    networks = np.where(online[terminal], network[card], -1)
    paid = _PaymentArrays(card, terminal, time, amount, device, networks, frame["fraud_scenario"].to_numpy().astype(np.int64))
    means = np.bincount(card, amount, cards) / np.maximum(1, np.bincount(card, minlength=cards))
    start = int(time.min()) // DAY_MS * DAY_MS
    return _Town(merchant, category, online, own, network, means, start, 1 + (int(time.max()) - start) // DAY_MS, paid)


def _card_testing(town: _Town, rng: Generator, day_ms: int, _device: int) -> list[_PaymentArrays]:
    found = []
    for cards, scenario in ((town.some_cards(rng, int(rng.integers(30, 50))), 4), (np.repeat(town.some_cards(rng, 2), 20), 0)):
        terminal = np.full(len(cards), rng.choice(town.terminals(online=False)))
        time = day_ms + rng.integers(8 * HOUR_MS, 20 * HOUR_MS) + rng.integers(0, 20 * _MINUTE_MS, len(cards))
        found.append(town.rows(cards, terminal, time, rng.uniform(0.5, 3, len(cards)), scenario=scenario))
    return found


def _account_takeover(town: _Town, rng: Generator, day_ms: int, device: int) -> list[_PaymentArrays]:
    victim, traveller = (
        np.repeat(card, number) for card, number in zip(town.some_cards(rng, 2), (int(rng.integers(3, 7)), 9), strict=True)
    )
    night = day_ms + rng.integers(HOUR_MS, 4 * HOUR_MS) + rng.integers(0, HOUR_MS, len(victim))
    bought = rng.choice(town.terminals(online=True, categories=SOLD_AGAIN), len(victim))
    visited = rng.choice(town.terminals(online=False), len(traveller))
    days = day_ms + rng.integers(0, 3, len(traveller)) * DAY_MS + rng.integers(7 * HOUR_MS, 23 * HOUR_MS, len(traveller))
    return [
        town.rows(victim, bought, night, town.mean_amount[victim] * rng.uniform(0.8, 2.5, len(victim)), device=device, scenario=5),
        town.rows(traveller, visited, days, town.mean_amount[traveller] * rng.uniform(0.5, 2, len(traveller))),
    ]


def _compromised_merchant(town: _Town, rng: Generator, day_ms: int, _device: int) -> list[_PaymentArrays]:
    merchant = rng.choice(town.merchant)
    there = (town.merchant[town.paid.terminal] == merchant) & (town.paid.time >= day_ms) & (town.paid.time < day_ms + ROBBED_DAYS * DAY_MS)
    robbed = np.flatnonzero(there & (rng.random(len(there)) < 1 / 3))
    card, terminal, time = (getattr(town.paid, name)[robbed] for name in ("card", "terminal", "time"))
    later = time + rng.integers(2 * _MINUTE_MS, 12 * HOUR_MS, len(card))
    return [town.rows(card, terminal, later, town.mean_amount[card] * rng.uniform(0.5, 1.5, len(card)), scenario=6)]


def _shared_device(town: _Town, rng: Generator, day_ms: int, device: int) -> list[_PaymentArrays]:
    found = []
    stolen = town.some_cards(rng, int(rng.integers(18, 33)))
    for cards, own, scenario in (
        (np.repeat(stolen, rng.integers(1, 3, len(stolen))), device, 7),
        (rng.choice(town.some_cards(rng, 3), 40), device + _OF_FIRMS, 0),
    ):
        terminal = rng.choice(town.terminals(online=True), len(cards))
        time = day_ms + rng.integers(8 * HOUR_MS, 20 * HOUR_MS, len(cards))
        found.append(
            town.rows(cards, terminal, time, town.mean_amount[cards] * rng.uniform(0.5, 1.5, len(cards)), device=own, scenario=scenario)
        )
    return found


def _one_network(town: _Town, rng: Generator, day_ms: int, number: int) -> list[_PaymentArrays]:
    found = []
    for cards, network, scenario in (
        (town.some_cards(rng, int(rng.integers(30, 50))), 2 * number, 8),
        (np.repeat(town.some_cards(rng, 2), 20), 2 * number + 1, 0),
    ):
        terminal = rng.choice(town.terminals(online=True), len(cards))
        time = day_ms + rng.integers(8 * HOUR_MS, 20 * HOUR_MS) + rng.integers(0, 20 * _MINUTE_MS, len(cards))
        amount = rng.uniform(0.5, 3, len(cards))
        found.append(town.rows(cards, terminal, time, amount, device=town.device[cards], network=network, scenario=scenario))
    return found


_A_DAY: Mapping[str, float] = MappingProxyType(
    {"card-testing": 2.0, "account-takeover": 10.0, "compromised-merchant": 5.0, "shared-device": 2.0, "one-network": 2.0}
)
"""Scenes a day for each `PER_CARDS` cards."""
_MADE: Mapping[str, Callable[[_Town, Generator, int, int], list[_PaymentArrays]]] = MappingProxyType(
    {
        "card-testing": _card_testing,
        "account-takeover": _account_takeover,
        "compromised-merchant": _compromised_merchant,
        "shared-device": _shared_device,
        "one-network": _one_network,
    }
)


def _frame(frame: pd.DataFrame, town: _Town, rows: _PaymentArrays, label_delay_ms: int) -> pd.DataFrame:
    """All payments by time, numbered anew; those that were there keep their channel, others have the plainest of their terminal."""
    fresh = np.arange(len(rows.card)) >= len(frame)
    order = np.lexsort((np.arange(len(fresh)), rows.time))
    card, terminal, device = (getattr(rows, name)[order] for name in ("card", "terminal", "device"))
    is_fraud, channels = rows.scenario[order] > 0, frame["channel"].cat
    country = np.zeros(len(town.online), dtype=np.int64)
    country[town.paid.terminal] = frame["country"].cat.codes
    names = channels.categories.tolist()
    of_terminal = np.where(town.online, names.index(_ONLINE), names.index("chip"))
    channel = np.where(fresh, of_terminal[rows.terminal], np.resize(channels.codes.to_numpy(), len(fresh)))[order]
    columns: dict[str, Any] = {
        "transaction_id": pd.Series([f"TX{n:09d}" for n in range(len(card))], dtype="str"),
        "event_time": rows.time[order],
        "card_id": pd.Categorical.from_codes(card, frame["card_id"].cat.categories),
        "terminal_id": pd.Categorical.from_codes(terminal, frame["terminal_id"].cat.categories),
        "amount": rows.amount[order],
        "currency": pd.Categorical.from_codes(np.zeros(len(card), np.int8), pd.Index(["EUR"])),
        "country": pd.Categorical.from_codes(country[terminal], frame["country"].cat.categories),
        "channel": pd.Categorical.from_codes(channel, channels.categories),
        "merchant_id": _named("M", town.merchant[terminal]),
        "mcc": pd.Categorical.from_codes(town.category[terminal], pd.Index([*CATEGORIES])),
        "device_id": _named("D", device),
        "ip": _addresses(rows.network[order], card),
        "is_fraud": is_fraud,
        "fraud_scenario": rows.scenario[order].astype(np.int8),
        "labelled_at": pd.arrays.IntegerArray(rows.time[order] + label_delay_ms, ~is_fraud),
    }
    return pd.DataFrame(columns)


def _named(prefix: str, numbers: Ints) -> pd.Categorical[str]:
    """Names of numbers; none where one is below 0."""
    there, dense = np.unique(numbers, return_inverse=True)
    none = int((there < 0).sum())
    return pd.Categorical.from_codes(dense - none, pd.Index([f"{prefix}{n:06d}" for n in there[none:].tolist()]))


def _addresses(network: Ints, card: Ints) -> pd.Categorical[str]:
    """Of each payment with a network an address in it, each card's its own as far as there are."""
    there = network >= 0
    numbers, dense = np.unique(np.where(there, network * 256 + 1 + card % 254, -1), return_inverse=True)
    none = int((~there).any())
    names = [f"{20 + (n >> 24)}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in numbers[none:].tolist()]
    return pd.Categorical.from_codes(dense - none, pd.Index(names))
