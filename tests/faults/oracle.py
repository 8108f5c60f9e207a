"""Brute force: what state and decisions must be, from the ledger alone.

Each partition's payments are taken in the order of its log, then its labels in theirs: neither the borders of micro-batches nor how the two
were merged may make a difference. Nothing is computed step by step: payments are kept in lists, and a row is made from all of them.
Only the meaning of a row's columns is the product's own (`RowLayout`), because it is the product's rows that are compared.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import xxhash

from stream_app.features.aggregations import Combination, Fact, Measure, Quantity
from stream_app.features.entities import Entity
from stream_app.features.facts import country_numbers, derived, facts_of, hashes, mcc_numbers
from stream_app.features.plan import (
    CASE_LAST,
    DECLINES,
    DECLINES_LEN,
    LABELS,
    LABELS_LEN,
    LAST,
    LATITUDE,
    NEWEST,
    PLACED,
    RECENT,
    RECENT_LEN,
    RECENT_NEXT,
    Ints,
    RowLayout,
    catalogue_plan,
)  # fmt: skip
from tests.faults.ledger import Ledger
from tests.faults.model import score_of
from tests.faults.rulings import Asked, Books, Ruling, asked_of
from tests.faults.traffic import DAY, HOUR

CLIP_MINOR = 10_000_000
LAYOUTS = {entity.entity: entity.layout for entity in catalogue_plan().entities}
CARD_LAYOUT = LAYOUTS["card"]
COMBINED = {Combination.SUM: np.add, Combination.LARGEST: np.maximum}
HOURS_KEPT = CARD_LAYOUT.series[HOUR // 1000, Quantity.COUNT][1]


def hashed(transaction_id: str) -> int:
    """63 bits of XXH3, never 0: so ids stand in a card's rings."""
    return (xxhash.xxh3_64_intdigest(transaction_id.encode()) >> 1) or 1


def alert_id(card: str, transaction_id: str) -> str:
    """What an alert is called: a transaction's id is unique on its card only."""
    ids = (card.encode(), transaction_id.encode())
    return hashlib.sha256(b"".join(str(len(i)).encode() + b":" + i + b"," for i in ids)).hexdigest()[:32]


