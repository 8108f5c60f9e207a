"""Labels as others report them, chargebacks, TC40, SAFE, verdicts: what each says, in files and in topics alike, and why one has no payment.

A report means the payment of its `transaction_id`, on its `card_id` where it names that too; or, where it has no id, the one payment of its card, its
amount (and its currency, where it says one) and its day. Where several fit, none is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from stream_app.messages.fraud_types import BY_CODE
from stream_app.messages.refusals import DeadLetterCode

BY_PAYMENT = ("card_id", "amount", "event_time")
"""What names a payment where its id does not."""
SOURCE = "chargeback"
_MOST_SOURCE = 64


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What a report says; None, or 0 of a time: nothing.

    Attributes:
        event_ms: of the payment, or the begin of its day.
        labelled_ms: when it became known.
        source: who says so, and the type of fraud.
    """

    transaction_id: str | None
    card_id: str | None
    amount: float | None
    event_ms: int
    currency: str | None
    labelled_ms: int
    is_fraud: bool
    source: str

    @property
    def is_by_payment(self) -> bool:
        """Whether it says all that names a payment without its id."""
        return self.card_id is not None and self.amount is not None and self.event_ms > 0


class Unjoined(NamedTuple):
    """What is said of reports that have no payment: of several of them after their number, and of one to its producer."""

    many: str
    one: str


UNJOINED: Mapping[DeadLetterCode, Unjoined] = MappingProxyType(
    {
        DeadLetterCode.LABEL_AMBIGUOUS: Unjoined(
            "fit several payments, so none was taken",
            "The label fits several payments, so none was taken. Send the payment's transaction_id, with its card_id.",
        ),
        DeadLetterCode.LABEL_UNMATCHED: Unjoined(
            "fit no payment",
            "The label fits no payment. Look at its card (the payments' token?), its amount (major units?), and its day (of which zone?).",
        ),
        DeadLetterCode.LABEL_BEFORE_EVENT: Unjoined(
            "are from before their payment", "The label is from before its payment. Look at labelled_at, and at what names the payment."
        ),
        DeadLetterCode.LABEL_INCOMPLETE: Unjoined(
            f"name no payment: neither transaction_id nor all of {', '.join(BY_PAYMENT)}",
            f"The label names no payment: it has neither transaction_id nor all of {', '.join(BY_PAYMENT)}. Send one of the two.",
        ),
    }
)


def source_of(source: str | None, kind: str | None) -> str:
    """A label's source, and behind `:` the type of fraud that a code says."""
    named = source or SOURCE
    return (f"{named}:{BY_CODE[kind]}" if kind else named)[:_MOST_SOURCE]
