"""The evidence of `fraudstream verify` on rules and lists: what their topics held when each decision was taken."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.audit.rulings import RulesOfThen, Rulings
from stream_app.audit.verification import ModelName, VerificationReport
from stream_app.bootstrap_rules import lists_log
from stream_app.commands.evidence import Evidence
from stream_app.delivery.ports import Bounds
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.records import Published
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import Restoration, TopicLog
from stream_app.settings import Settings

type Reach = Mapping[str, int | None]
"""Of rules and of lists, the first offset from which what was in force is known; None where it is not."""


class RulingsFound(NamedTuple):
    """What was found, and how far back the topics reach."""

    report: VerificationReport
    reach: Reach


async def decided_again(settings: Settings, evidence: Evidence, models: Mapping[ModelName, ModelMetadata], unit: int) -> RulingsFound:
    """Take all decisions again by the rules and lists of their moment. The lists are read once, and none of their past states is kept.

    Raises:
        Unavailable: if Kafka does not answer.
    """
    topics = settings.rule_topics()
    log = KafkaLog(client_options(settings), settings.consumer_group, topics)
    there = await partition_counts(client_options(settings), topics)
    ids = await log.topic_ids(list(there)) if there else {}
    found = await log.bounds([(topic, 0) for topic in there]) if there else {}
    of_rules, of_lists = (found.get((topic, 0), Bounds(0, 0)) for topic in topics)
    rules = await _reaching_back(log, topics[0], of_rules, lambda: RulesLog(sys.maxsize))
    lists = await _reaching_back(log, topics[1], of_lists, lists_log(settings))
    reach = {"rules": rules.offset if rules else None, "lists": lists.offset if lists else None}
    if rules is not None:
        async for records in _tail(log, topics[0], rules, of_rules):
            for record in records:
                rules.apply(record.offset, record.value, record.timestamp)
    then = RulesOfThen(rules, lists, of_lists.end, (ids.get(topics[0], ""), ids.get(topics[1], "")))
    rulings = Rulings(evidence.decisions, evidence.histories, models, then, unit)
    async for records in _tail(log, topics[1], lists, of_lists):
        rulings.read(record for record in records if record.offset < of_lists.end)
    return RulingsFound(rulings.finish(), reach)


async def _tail(log: KafkaLog, topic: str, state: TopicLog[Any] | None, bounds: Bounds) -> AsyncIterator[Sequence[Published]]:
    """The records from a state on; none where that is not known, or there is no such topic."""
    if state is not None and state.offset < bounds.end:
        async for _, records in log.walk({(topic, 0): state.offset}):
            yield records


async def _reaching_back[L: TopicLog[Any]](log: KafkaLog, topic: str, bounds: Bounds, empty: Callable[[], L]) -> L | None:
    """The oldest state that is known: at the topic's beginning, or at its oldest whole checkpoint; None where there is neither."""
    if not bounds.begin:
        return empty()
    restoration = Restoration(empty)
    async for _, records in log.walk({(topic, 0): bounds.begin}):
        for record in records:
            found = restoration.read(record.offset, record.value)
            if found is not None and found.offset >= bounds.begin:
                return found
    return None
