"""What the rules and lists of a process are followed with."""

from __future__ import annotations

from functools import partial

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.delivery.live_rules import LiveRules, RuleTopics
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

    return LiveRules(
        RuleTopics(
            settings.rules_topic,
            settings.lists_topic,
            id_of,
            rules=lambda topic, refused: RuleTopic.open(options, topic, RulesLog, refused),
            lists=lambda topic, refused: RuleTopic.open(options, topic, lists_log(settings), refused),
        ),
        observer,
    )


def lists_log(settings: Settings) -> partial[ListsLog]:
    """Makes an empty log of lists, by the settings of this process."""
    return partial(ListsLog, refuse_card_numbers=settings.refuse_card_numbers)
