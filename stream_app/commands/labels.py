"""`fraudstream labels`: chargebacks and reports in a topic of their own, joined to the payments that they mean, and published as labels, each once.

1. Reports are read from where the last run ended, some at a time: `MOST_AT_ONCE`, or `MOST_AT_ONCE_BYTES`.
2. The payments are read once for those, from the first time on that one of them reaches; see `stream_app.labelling.report_join`.
3. A label goes to the partition of its card, what has no payment to the dead letters of labels, some in one Kafka transaction, and with it how far
   the reports were read. So whatever is killed, each is published once.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import typer

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.returning import AT_ONCE, ReturningProducer, returning_producer
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.bootstrap import inputs_of, intake_rules, mapping_in, reports_of
from stream_app.commands.coroutines import result_of
from stream_app.delivery.dead_letter import dead_letter
from stream_app.delivery.placement import CardHomes, newest_keys
from stream_app.delivery.ports import Log
from stream_app.errors import DataError, RecordError, TopologyError
from stream_app.labelling.report_join import MeantPayment, ReportJoin, reach_ms, unjoined
from stream_app.labelling.report_reader import ReportReader
from stream_app.messages.label_reports import UNJOINED, LabelReport
from stream_app.messages.records import Addressed, Outgoing, Place, Published
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import Decoder, Label
from stream_app.scoring.intake import decode_all
from stream_app.settings import Settings, load_settings
from stream_app.wire.inputs import Inputs, some_ready
from stream_app.wire.mapping import MappingError, SourceMapping

MOST_AT_ONCE = 100_000
MOST_AT_ONCE_BYTES = 64 * 2**20
_SHOWN = 5
_COMMAND = "fraudstream labels"


def labels_command(
    topic: Annotated[str, typer.Argument(help="Where chargebacks and reports are published, in their own shape.")],
    mapping: Annotated[Path | None, typer.Option(help="YAML: what their fields are; without it, they have our names.")] = None,
    days: Annotated[float, typer.Option(min=0, help="How far back a report reaches that does not say its payment's day.")] = 120.0,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be joined.")] = False,
) -> None:
    """Join the reports of a topic, from where the last run ended, to payments, and publish each as a label. Run it as often as reports come."""
    settings = load_settings()
    if topic in settings.topics():
        raise typer.BadParameter(f"{topic!r} is one of our own topics: workers read labels there as they are", param_hint="TOPIC")
    said = SourceMapping({})
    try:
        said = said if mapping is None else mapping_in(mapping)
        reader, fetched = reports_of(settings, said)
    except MappingError as error:
        raise DataError(f"{mapping}: {error} docs/how-to/wire-formats.md shows a mapping.") from None
    tally = result_of(_run(settings, topic, _ReportSource(reader, fetched, said, days), dry_run=dry_run))
    for line in tally.lines(topic, dry_run=dry_run):
        typer.echo(line)


class _ReportSource(NamedTuple):
    """How reports are read.

    Attributes:
        fetched: returns when all schemas that were found lacking are here.
        days: see `labels_command`.
    """

    reader: ReportReader
    fetched: Callable[[], Awaitable[None]]
    mapping: SourceMapping
    days: float

    @property
    def zone(self) -> ZoneInfo:
        """Whose days are meant."""
        return ZoneInfo(self.mapping.zone or "UTC")

    @property
    def card_fields(self) -> tuple[str, ...]:
        """What a report calls the card's id."""
        return ("card_id", self.mapping.path_of("card_id")[-1])


@dataclass(slots=True)
class LabelTally:
    """What became of the reports.

    Attributes:
        since_ms: Kafka timestamp of the first payment that the topic keeps; None: there is none.
        places: the first reports of each reason why they have no payment, or could not be read.
    """

    reports: int = 0
    labels: int = 0
    frauds: int = 0
    since_ms: int | None = None
    refused: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def refuse(self, code: str, place: Place, offset: int) -> None:
        """Count one that is no label."""
        self.refused[code] += 1
        if self.refused[code] <= _SHOWN:
            self.places.setdefault(code, []).append(f"{place[0]}:{place[1]}:{offset}")

    def lines(self, topic: str, *, dry_run: bool = False) -> Iterator[str]:
        """For a person."""
        would = "would be " * dry_run
        yield f"Reports of {topic!r}: {self.reports:,}; {self.labels:,} {would}published as labels, {self.frauds:,} of them fraud."
        for code, count in self.refused.most_common():
            told = UNJOINED[DeadLetterCode(code)].many if code in UNJOINED else f"are refused ({code})"
            kept = ""
            if code == DeadLetterCode.LABEL_UNMATCHED and self.since_ms is not None:
                kept = f", of those kept since {datetime.fromtimestamp(self.since_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
            yield f"  {count:,} {told}{kept}: {', '.join(self.places[code])}{', …' * (count > _SHOWN)}"
        if self.refused:
            yield f"  {'Each would be' if dry_run else 'Each is'} a dead letter of labels: `fraudstream dlq show` says why."


class ReportLot(NamedTuple):
    """Some reports in the order in which they were read: where each stands, its record, and what it says, or why it says nothing."""

    places: list[Place]
    records: list[Published]
    said: list[LabelReport | RecordError]


