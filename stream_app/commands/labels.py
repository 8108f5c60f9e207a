"""`fraudstream labels`: chargebacks and reports in a topic of their own, joined to the payments that they mean, and published as labels, each once.

1. Reports are read from where the last run ended, some at a time, see `report_lots`.
2. The payments are read once for those, from the first time on that one of them reaches; see `stream_app.labelling.report_join`.
3. A label goes to the partition of its card, what has no payment to the dead letters of labels, some in one Kafka transaction, and with it how far
   the reports were read. So whatever is killed, each is published once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import typer

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.returning import AT_ONCE, ReturningProducer, returning_producer
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.bootstrap_inputs import inputs_of, mapping_in, reports_of
from stream_app.commands.coroutines import result_of
from stream_app.commands.label_messages import LabelMessages
from stream_app.commands.report_lots import ReportLot, joined, lots_of
from stream_app.delivery.placement import CardHomes, newest_keys
from stream_app.delivery.ports import Log
from stream_app.errors import DataError, RecordError, TopologyError
from stream_app.labelling.report_join import MeantPayment
from stream_app.labelling.report_reader import ReportReader
from stream_app.messages.label_reports import UNJOINED, LabelReport
from stream_app.messages.records import Addressed, Place
from stream_app.messages.refusals import DeadLetterCode
from stream_app.settings import Settings, load_settings
from stream_app.wire.mapping import MappingError, SourceMapping

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
