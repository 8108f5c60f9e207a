"""The newest alerts of a topic, and the cases that they are of. No I/O."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from stream_app.messages.transaction import PaymentKey

if TYPE_CHECKING:
    from stream_app.messages.alert import Alert


class _KeptAlert(NamedTuple):
    """Newer is larger; two of one time are told apart by their payment, so alerts are never compared."""

    event_time: int
    payment: PaymentKey
    alert: Alert


class NewestAlerts:
    """The alerts of the latest payments, each payment's once, in whatever order partitions are read. Memory: `most` of them.

    Attributes:
        seen: how many records were added, those that were let go of and those that came twice among them.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[_KeptAlert] = []
        self._payments: set[PaymentKey] = set()  # what `alert_id` is made of: right for alerts of before too, whose id named no card
        self.seen = 0

    def add(self, alert: Alert) -> None:
        """Keep it, if it is among the newest and its payment has none yet."""
        self.seen += 1
        entry = _KeptAlert(alert.event_time, PaymentKey.of(alert), alert)
        if entry.payment in self._payments:
            return
        self._payments.add(entry.payment)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        else:
            self._payments.discard(heapq.heappushpop(self._heap, entry).payment)

    def newest_first(self) -> list[Alert]:
        """Those that are kept."""
        return [entry.alert for entry in sorted(self._heap, reverse=True)]


@dataclass(frozen=True, slots=True)
class AlertCase:
    """Alerts of one case, newest first.

    Attributes:
        whole: whether its first alert is among them, and so all of them.
    """

    case_id: str
    card_id: str
    alerts: tuple[Alert, ...]
    whole: bool


def cases_of(newest_first: list[Alert]) -> list[AlertCase]:
    """The alerts by case; the case with the newest alert first. A case is named after its first alert, alerts of before after its transaction."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in newest_first:
        found.setdefault((alert.card_id, alert.case_id), []).append(alert)
    return [
        AlertCase(case_id, card_id, tuple(alerts), any(case_id in {a.alert_id, a.transaction_id} for a in alerts))
        for (card_id, case_id), alerts in found.items()
    ]
