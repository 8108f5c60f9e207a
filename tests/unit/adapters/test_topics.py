"""Topics that were just made: the next command finds them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from stream_app.adapters.kafka import topics
from stream_app.errors import Unavailable
from stream_app.settings import load_settings


class Brokers:
    """They tell of a topic from the third question on."""

    def __init__(self) -> None:
        self.asked = 0

    async def counts(self, _options: dict[str, Any], names: Sequence[str]) -> dict[str, int]:
        """See `partition_counts`."""
        self.asked += 1
        return dict.fromkeys(names, 2) if self.asked > 2 else {}


def test_what_was_made_is_waited_for_until_the_brokers_tell_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that they never tell of is named."""
    brokers = Brokers()
    monkeypatch.setattr(topics, "partition_counts", brokers.counts)
    asyncio.run(topics._until_known({}, ["made"]))
    assert brokers.asked == 3
    brokers.asked = -1_000_000
    monkeypatch.setattr(topics, "KNOWN_WITHIN_S", 0.0)
    with pytest.raises(Unavailable, match="Kafka created made, and does not show it"):
        asyncio.run(topics._until_known({}, ["made"]))


def test_topics_are_made_with_what_brokers_can_bound() -> None:
    """None is compacted, a batch has Kafka's default size; an input takes no time of the future, and its batches stay as they came."""
    settings = load_settings(scores_topic="scores")
    made = {name: topics._config(name, settings) for name in settings.topics()}
    inputs = {settings.transactions_topic, settings.labels_topic}
    assert {config["cleanup.policy"] for config in made.values()} == {"delete"}
    assert {config["max.message.bytes"] for config in made.values()} == {"1048588"}
    assert {name for name, config in made.items() if config.get("message.timestamp.after.max.ms") == "3600000"} == inputs
    assert {name for name, config in made.items() if config.get("compression.type") == "producer"} == inputs


def test_topics_of_rules_and_lists_are_kept_as_long_as_the_setting_says() -> None:
    """Without one, without end; their records have the broker's time."""
    for days, kept in ((None, "-1"), (400, "34560000000")):
        settings = load_settings(rules_keep_days=days)
        made = [topics._config(name, settings) for name in settings.rule_topics()]
        assert {config["retention.ms"] for config in made} == {kept}
        assert {(config["retention.bytes"], config["message.timestamp.type"]) for config in made} == {("-1", "LogAppendTime")}
