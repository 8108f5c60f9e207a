"""What is sent: payments of many cards at terminals that all partitions share, among them everything that is odd.

Event time runs ahead of the clock that it is sent by, so that windows move: from 25 days ago towards now. Or at another pace.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.faults.ledger import Kind, Record

SECOND, HOUR, DAY = 1_000, 3_600_000, 86_400_000


class Pace(NamedTuple):
    """How long ago event time begins, and how far it goes from one payment to the next, ms."""

    back_ms: int
    step_ms: int


AHEAD = Pace(25 * DAY, 2 * SECOND)
NO_JSON = b'{"transaction_id": "poison-%d", "amount": '


class Traffic:
    """An endless stream of records, the same for the same seed and clock.

    Attributes:
        now_ms: the newest event time.
    """

    def __init__(
        self, seed: int, cards: int = 500, terminals: int = 120, now_s: Callable[[], float] = time.time, pace: Pace = AHEAD
    ) -> None:
        self._random = random.Random(seed)
        self._now_s, self._step_ms = now_s, pace.step_ms
        self.cards = [f"card-{n}" for n in range(cards)]
        self.terminals = [f"terminal-{n}" for n in range(terminals)]
        self.now_ms = int(self._now_s() * SECOND) - pace.back_ms
        self._number = 0
        self._recent: list[dict[str, Any]] = []
        self._labelled: list[dict[str, Any]] = []

    def opening(self, partition_of: Any) -> list[Record]:
        """One plain payment of every card, and in each partition one at every terminal: nothing odd comes first anywhere."""
        of_partition: dict[int, str] = {partition_of(card): card for card in self.cards}
        pairs = [(card, self.terminals[n % len(self.terminals)]) for n, card in enumerate(self.cards)]
        pairs += [(card, terminal) for card in of_partition.values() for terminal in self.terminals]
        return [_record(self._payment(card, terminal)) for card, terminal in pairs]

    def take(self, payments: int) -> list[Record]:
        """The next records: so many payments, and what comes with them."""
        records: list[Record] = []
        for _ in range(payments):
            payment = self._payment(self._random.choice(self.cards), self._random.choice(self.terminals))
            records.append(_record(payment))
            records += self._odd(payment)
        self._recent = self._recent[-2000:]
        return records

    def spoilt(self, payments: int, share: float) -> list[Record]:
        """So many payments, plain ones, and of these a share that nothing can be read from."""
        made = [self._payment(self._random.choice(self.cards), self._random.choice(self.terminals)) for _ in range(payments)]
        return [self._poison(payment) if self._random.random() < share else _record(payment) for payment in made]

    def touch(self, card: str, terminal: str) -> Record:
        """A payment of this card at this terminal."""
        return _record(self._payment(card, terminal))

    def dated(self, card: str, at_ms: int, kind: Kind) -> Record:
        """A payment of this card, or a label, of a time that cannot be."""
        self._number += 1
        message = {
            "transaction_id": f"dated-{self._number}",
            "event_time": at_ms,
            "card_id": card,
            "terminal_id": self._random.choice(self.terminals),
            "amount": 10.0,
        }
        message |= {"currency": "EUR"} if kind == "transactions" else {"is_fraud": True, "labelled_at": at_ms}
        return Record(kind, card.encode(), json.dumps(message).encode(), None)

    def _payment(self, card: str, terminal: str) -> dict[str, Any]:
        self._number += 1
        self.now_ms = min(self.now_ms + self._step_ms, int(self._now_s() * SECOND))
        payment = {
            "transaction_id": f"tx-{self._number}",
            "event_time": self.now_ms - self._random.randrange(5 * SECOND),
            "card_id": card,
            "terminal_id": terminal,
            "amount": self._random.randrange(100, 32_000) / 100,
            "currency": "EUR",
        } | self._optional()
        self._recent.append(payment)
        return payment

    def _optional(self) -> dict[str, Any]:
        """Half of the payments say where they were made, and on which device."""
        if self._random.random() < 0.5:
            return {}
        return {
            "channel": self._random.choice(("chip", "online")),
            "country": self._random.choice(("BE", "FR", "ZA")),
            "latitude": self._random.uniform(-90, 90),
            "longitude": self._random.uniform(-180, 180),
            "device_id": f"device-{self._random.randrange(60)}",
        }

    def _odd(self, payment: dict[str, Any]) -> Iterator[Record]:
        """Now and then something else beside a payment."""
        chance = self._random.random()
        if chance < 0.02:  # the producer repeats itself
            yield _record(payment)
        elif chance < 0.05:  # late, within the windows
            yield self._other(payment, event_time=self.now_ms - self._random.randrange(HOUR, 20 * DAY))
        elif chance < 0.055:  # late, behind every window
            yield self._other(payment, event_time=self.now_ms - 60 * DAY)
        elif chance < 0.08:
            yield self._other(payment, approved=False)
        elif chance < 0.10:
            yield self._other(payment, type=self._random.choice(("refund", "reversal")))
        elif chance < 0.11:  # no rate: counted, its money not summed
            yield self._other(payment, currency="USD")
        elif chance < 0.12:
            yield self._poison(payment)
        elif chance < 0.13:  # another card's payment has the same id, as where each card's are numbered
            namesake = self._payment(self._random.choice(self.cards), payment["terminal_id"])
            namesake["transaction_id"] = payment["transaction_id"]
            yield _record(namesake)
        elif chance < 0.23:
            yield from self._labels()

    def _other(self, payment: dict[str, Any], **changes: Any) -> Record:
        return _record(self._payment(payment["card_id"], payment["terminal_id"]) | changes)

    def _poison(self, payment: dict[str, Any]) -> Record:
        self._number += 1
        card, n = payment["card_id"], self._number
        future = int(self._now_s() * SECOND) + 2 * DAY
        spoilt: list[bytes] = [
            NO_JSON % n,
            json.dumps(payment | {"transaction_id": f"poison-{n}", "amount": -1}).encode(),
            json.dumps(payment | {"transaction_id": f"poison-{n}", "event_time": future}).encode(),
            json.dumps(payment | {"transaction_id": f"poison-{n}", "card_id": "of another key"}).encode(),
            b"\xff\xfe poison-%d" % n,
        ]
        kind = "labels" if self._random.random() < 0.2 else "transactions"
        return Record("labels" if kind == "labels" else "transactions", card.encode(), self._random.choice(spoilt), None)

    def _labels(self) -> Iterator[Record]:
        """A label; sometimes twice, sometimes of a transaction that nobody knows, or that comes only now, or one that takes back."""
        if self._labelled and self._random.random() < 0.15:
            yield self._label(self._labelled.pop(), fraud=False)
            return
        chance = self._random.random()
        if chance < 0.05:
            yield self._label(self._random.choice(self._recent) | {"transaction_id": f"unknown-{self._number}"}, fraud=True)
        elif chance < 0.10:
            coming = self._payment(self._random.choice(self.cards), self._random.choice(self.terminals))
            yield from (self._label(coming, fraud=True), _record(coming))
        else:
            payment = self._random.choice(self._recent)
            label = self._label(payment, fraud=self._random.random() < 0.7)
            yield label
            if chance < 0.2:
                yield label
            if chance > 0.8:
                self._labelled = [*self._labelled[-20:], payment]

    def _label(self, payment: dict[str, Any], *, fraud: bool) -> Record:
        self.now_ms += 1  # labels of a card never share their time: the newest is one
        fields = {name: payment[name] for name in ("transaction_id", "event_time", "card_id", "terminal_id", "amount")}
        return _record(fields | {"is_fraud": fraud, "labelled_at": self.now_ms + SECOND})


def _record(message: dict[str, Any]) -> Record:
    kind: Any = "labels" if "labelled_at" in message else "transactions"
    return Record(kind, message["card_id"].encode(), json.dumps(message).encode(), message)
