"""The newest label of each payment of a span of time, in bounded memory: where it does not suffice, the oldest days are left out whole.

A day without some of its labels would show frauds as genuine payments; a span that begins a day later shows nothing wrong.
"""

from __future__ import annotations

from hashlib import blake2b

from stream_app.features.aggregations import DAY_MS
from stream_app.messages.transaction import Label, NamesPayment

MOST_LABELS = 1_000_000
"""About 200 bytes each."""
_KEY_BYTES = 12


class KnownLabels:
    """Labels of payments from a time on; a repeated or older one of a payment changes nothing.

    Attributes:
        begins_ms: event time from which the label of every payment is here, as far as it was added.
        left_out: labels of days that did not fit.
        newest_ms: when the newest of all was made; 0: there is none.
    """

    def __init__(self, begins_ms: int, most: int = MOST_LABELS) -> None:
        self.begins_ms = begins_ms
        self.left_out = 0
        self.newest_ms = 0
        self._most = most
        self._newest: dict[bytes, int] = {}  # 2 x labelled_at, and 1 more where it is fraud
        self._of_day: dict[int, list[bytes]] = {}

    def __len__(self) -> int:
        """Payments that have one."""
        return len(self._newest)

    @property
    def frauds(self) -> int:
        """Payments whose newest label says fraud."""
        return sum(entry & 1 for entry in self._newest.values())

    def add(self, label: Label) -> None:
        """Take a label, in any order."""
        self.newest_ms = max(self.newest_ms, label.labelled_at)
        if label.event_time < self.begins_ms:
            return
        key, entry = _key(label), 2 * label.labelled_at + label.is_fraud
        before = self._newest.get(key)
        if before is None:
            self._newest[key] = entry
            self._of_day.setdefault(label.event_time // DAY_MS, []).append(key)
            if len(self._newest) > self._most:
                self._leave_out_oldest()
        elif label.labelled_at >= before >> 1:
            self._newest[key] = entry

    def is_fraud(self, payment: NamesPayment) -> bool | None:
        """What the newest label of a payment says; None: there is none."""
        entry = self._newest.get(_key(payment))
        return None if entry is None else bool(entry & 1)

    def _leave_out_oldest(self) -> None:
        day = min(self._of_day)
        for key in (gone := self._of_day.pop(day)):
            del self._newest[key]
        self.left_out += len(gone)
        self.begins_ms = (day + 1) * DAY_MS


def _key(payment: NamesPayment) -> bytes:
    return blake2b(f"{payment.card_id}\0{payment.transaction_id}".encode(), digest_size=_KEY_BYTES).digest()
