"""What is published of decisions: alerts and scores, as JSON, each with the headers that say what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import msgspec

from stream_app.messages.alert import Alert, Score, Source
from stream_app.messages.headers import OwnHeaders, header, headers_of
from stream_app.messages.records import Outgoing, Place, Record
from stream_app.scoring.already_published import SOURCE_OFFSET, AlreadyPublished
from stream_app.scoring.decided_payments import DecidedPayments
from stream_app.scoring.provenance import SOURCE_LABELS, STANDS, rules_header, seen_header

SOURCE_TIMESTAMP = "source.timestamp"
"""Header of alerts: the Kafka timestamp of the transaction, ms, so that any reader can measure the way through."""
TRACEPARENT = "traceparent"
_MOST_TRACE_BYTES = 256
_SEQUENCE_PER_MS = 1000
"""Numbers of decisions start at the time in us: they rise across restarts, and stay whole in readers that know only doubles."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where decisions go. Scores are published where `scores_topic` names a topic."""

    alerts_topic: str
    scores_topic: str


NO_OUTPUT = Output("", "")
"""Of a scorer that is asked for values, and publishes nothing."""


class Publication:
    """Makes messages of decisions."""

    def __init__(self, output: Output, began_ms: int) -> None:
        """Args: `began_ms`: Unix time, from which decisions are numbered."""
        self._output = output
        self._encode = msgspec.json.Encoder().encode
        self._sequence = count(began_ms * _SEQUENCE_PER_MS)

    def messages(self, decided: DecidedPayments, partition: int, source: Place, published: AlreadyPublished) -> list[Outgoing]:
        """Alerts and scores of one partition of a round, in order.

        1. what was published before is left out;
        2. an alert for each payment that has a case;
        3. a score for each payment, where scores are published.

        Args:
            decided: the decisions, those that stand among them.
            partition: the n-th of the round.
            source: topic and partition of its payments.
            published: what was published for them before.
        """
        every, within = bool(self._output.scores_topic), decided.places(partition)
        seen = _seen(decided, partition, source[1]) if every else ()
        messages: list[Outgoing] = []
        of_now = rules_header(decided.ruling.read)
        for place in within if every else decided.cases_of(partition):
            offset = decided.scored.offsets[place]
            read = rules_header(published.rules_read.get(offset, b"")) if place in decided.published else of_now
            if place in decided.cases and offset not in published.alerted:
                messages.append(self._alert(decided, place, source, read))
            if every and offset not in published.scored:
                before = seen[place - within.start]
                messages.append(self._score(decided, place, source, (*before, *read) if read else before))
        return messages

    def _alert(self, decided: DecidedPayments, place: int, source: Place, read: OwnHeaders) -> Outgoing:
        tx, case, offset = decided.transaction(place), decided.cases[place], decided.scored.offsets[place]
        fields = msgspec.structs.asdict(tx) | msgspec.structs.asdict(decided.verdict(place)) | {"case_id": case.id}
        alert = Alert(alert_id=case.alert_id, source=Source(*source, offset), **fields)
        traced = _traced(decided.intake.payments.records, int(decided.scored.payments[place]))
        headers = (_offset_header(offset), (SOURCE_TIMESTAMP, str(decided.arrived_ms(place)).encode()), *read, *traced)
        return Outgoing(self._output.alerts_topic, tx.card_id.encode(), self._encode(alert), headers)

    def _score(self, decided: DecidedPayments, place: int, source: Place, seen: OwnHeaders) -> Outgoing:
        tx, offset, stands = decided.transaction(place), decided.scored.offsets[place], place in decided.published
        verdict = decided.verdict(place)
        if verdict.degraded is None:  # one that stands may have had more than these features were computed from
            verdict = msgspec.structs.replace(verdict, degraded=decided.degraded(place))
        score = Score(
            features=decided.features(place),
            sequence=next(self._sequence),
            beside=None if stands else decided.scored.beside(place),
            source=Source(*source, offset),
            **msgspec.structs.asdict(tx),
            **msgspec.structs.asdict(verdict),
        )
        headers = (_offset_header(offset), *seen, *((STANDS,) if stands else ()))
        return Outgoing(self._output.scores_topic, tx.card_id.encode(), self._encode(score), headers)


def _offset_header(offset: int) -> tuple[str, bytes]:
    return SOURCE_OFFSET, str(offset).encode()


def _traced(records: Sequence[Record], payment: int) -> OwnHeaders:
    """The header of W3C's trace context of a payment's record, where it has one that can be one: an alert belongs to the same trace."""
    trace = header(headers_of(records[payment]), TRACEPARENT) if records else b""  # a rehearsal has no records
    return ((TRACEPARENT, trace),) if 0 < len(trace) <= _MOST_TRACE_BYTES and trace.isascii() else ()


def _seen(decided: DecidedPayments, partition: int, number: int) -> Sequence[OwnHeaders]:
    """For each decision of the n-th partition of a round, whose number is this, the headers that say what it had seen: see `provenance`."""
    positions, within, share = decided.work.seen[partition].positions, decided.places(partition), decided.intake.shares[partition]
    if positions is None:
        return [()] * len(within)
    of_all, labels = seen_header(positions), decided.intake.labels.offsets[share.labels]
    offsets, run = [positions[number][1], *(offset + 1 for offset in labels)], slice(within.start, within.stop)
    before = (decided.scored.events[run] - decided.scored.payments[run] - share.labels.start).tolist()
    return [((SOURCE_LABELS, str(offsets[n]).encode()), of_all) for n in before]
