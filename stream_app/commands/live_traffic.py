"""What `fraudstream compare` reads: the scores and labels of a span of time, once, a batch at a time; nothing is kept of them but sums."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.bootstrap import topics_of
from stream_app.bootstrap_inputs import inputs_of
from stream_app.commands.evidence import equal_partitions, input_ids
from stream_app.comparing.answer import comparison_of
from stream_app.comparing.judged_payments import JudgedScore, ModelPair
from stream_app.comparing.known_labels import KnownLabels
from stream_app.comparing.live_comparison import LiveComparison
from stream_app.comparing.live_figures import LiveCosts
from stream_app.comparing.live_sums import LargestAlerts, LiveSpan, LiveSums
from stream_app.delivery.rebuild import MOST_AHEAD_MS
from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import ModelReference
from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.money import Money
from stream_app.messages.records import Place, Published, decoded
from stream_app.messages.transaction import Label
from stream_app.scoring.already_published import of_these_topics
from stream_app.scoring.intake import decode_all
from stream_app.settings import Settings
from stream_app.wire.inputs import some_ready

MOST_DAYS = 62
"""Of a span: about a megabyte of counts each."""
_NEWEST = 200
"""Records of each partition that tell what time it is in the topic, and who judges now."""


@dataclass(frozen=True, slots=True)
class AskedComparison:
    """What is asked for.

    Attributes:
        since_ms, until_ms: event times; None: `days` whole days before payments are too young, and no end.
        delay_days: how long a fraud takes to become known.
        versions: of champion and challenger; empty: those of the newest payment that both judged.
        costs: what alerts cost.
        shown: alerts of one only that are kept.
    """

    since_ms: int | None
    until_ms: int | None
    days: int
    delay_days: float
    versions: tuple[str, str]
    costs: LiveCosts
    shown: int


class FoundLive(NamedTuple):
    """What was found, and the largest alerts that only the champion, and only the challenger would raise."""

    comparison: LiveComparison
    only: tuple[LargestAlerts, LargestAlerts]


async def live_comparison(settings: Settings, money: Money, asked: AskedComparison) -> FoundLive:
    """Compare both.

    1. the newest records say what time it is, and who judges;
    2. labels of the span are read, each payment's newest kept;
    3. scores of the span are read, and added up with what the labels say.

    Raises:
        SettingsError: scores are not published.
        TopologyError: a topic is missing, or they differ in their number of partitions.
        DataError: no score has a challenger beside it, or the span is too long.
        Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
    """
    live = _LiveTopics(settings, await equal_partitions(settings))
    newest = await live.newest()
    pair = _pair(newest.pairs, asked.versions, settings.model_name)
    span = _span(asked, newest.at_ms)
    labels = await live.labels(span)
    if labels.begins_ms > span.begins_ms:
        span = span._replace(begins_ms=labels.begins_ms)
    sums = LiveSums(span, pair, money, labels, asked.shown)
    await live.add_scores(sums)
    if not sums.judged:
        raise DataError(
            f"No payment from {span.begins_ms} on was judged by versions {pair.champion.version} and {pair.challenger.version} together. Give another "
            "--since, --champion or --challenger."
        )
    return FoundLive(comparison_of(sums, labels, asked.costs, money.currency, asked.delay_days), sums.only)


class _Newest(NamedTuple):
    """What the newest records say: the latest time in them, and who judged, the latest first."""

    at_ms: int
    pairs: Sequence[ModelPair]


class _LiveTopics:
    """The topics of scores and labels, read from a time on."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._settings = settings
        self._log = KafkaLog(client_options(settings), settings.consumer_group, topics_of(settings).written)
        self._places = {
            topic: [(topic, number) for number in range(partitions)] for topic in (settings.scores_topic, settings.labels_topic)
        }
        self._score = msgspec.json.Decoder(JudgedScore)
        self._ahead_ms = MOST_AHEAD_MS + settings.max_ahead_of_clock_s * 1000

    async def newest(self) -> _Newest:
        """See `_Newest`."""
        scores = [s async for found, _ in self._scores(await self._tail(self._settings.scores_topic)) for s in found]
        told_ms = [label.labelled_at async for found in self._labels(await self._tail(self._settings.labels_topic)) for label in found]
        latest = sorted(scores, key=lambda score: (score.event_time, score.source.offset), reverse=True)
        pairs = [pair for score in latest if (pair := ModelPair.of(score)) is not None]
        return _Newest(max([0, *told_ms, *(score.event_time for score in scores)]), pairs)

    async def labels(self, span: LiveSpan) -> KnownLabels:
        """The newest label of each payment of a span."""
        known = KnownLabels(span.begins_ms)
        async for found in self._labels(await self._since(self._settings.labels_topic, span)):
            for label in found:
                known.add(label)
        return known

    async def add_scores(self, sums: LiveSums) -> None:
        """Add every score of a span."""
        async for found, others in self._scores(await self._since(self._settings.scores_topic, sums.span)):
            sums.apart["records that are no score of these topics"] += others
            for score in found:
                sums.add(score)

    async def _tail(self, topic: str) -> Mapping[Place, int]:
        bounds = await self._log.bounds(self._places[topic])
        return {place: max(begin, end - _NEWEST) for place, (begin, end) in bounds.items()}

    async def _since(self, topic: str, span: LiveSpan) -> Mapping[Place, int]:
        """Where to begin: nothing is published long before the time of its payment."""
        return await self._log.from_time(dict.fromkeys(self._places[topic], max(0, span.begins_ms - self._ahead_ms)))

    async def _scores(self, starts: Mapping[Place, int]) -> AsyncIterator[tuple[list[JudgedScore], int]]:
        """Those of these very topics, each batch with how many others were in it."""
        ids = await input_ids(self._log, self._settings)
        async for (_, partition), records in self._log.walk(starts):
            found = [score for record in of_these_topics(records, ids) if (score := self._read(record, partition)) is not None]
            yield found, len(records) - len(found)

    def _read(self, record: Published, partition: int) -> JudgedScore | None:
        score = decoded(self._score, record.value)
        here = score is not None and (score.source.topic, score.source.partition) == (self._settings.transactions_topic, partition)
        return score if here else None

    async def _labels(self, starts: Mapping[Place, int]) -> AsyncIterator[list[Label]]:
        """Those that a worker takes."""
        inputs, _ = inputs_of(self._settings)
        async for _, records in self._log.walk(starts):
            async for ready in some_ready(records, inputs.labels, inputs):
                yield decode_all(ready, inputs.labels, None).messages


