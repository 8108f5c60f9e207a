"""What is said of topics that do not fit together, and of a check that breaks; the rest of `doctor` is asked of real servers (tests/e2e/test_operate.py)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from stream_app.adapters.kafka.topology import unequal
from stream_app.commands.doctor import _finding
from stream_app.errors import Unavailable
from stream_app.settings import LOCAL_ENV, load_settings

if TYPE_CHECKING:
    from stream_app.settings import Settings

COUNTS = {"transactions": 4, "fraud-labels": 4, "fraud-alerts": 4, "transactions-dlq": 4, "fraud-labels-dlq": 4}


def test_partitions_are_added_to_outputs_only() -> None:
    """To as many as the transactions have, with the command that does it; an input with more is never touched."""
    text = unequal(load_settings(), {**COUNTS, "transactions": 6, "fraud-labels": 6, "transactions-dlq": 6})
    command = "kafka-topics.sh --bootstrap-server localhost:9092 --alter --topic"
    assert f"{command} fraud-alerts --partitions 6" in text
    assert f"{command} fraud-labels-dlq --partitions 6" in text
    assert text.count("--alter") == 2
    assert "--delete" not in text


def test_an_output_with_too_many_partitions_is_made_again() -> None:
    """Kafka takes none away."""
    text = unequal(load_settings(), {**COUNTS, "fraud-alerts": 8})
    assert "kafka-topics.sh --bootstrap-server localhost:9092 --delete --topic fraud-alerts; fraudstream topics" in text
    assert "--alter" not in text


def test_labels_of_another_number_move_to_a_new_topic() -> None:
    """Partitions added to them would move cards between partitions."""
    for number in (2, 8):
        text = unequal(load_settings(), {**COUNTS, "fraud-labels": number})
        assert "make a new topic of 4 partitions" in text
        assert "FRAUDSTREAM_LABELS_TOPIC" in text
        assert "--alter" not in text
        assert "--delete" not in text


def test_a_check_that_breaks_does_not_hide_the_others() -> None:
    """It is told as a finding of its own, without a password that the text may hold."""

    async def breaks(_settings: Settings) -> str:
        raise KeyError("http://user:pa$s@mlflow:5000")

    finding = asyncio.run(_finding("MLflow", breaks, load_settings()))
    assert not finding.well
    assert "could not be examined: KeyError" in finding.text
    assert "pa$s" not in finding.text


def test_where_no_setting_names_a_server_the_remedy_is_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first day has neither environment nor local stack; who named a server, or started the stack, is told to look at that."""

    async def away(_settings: Settings) -> str:
        raise Unavailable("Kafka did not answer.")

    def told(subject: str) -> str:
        return asyncio.run(_finding(subject, away, load_settings())).text

    assert told("Kafka").endswith("`fraudstream local up` starts Kafka, Redis and MLflow on this machine.")
    assert told("Redis").endswith("on this machine.")
    assert told("topics") == "Kafka did not answer."
    with monkeypatch.context() as patch:
        patch.setenv("FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS", "kafka-1:9092")
        assert told("Kafka") == "Kafka did not answer."
    LOCAL_ENV.parent.mkdir()
    LOCAL_ENV.touch()
    assert told("Kafka") == "Kafka did not answer."