async def lots_of(
    log: Log, starts: Mapping[Place, int], reader: ReportReader, fetched: Callable[[], Awaitable[None]]
) -> AsyncIterator[ReportLot]:
    """The reports of a topic to its end, in lots of bounded size.

    Raises:
        Unavailable: Kafka does not answer, or a schema could not be fetched.
    """
    lot, size = ReportLot([], [], []), 0
    async with aclosing(log.walk(starts)) as walk:  # type: ignore[type-var]
        async for place, records in walk:
            if sum(map(reader.lacks, records)):  # every one is asked, so that all are fetched together
                await fetched()
            for record in records:
                lot.places.append(place)
                lot.records.append(record)
                lot.said.append(_said(reader, record))
                size += len(record.value or b"")
            if len(lot.said) >= MOST_AT_ONCE or size >= MOST_AT_ONCE_BYTES:
                yield lot
                lot, size = ReportLot([], [], []), 0
    if lot.said:
        yield lot


def _said(reader: ReportReader, record: Published) -> LabelReport | RecordError:
    try:
        return reader.read(record)
    except RecordError as error:
        return error


async def joined(
    lot: ReportLot, log: Log, payments: Place, inputs: Inputs, reading: tuple[ZoneInfo, float]
) -> list[MeantPayment | RecordError]:
    """The payment of each report of a lot, or why there is none.

    Args:
        lot: of reports.
        log: of the payments.
        payments: their topic, and how many partitions it has.
        inputs: how they are read.
        reading: whose days are meant; how many of them a report reaches back that names none.
    """
    topic, partitions = payments
    zone, days = reading
    read = [(number, said) for number, said in enumerate(lot.said) if isinstance(said, LabelReport)]
    found: list[MeantPayment | RecordError] = [
        said if isinstance(said, RecordError) else unjoined(DeadLetterCode.LABEL_UNMATCHED) for said in lot.said
    ]
    if not read:
        return found
    reports = [report for _, report in read]
    join = ReportJoin(reports, zone)
    starts = await log.from_time({(topic, number): reach_ms(reports, days) for number in range(partitions)})
    async for place, records in log.walk(starts):
        async for ready in some_ready(records, inputs.payments, inputs):
            for payment in decode_all(ready, inputs.payments, None).messages:
                join.see(payment, place[1])
    for at, (number, _) in enumerate(read):
        try:
            found[number] = join.found(at)
        except RecordError as error:
            found[number] = error
    return found


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


async def _run(settings: Settings, topic: str, reading: _ReportSource, *, dry_run: bool) -> LabelTally:
    client, name, tally = client_options(settings), f"{settings.consumer_group}-labels-{topic}", LabelTally()
    counts = await partition_counts(client, (topic, settings.transactions_topic, settings.labels_topic, settings.labels_dlq_topic))
    for needed in (topic, settings.transactions_topic, settings.labels_topic, settings.labels_dlq_topic):
        if needed not in counts:
            raise TopologyError(f"Topic {needed!r} does not exist. Check its name; `fraudstream topics` creates those that are ours.")
    log, (inputs, _) = KafkaLog(client, name), inputs_of(settings)
    payments = settings.transactions_topic, counts[settings.transactions_topic]
    async with _sender(client, name, counts, dry_run=dry_run) as sender:  # first: from here on nobody else of this name sends
        starts = await _starts(log, topic, counts[topic])
        tally.since_ms = await _kept_since(log, *payments)
        homes = CardHomes.told_by(await newest_keys(log, payments[0], range(payments[1])), counts[settings.labels_topic], PARTITIONERS)
        messages = LabelMessages(settings, homes, reading.card_fields)
        async for lot in lots_of(log, starts, reading.reader, reading.fetched):
            found = await joined(lot, log, payments, inputs, (reading.zone, reading.days))
            await _send(lot, found, messages, sender, tally)
    return tally


@asynccontextmanager
async def _sender(
    client: Mapping[str, object], name: str, counts: Mapping[str, int], *, dry_run: bool
) -> AsyncIterator[ReturningProducer | None]:
    if dry_run:
        yield None
        return
    async with returning_producer(client, name, counts, _COMMAND) as sender:
        yield sender


async def _starts(log: Log, topic: str, partitions: int) -> Mapping[Place, int]:
    """Where the last run ended, as far as that is there; a topic that was made anew is read from its beginning."""
    places = [(topic, number) for number in range(partitions)]
    committed, bounds = await log.committed(places), await log.bounds(places)
    return {p: max(b.begin, committed[p]) if committed[p] <= b.end else b.begin for p, b in bounds.items()}


async def _kept_since(log: Log, topic: str, partitions: int) -> int | None:
    """Kafka timestamp of the first payment."""
    return min([at for number in range(partitions) if (at := await log.timestamp((topic, number), 0)) is not None], default=None)


async def _send(
    lot: ReportLot,
    found: Sequence[MeantPayment | RecordError],
    messages: LabelMessages,
    sender: ReturningProducer | None,
    tally: LabelTally,
) -> None:
    """Publish what became of a lot, some reports in one transaction."""
    for run in batched(zip(lot.said, found, lot.records, lot.places, strict=True), AT_ONCE):
        sent: list[Addressed] = []
        for said, meant, record, place in run:
            message, error = messages.of(said, meant, record, place)
            sent.append(message)
            tally.reports += 1
            if error is not None:
                tally.refuse(str(error.code), place, record.offset)
            elif isinstance(said, LabelReport):
                tally.labels += 1
                tally.frauds += said.is_fraud
        if sender is not None:
            await sender.send(sent, {place: record.offset + 1 for *_, record, place in run})
