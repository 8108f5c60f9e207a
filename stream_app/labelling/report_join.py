"""Reports joined to the payments that they mean, while the payments of a topic go by once: the join of files (`training.data.label_join`), in a stream.

1. What reports ask for is kept, no payment that none of them asks for: memory is some hundred bytes a report, whatever the topic holds.
2. A payment that stands in the topic twice is one payment.
3. Where several payments fit, none is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple

from stream_app.errors import RecordError
from stream_app.messages.label_reports import UNJOINED, LabelReport
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import PaymentKey, Transaction

DAY_MS = 86_400_000
_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_FAR_MS = 15 * 3_600_000
"""A day of some zone begins so long before that of UTC at the most, and an hour."""


class MeantPayment(NamedTuple):
    """What a label needs of its payment, and the partition that it stood in."""

    key: PaymentKey
    terminal_id: str
    event_ms: int
    amount: float
    partition: int
    merchant_id: str | None = None
    mcc: str | None = None
    country: str | None = None
    ip: str | None = None


class _SeveralPayments:
    """In the place of a payment."""


_SEVERAL = _SeveralPayments()
type _ReportQuestion = tuple[Any, ...]


class ReportJoin:
    """Which payment each of some reports means. Ask `found` after all payments were seen."""

    def __init__(self, reports: Sequence[LabelReport], zone: tzinfo) -> None:
        """Begin; `zone`: whose days are meant."""
        self._zone = zone
        self._asked: list[_ReportQuestion | None] = [self._of_report(report) for report in reports]
        self._found: dict[_ReportQuestion, MeantPayment | _SeveralPayments | None] = {
            asked: None for asked in self._asked if asked is not None
        }
        kinds = {asked[0] for asked in self._found}
        self._kinds = [of_payment for kind, of_payment in self._of_payment.items() if kind in kinds]
        self._ids = {report.transaction_id for report in reports}
        self._cards = {report.card_id for report in reports if report.transaction_id is None}

    def see(self, payment: Transaction, partition: int) -> None:
        """A payment goes by."""
        if payment.transaction_id not in self._ids and payment.card_id not in self._cards:
            return
        for of_payment in self._kinds:
            asked = of_payment(self, payment)
            if asked in self._found:
                before = self._found[asked]
                where = payment.merchant_id, payment.mcc, payment.country, payment.ip
                meant = MeantPayment(PaymentKey.of(payment), payment.terminal_id, payment.event_time, payment.amount, partition, *where)
                same = before is None or (isinstance(before, MeantPayment) and before.key == meant.key)
                self._found[asked] = meant if same else _SEVERAL

    def found(self, number: int) -> MeantPayment:
        """The payment that report `number` means.

        Raises:
            RecordError: there is none, or several.
        """
        asked = self._asked[number]
        meant = None if asked is None else self._found[asked]
        if isinstance(meant, MeantPayment):
            return meant
        if asked is None:
            raise unjoined(DeadLetterCode.LABEL_INCOMPLETE)
        raise unjoined(DeadLetterCode.LABEL_UNMATCHED if meant is None else DeadLetterCode.LABEL_AMBIGUOUS)

    def _of_report(self, report: LabelReport) -> _ReportQuestion | None:
        """What a report asks for: the kind of its question, and its values."""
        if report.transaction_id is not None:
            return ("id", report.transaction_id) if report.card_id is None else ("id of card", report.transaction_id, report.card_id)
        if not report.is_by_payment or report.amount is None:
            return None
        is_date = report.event_ms % DAY_MS == 0  # its own day, in whatever zone
        day = report.event_ms // DAY_MS if is_date else self._day(report.event_ms)
        values = (report.card_id, _thousandths(report.amount), day)
        return ("payment", *values) if report.currency is None else ("payment in currency", *values, report.currency)

    def _day(self, ms: int) -> int:
        return (_EPOCH + ms * _MS).astimezone(self._zone).toordinal() - _EPOCH.toordinal()

    def _values(self, payment: Transaction) -> _ReportQuestion:
        return payment.card_id, _thousandths(payment.amount), self._day(payment.event_time)

    _of_payment: dict[str, Callable[[ReportJoin, Transaction], _ReportQuestion]] = {  # noqa: RUF012 - never written
        "id": lambda _, payment: ("id", payment.transaction_id),
        "id of card": lambda _, payment: ("id of card", payment.transaction_id, payment.card_id),
        "payment": lambda self, payment: ("payment", *self._values(payment)),
        "payment in currency": lambda self, payment: ("payment in currency", *self._values(payment), payment.currency),
    }


def unjoined(code: DeadLetterCode) -> RecordError:
    """What is said of a report that has no payment."""
    return RecordError(code, UNJOINED[code].one)


def reach_ms(reports: Sequence[LabelReport], days: float) -> int:
    """From when on payments may be meant: from the first day that a report names; of one that names none, so many days before it became known."""
    first = (r.event_ms - _FAR_MS - DAY_MS if r.event_ms else r.labelled_ms - round(days * DAY_MS) for r in reports)
    return max(0, min(first, default=0))


def _thousandths(amount: float) -> int:
    """Exact for every currency with up to three decimals."""
    return round(amount * 1000)
