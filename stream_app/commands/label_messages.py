"""What is published of a report: the label of its payment, or a dead letter that says why there is none."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from stream_app.bootstrap_inputs import intake_rules
from stream_app.delivery.dead_letter import dead_letter
from stream_app.delivery.placement import CardHomes
from stream_app.errors import RecordError
from stream_app.labelling.report_join import MeantPayment, unjoined
from stream_app.messages.label_reports import LabelReport
from stream_app.messages.records import Addressed, Outgoing, Place, Published
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import Decoder, Label
from stream_app.settings import Settings


class LabelMessages:
    """What is published of a report."""

    def __init__(self, settings: Settings, homes: CardHomes | None, card_fields: Sequence[str]) -> None:
        """Bind to the settings; `homes` says where cards belong, None: where their payment stood."""
        self._labels, self._letters, self._homes = settings.labels_topic, settings.labels_dlq_topic, homes
        self._redacted = card_fields if settings.refuse_card_numbers else ()
        self._decoder = Decoder(Label, intake_rules(settings))

    def of(
        self, report: LabelReport | RecordError, meant: MeantPayment | RecordError, record: Published, place: Place
    ) -> tuple[Addressed, RecordError | None]:
        """The label, or the dead letter and why."""
        try:
            return self._label(report, meant), None
        except RecordError as error:
            return Addressed(place[1], dead_letter(record, error, place, self._letters, redacted=self._redacted)), error

    def _label(self, report: LabelReport | RecordError, meant: MeantPayment | RecordError) -> Addressed:
        if isinstance(report, RecordError):
            raise report
        if isinstance(meant, RecordError):
            raise meant
        if report.labelled_ms < meant.event_ms:
            raise unjoined(DeadLetterCode.LABEL_BEFORE_EVENT)
        card, transaction = meant.key
        label = Label(
            transaction,
            card,
            meant.terminal_id,
            meant.event_ms,
            meant.amount,
            report.is_fraud,
            report.labelled_ms,
            report.source,
            merchant_id=meant.merchant_id,
            mcc=meant.mcc,
            country=meant.country,
            ip=meant.ip,
        )
        value, key, now_ms = msgspec.json.encode(label), card.encode(), time.time_ns() // 1_000_000
        self._decoder.decode(value, key, now_ms, now_ms)  # as a worker will, that no label is refused there
        return Addressed(self._homes.of(key, meant.partition) if self._homes else meant.partition, Outgoing(self._labels, key, value))
