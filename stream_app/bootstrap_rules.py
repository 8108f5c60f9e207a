"""What the rules and lists of a process are followed with, and changed."""

from __future__ import annotations

from functools import partial

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.publisher import LazyPublisher
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.rule_writer import RuleWriter, is_due, write_record
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.rule_desk import RuleDesk, RuleTopicWriter
from stream_app.delivery.topic_follower import TopicSource
from stream_app.features.entities import kept_of
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rules_log import RulesLog
from stream_app.scoring.observation import RulesObserver
from stream_app.settings import Settings


def live_rules(settings: Settings, observer: RulesObserver) -> LiveRules:
    """The rules and lists of the settings' topics, not read yet."""
    options = client_options(settings)
    log = KafkaLog(options, settings.consumer_group)

    async def id_of(topic: str) -> str | None:
        if (found := (await log.topic_ids([topic])).get(topic)) is not None:
            return found
        return "" if await partition_counts(options, [topic]) else None

    rules, lists = settings.rules_topic, settings.lists_topic
    return LiveRules(
        TopicSource("rules", rules, id_of, lambda refused: RuleTopic.open(options, rules, RulesLog, refused)),
        TopicSource("lists", lists, id_of, lambda refused: RuleTopic.open(options, lists, lists_log(settings), refused)),
        observer,
        kept_of(settings.entities),
    )


def rule_desk(settings: Settings, live: LiveRules, publisher: LazyPublisher) -> RuleDesk:
    """Where a process that follows rules and lists changes them."""
    options = client_options(settings)

    async def write(topic: str, value: bytes, checkpoint: int | None) -> int:
        return await write_record(await publisher.started(), topic, value, checkpoint)

    async def checkpoint(topic: str) -> None:
        if topic == settings.rules_topic:
            async with RuleWriter.open(options, topic, RulesLog) as rules:
                await rules.checkpoint()
            return
        async with RuleWriter.open(options, topic, lists_log(settings)) as lists:
            await lists.checkpoint()

    return RuleDesk(live, RuleTopicWriter(write, checkpoint, is_due), needs_approval=settings.rules_need_approval)


def lists_log(settings: Settings) -> partial[ListsLog]:
    """Makes an empty log of lists, by the settings of this process."""
    return partial(ListsLog, refuse_card_numbers=settings.refuse_card_numbers)
