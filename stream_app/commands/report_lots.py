"""Reports of labels, some at a time, and the payments that they mean."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple
from zoneinfo import ZoneInfo

from stream_app.delivery.ports import Log
from stream_app.errors import RecordError
from stream_app.labelling.report_join import MeantPayment, ReportJoin, reach_ms, unjoined
from stream_app.labelling.report_reader import ReportReader
from stream_app.messages.label_reports import LabelReport
from stream_app.messages.records import Place, Published
from stream_app.messages.refusals import DeadLetterCode
from stream_app.scoring.intake import decode_all
from stream_app.wire.inputs import Inputs, some_ready

MOST_AT_ONCE = 100_000
MOST_AT_ONCE_BYTES = 64 * 2**20


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