@dataclass(slots=True)
class Tally:
    """What is counted of one card, or of one terminal or device in one partition.

    (time, minor units or -1, facts) of payments, times of declined ones and of credits, (time, ±1) of frauds.
    """

    layout: RowLayout
    newest: int = 0
    paid: list[tuple[int, int, Any]] = field(default_factory=list)
    declined: list[int] = field(default_factory=list)
    credited: list[int] = field(default_factory=list)
    frauds: list[tuple[int, int]] = field(default_factory=list)

    def count(self, at: int, minor: int, facts: Any) -> bool:
        """Count a payment, unless it is behind every ring."""
        kept = any(at // hop > self.newest // hop - tiles for hop, tiles, *_ in self.layout.table.tolist())
        if kept:
            self.paid.append((at, minor, facts))
            self.newest = max(self.newest, at)
        return kept

    def note(self, times: list[int], at: int) -> None:
        """Count a declined payment, or a credit."""
        times.append(at)
        self.newest = max(self.newest, at)

    def fraud(self, at: int, change: int) -> None:
        """Count a fraud, or take it back."""
        self.frauds.append((at, change))
        self.newest = max(self.newest, at)

    @property
    def last(self) -> int:
        """Time of the last payment."""
        return max((at for at, *_ in self.paid), default=0)

    def row(self) -> Ints:
        """The row as it must stand in Redis."""
        row: Ints = np.zeros(self.layout.width, dtype=np.int64)
        row[NEWEST], row[LAST] = self.newest, self.last
        left = {
            Measure.PAYMENT: [(at, 1) for at, *_ in self.paid],
            Measure.MONEY: [(at, max(minor, 0)) for at, minor, _ in self.paid],
            Measure.MONEY_SQ: [(at, min(max(minor, 0), CLIP_MINOR) ** 2) for at, minor, _ in self.paid],
            Measure.FRAUD: self.frauds,
            Measure.ONLINE: [(at, int(facts[Fact.ONLINE])) for at, _, facts in self.paid],
            Measure.DECLINED: [(at, 1) for at in self.declined],
            Measure.CREDITED: [(at, 1) for at in self.credited],
            Measure.COUNTRY_AT: [(at, at * 1024 + int(facts[Fact.COUNTRY])) for at, _, facts in self.paid if facts[Fact.COUNTRY]],
        }
        for (hop_s, quantity), (first, tiles) in self.layout.series.items():
            hop = hop_s * 1000
            if isinstance(quantity.of, Fact):
                self._members(row, hop, tiles, first, quantity)
                continue
            times, values = _array(left[quantity.of])
            kept = times // hop > self.newest // hop - tiles
            COMBINED[quantity.combination].at(row, first + times[kept] // hop % tiles, values[kept])
        return row

    def _members(self, row: Ints, hop: int, tiles: int, first: int, of: Quantity) -> None:
        """Set the bits of what was there, each set from a number in two halves."""
        words, bits = of.words, of.bits
        for at, _, facts in self.paid:
            name = int(facts[of.of])
            if name and at // hop > self.newest // hop - tiles:
                for i in range(bits):
                    bit = ((name & 0x7FFFFFFF) + i * (name >> 31 | 1)) % (64 * words)
                    row[first + at // hop % tiles * words + bit // 64] |= np.uint64(1 << bit % 64).astype(np.int64)


def _array(pairs: list[tuple[int, int]]) -> tuple[Ints, Ints]:
    both = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


@dataclass(slots=True)
class Card:
    """One card: its tally, the ids and labels that it remembers, its present case."""

    tally: Tally = field(default_factory=lambda: Tally(CARD_LAYOUT))
    hours: Counter[int] = field(default_factory=Counter)
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_LEN))
    seen: int = 0
    labels: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * LABELS_LEN)
    known: dict[int, int] = field(default_factory=dict)
    case_id: str = ""
    case_last: int = 0

    def count_of_day(self, at: int, counted: int) -> int:
        """The feature of the rule: payments of the last day, in tiles of an hour, as far as they are kept; the present one included."""
        head = self.tally.newest // HOUR
        tiles = range(max((at - DAY) // HOUR + 1, head - HOURS_KEPT + 1), at // HOUR + 1)
        return sum(self.hours[k] for k in tiles) + counted

    def label(self, transaction_id: str, labelled_at: int, *, fraud: bool) -> int:
        """What a label adds to the frauds: the newest of a transaction wins; the row remembers some, the oldest gives way."""
        name, entry = hashed(transaction_id), 2 * labelled_at + fraud
        before = self.known.get(name, 0)
        if before // 2 > labelled_at or before == entry:
            return 0
        self.known[name] = entry
        there = [n for n in range(LABELS_LEN) if self.labels[n][0] == name]
        place = there[0] if there else min(range(LABELS_LEN), key=lambda n: self.labels[n][1])
        self.labels[place] = (name, entry)
        return int(fraud) - before % 2

    def row(self) -> Ints:
        """The row as it must stand in Redis."""
        row = self.tally.row()
        row[CASE_LAST], row[RECENT_NEXT] = self.case_last, self.seen % RECENT_LEN
        placed = [(at, n, facts) for n, (at, _, facts) in enumerate(self.tally.paid) if facts[Fact.LATITUDE]]
        if placed:
            row[PLACED], _, facts = max(placed, key=lambda p: p[:2])
            row[LATITUDE : LATITUDE + 2] = facts[[Fact.LATITUDE, Fact.LONGITUDE]]
        newest = sorted((at for at in self.tally.declined if at > self.tally.last), reverse=True)[:DECLINES_LEN]
        row[DECLINES : DECLINES + len(newest)] = newest
        for n, transaction_id in enumerate(self.recent, start=self.seen - len(self.recent)):
            row[RECENT + n % RECENT_LEN] = hashed(transaction_id)
        for n, label in enumerate(self.labels):
            row[LABELS + 2 * n : LABELS + 2 * n + 2] = label
        return row


@dataclass(frozen=True, slots=True)
class Decision:
    """What must be published of a payment; the others are None where nobody knows what was counted."""

    alerted: bool
    count_of_day: int | None
    case_id: str | None
    asked: Asked | None = None
    ruling: Ruling | None = None


type Name = tuple[str, str]
"""Of a payment: its card and transaction."""


def by_the_model(_: Name, asked: Asked) -> Ruling:
    """What is decided where nobody reads rules."""
    return Books().ruling(asked, None)


class Oracle:
    """State and decisions of all partitions, brought up to the ledger by `follow`."""

    def __init__(
        self,
        ledger: Ledger,
        stands: Mapping[Name, Decision] = MappingProxyType({}),
        rule: Callable[[Name, Asked], Ruling] = by_the_model,
    ) -> None:
        """Args: `stands`: decisions that were made on less than all state; `rule`: what rules and lists say of a payment."""
        self._ledger = ledger
        self._stands = stands
        self._rule = rule
        self._done = dict.fromkeys(ledger.logs, 0)
        self.cards: dict[tuple[int, str], Card] = {}
        self.shared: dict[tuple[str, int, str], Tally] = {}
        self.decisions: dict[Name, Decision] = {}

    def follow(self) -> None:
        """Take in what was sent since."""
        for (kind, partition), log in self._ledger.logs.items():
            new = log[self._done[kind, partition] :]
            self._done[kind, partition] = len(log)
            for record in new:
                if record.message is not None:
                    (self._pay if kind == "transactions" else self._label)(partition, record.message)

    def _pay(self, partition: int, payment: Any) -> None:
        card = self.cards.setdefault((partition, payment["card_id"]), Card())
        name, at = payment["transaction_id"], payment["event_time"]
        if name in card.recent:
            return
        card.recent.append(name)
        card.seen += 1
        tallies = [card.tally, *self._shared(partition, payment, ("terminal", "device"))]
        if payment.get("type") in {"refund", "reversal"}:
            for tally in tallies:
                tally.note(tally.credited, at)
            return
        minor = round(payment["amount"] * 100) if payment["currency"] == "EUR" else -1
        approved = payment.get("approved") is not False
        counted = int(approved) and any(at // hop > card.tally.newest // hop - tiles for hop, tiles, *_ in CARD_LAYOUT.table.tolist())
        count = card.count_of_day(at, int(counted))
        card.hours[at // HOUR] += int(counted)
        facts = _facts(payment)
        for tally in tallies:
            if approved:
                tally.count(at, minor, facts)
            else:
                tally.note(tally.declined, at)
        self._decide(card, payment, minor, count)

    def _decide(self, card: Card, payment: Any, minor: int, count: int) -> None:
        name, at = (payment["card_id"], payment["transaction_id"]), payment["event_time"]
        stands, asked = self._stands.get(name), asked_of(payment, minor, score_of(max(minor, 0) / 100, count))
        ruling = self._rule(name, asked)
        alerted = ruling.action is not None if stands is None else stands.alerted
        if alerted:
            if stands is not None:
                card.case_id = stands.case_id or ""
            elif not card.case_id or at - card.case_last >= DAY:
                card.case_id = alert_id(*name)
            card.case_last = max(card.case_last, at)
        self.decisions[name] = stands or Decision(alerted, count, card.case_id if alerted else None, asked, ruling)

    def _label(self, partition: int, label: Any) -> None:
        card = self.cards.setdefault((partition, label["card_id"]), Card())
        shared = self._shared(partition, label, ("terminal",))
        change = card.label(label["transaction_id"], label["labelled_at"], fraud=label["is_fraud"])
        if change:
            for tally in (card.tally, *shared):
                tally.fraud(label["event_time"], change)

    def _shared(self, partition: int, message: Any, entities: tuple[Entity, ...]) -> list[Tally]:
        """The tallies of the terminal and of the device that a message names."""
        keys = [(entity, message.get(f"{entity}_id")) for entity in entities]
        return [self.shared.setdefault((entity, partition, name), Tally(LAYOUTS[entity])) for entity, name in keys if name]


def _facts(payment: Any) -> Ints:
    """What the kernel reads of a payment beside time and money."""
    place = [np.array([payment.get(n, np.nan)], dtype=np.float64) for n in ("latitude", "longitude")]
    facts = facts_of(
        hashes([payment["terminal_id"]]),
        cards=hashes([payment["card_id"]]),
        mccs=mcc_numbers([payment.get("mcc")]),
        online=np.array([payment.get("channel") == "online"]),
        place=(place[0], place[1]),
        countries=country_numbers([payment.get("country")]),
        devices=hashes([payment["device_id"]]) if "device_id" in payment else None,
    )
    minor = round(payment["amount"] * 100) if payment["currency"] == "EUR" else -1
    whole: Ints = derived(facts, np.array([payment["event_time"]]), np.array([minor]))[0]
    return whole