def _pair(pairs: Sequence[ModelPair], versions: tuple[str, str], name: str) -> ModelPair:
    """Who is compared.

    Raises:
        DataError: nobody judged beside another of late, and not both are named.
    """
    for pair in pairs:
        if all(asked in {"", of.version} for asked, of in zip(versions, pair, strict=True)):
            return pair
    if all(versions):
        return ModelPair(*(ModelReference(name, version) for version in versions))
    raise DataError(
        "None of the newest scores was judged by a challenger beside the champion, or by these versions. Point the alias FRAUDSTREAM_CHALLENGER_ALIAS "
        "to a version, and wait; or name both with --champion and --challenger."
    )


def _span(asked: AskedComparison, now_ms: int) -> LiveSpan:
    """The span, where this is the latest time in the topics.

    Raises:
        DataError: it is too long, or no span.
    """
    due_ms = now_ms - round(asked.delay_days * DAY_MS)
    if asked.since_ms is None and asked.until_ms is None:
        due_ms = due_ms // DAY_MS * DAY_MS  # whole days
    ends_ms = MAX_EVENT_TIME_MS if asked.until_ms is None else asked.until_ms
    begins_ms = min(due_ms, ends_ms) - asked.days * DAY_MS if asked.since_ms is None else asked.since_ms
    last_ms = min(now_ms, ends_ms)
    if begins_ms >= ends_ms:
        raise DataError("--until is not after --since. Give an earlier --since.")
    if last_ms - begins_ms > (MOST_DAYS + asked.delay_days) * DAY_MS:
        raise DataError(
            f"From --since on there are {(last_ms - begins_ms) / DAY_MS:.0f} days; {MOST_DAYS} are compared at the most. Give a later one."
        )
    return LiveSpan(max(0, begins_ms), ends_ms, due_ms)
