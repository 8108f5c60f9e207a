"""The operator's commands on real servers: `topics`, `doctor`, `alerts`."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis

from stream_app.commands.doctor import Finding, examine
from stream_app.local.stack import LocalStack
from stream_app.settings import load_settings
from tests.conftest import ROOT
from tests.e2e.kafka import make_topic, publish
from tests.waiting import DEADLINE_S
from tests.web import Page, web

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ALERT = json.loads((ROOT / "schemas" / "alert.v1.json").read_text())["examples"][0]


def findings(env: Mapping[str, str], **changes: str) -> dict[str, Finding]:
    """What the doctor says, by subject."""
    settings = load_settings(**{k.lower(): v for k, v in {**env, **changes}.items()})
    return {f.subject: f for f in asyncio.run(examine(settings))}


def command(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of our commands, as a user runs it."""
    settings = {f"FRAUDSTREAM_{k}": v for k, v in env.items()}
    return subprocess.run(
        [sys.executable, "-m", "stream_app.cli", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def test_the_doctor_finds_all_well(env: dict[str, str]) -> None:
    """Twelve parts, each with what it is."""
    found = findings(env)
    assert {subject: f.text for subject, f in found.items() if not f.well} == {}
    assert set(found) == {
        "Kafka",
        "topics",
        "copies",
        "codecs",
        "transactions",
        "keys",
        "Redis",
        "state",
        "MLflow",
        "model",
        "clock",
        "fields",
    }
    assert (
        found["topics"].text
        == "6 topics of 2 partitions; transactions and labels are kept for 39 days or more; rules and lists without end"
    )
    assert found["copies"].text.startswith("1 broker, 1 copy of each topic or more; but there is one broker, which is for trials")
    assert found["codecs"].text == "gzip, snappy, lz4, zstd work; the newest records of 8 topics can be read"


@pytest.fixture
def evicting(tmp_path: Path) -> Iterator[str]:
    """A Redis of its own that evicts what it was told to keep."""
    stack = LocalStack(tmp_path / "evicting")
    url = stack.up(("redis",)).redis
    try:
        with redis.Redis.from_url(url) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        yield url
    finally:
        stack.down()


def test_the_doctor_names_what_is_not_well_and_the_remedy(env: dict[str, str], evicting: str) -> None:
    """Topics that are missing, a Redis that evicts, a page that is not MLflow's, another currency: each beside the others."""
    with web({}, Page(b"<html>Please log in</html>")) as login:
        changes = {"ALERTS_TOPIC": "not-there", "REDIS_URL": evicting, "MLFLOW_TRACKING_URI": login.replace("//", "//user:pa$s@")}
        found = findings(env, **changes)
    assert found["Kafka"].well
    assert "missing: not-there. Create them: fraudstream topics" in found["topics"].text
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in found["Redis"].text
    assert "is not MLflow" in found["MLflow"].text
    assert (found["model"].well, found["model"].text) == (None, "not checked: see MLflow")
    assert not any("pa$s" in f.text for f in found.values())
    assert "trained on amounts in EUR" in findings(env, BASE_CURRENCY="USD")["model"].text


def test_the_doctor_tells_of_servers_that_are_away(env: dict[str, str]) -> None:
    """Each cause once, with its remedy; what depends on it is not checked, and says for want of what."""
    away = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "REDIS_URL": "redis://127.0.0.1:9/0", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    found = findings(env, **away)
    assert not any(f.well for f in found.values())
    assert {s: f.text for s, f in found.items() if f.well is None} == {
        "topics": "not checked: see Kafka",
        "copies": "not checked: see Kafka",
        "codecs": "not checked: see Kafka",
        "transactions": "not checked: see Kafka",
        "keys": "not checked: see Kafka",
        "state": "not checked: see Redis",
        "model": "not checked: see MLflow",
        "clock": "not checked: see MLflow",
        "fields": "not checked: see Kafka",
    }
    told = command({**env, **away}, "doctor")
    assert told.returncode == 1
    assert told.stdout.count("FAIL") == 3
    for setting in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "MLFLOW_TRACKING_URI"):
        assert told.stdout.count(f"FRAUDSTREAM_{setting}") == 1
    assert "Traceback" not in told.stdout + told.stderr


def test_topics_are_made_with_the_brokers_own_replication(env: dict[str, str], unique: str) -> None:
    """Without `--replication`, what the cluster's `default.replication.factor` says; only what is missing is made."""
    told = command({**env, "ALERTS_TOPIC": f"new-{unique}"}, "topics")
    assert told.stdout == f"Created new-{unique}\n", told.stderr
    assert (
        command({**env, "ALERTS_TOPIC": f"new-{unique}"}, "topics").stdout
        == "All topics exist, with 2 partitions each; those of rules and lists with one.\n"
    )


def test_alerts_are_shown_once_and_what_is_none_is_left_out(env: dict[str, str]) -> None:
    """Read to the end without `--follow`: an alert that stands twice is shown once, a foreign record and a tombstone are told and passed.

    Another card's alert of the same transaction id is another, also where it was written before its own id named the card.
    """
    assert command(env, "alerts").stdout.startswith("No alerts yet.")
    values = [json.dumps({**ALERT, "alert_id": "A-1", "transaction_id": "A-1", "card_id": c}).encode() for c in ("C1", "C1", "C2")]
    foreign: list[bytes | None] = [b'{"something": "else"}', None, b"\xff"]
    records: list[Any] = [(b"C1", v) for v in (values[0], *foreign, *values[1:])]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["ALERTS_TOPIC"], records))
    told = command(env, "alerts")
    assert told.returncode == 0, told.stderr
    assert [told.stdout.count(f"card {card}  terminal ") for card in ("C1", "C2")] == [1, 1]
    assert told.stdout.count("  A-1\n") + told.stdout.count("  A-1  ") == 2
    assert told.stderr.count("no alert, left out") == 3
    assert "offset 1: no alert" in told.stderr
    assert "Traceback" not in told.stderr
    assert command(env, "alerts", "--limit", "1").stdout.count(" terminal ") == 1


@pytest.mark.parametrize(
    ("change", "why", "code"),
    [
        ({"ALERTS_TOPIC": "not-there"}, "Topic 'not-there' does not exist. Create all that are missing: `fraudstream topics", 76),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, "Kafka", 69),
    ],
)
def test_alerts_without_topic_or_kafka_are_one_line(env: dict[str, str], change: dict[str, str], why: str, code: int) -> None:
    """What is wrong and the remedy; nothing of a library's."""
    told = command({**env, **change}, "alerts", "--follow")
    assert told.returncode == code
    assert why in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1, told.stderr


def test_partitions_that_differ_end_the_worker(env: dict[str, str], unique: str) -> None:
    """Alerts go to their transaction's partition: one line that names the numbers, and the exit code of a topology error."""
    asyncio.run(make_topic(env["KAFKA_BOOTSTRAP_SERVERS"], f"three-{unique}", 3))
    other = {**env, "ALERTS_TOPIC": f"three-{unique}", "METRICS_PORT": "0"}
    told = command(other, "worker")
    assert told.returncode == 76, told.stderr
    assert f"three-{unique} 3" in told.stderr
    assert "Traceback" not in told.stderr
    remedy = f"Delete and make again: kafka-topics.sh --bootstrap-server {env['KAFKA_BOOTSTRAP_SERVERS']} --delete --topic three-{unique}; "
    assert remedy in told.stderr
    assert remedy in findings(other)["topics"].text


def test_topics_that_exist_and_differ_are_told_with_what_to_do(env: dict[str, str], unique: str) -> None:
    """What is missing is made as the transactions are; the exit code is that of a topology error, and no input is to be altered."""
    for name, partitions in ((f"inputs-{unique}", 3), (f"outputs-{unique}", 1)):
        asyncio.run(make_topic(env["KAFKA_BOOTSTRAP_SERVERS"], name, partitions))
    changes = {"TRANSACTIONS_TOPIC": f"inputs-{unique}", "ALERTS_TOPIC": f"outputs-{unique}", "SCORES_TOPIC": f"made-{unique}"}
    told = command({**env, **changes}, "topics", "--partitions", "8")
    assert told.returncode == 76, told.stderr
    assert told.stdout == f"Created made-{unique}\n"
    assert f"inputs-{unique} 3, {env['LABELS_TOPIC']} 2, outputs-{unique} 1," in told.stderr
    assert f"made-{unique} 3)" in told.stderr
    for output in (f"outputs-{unique}", env["TRANSACTIONS_DLQ_TOPIC"], env["LABELS_DLQ_TOPIC"]):
        assert f"--alter --topic {output} --partitions 3" in told.stderr
    assert told.stderr.count("--alter") == 3
    assert "Labels: make a new topic of 3 partitions" in told.stderr
    assert len(told.stderr.strip().splitlines()) == 1


def test_topics_that_keep_less_than_the_horizon_are_told_of(env: dict[str, str], unique: str) -> None:
    """A topic that somebody made with a week's retention: the doctor names it, with the command that mends it."""
    asyncio.run(make_topic(env["KAFKA_BOOTSTRAP_SERVERS"], f"week-{unique}", 2, {"retention.ms": "604800000"}))
    found = findings(env, LABELS_TOPIC=f"week-{unique}")["topics"]
    assert not found.well
    assert f"topic 'week-{unique}' keeps 7.0 days of the 39 that are needed" in found.text
    assert f"--alter --topic week-{unique} --add-config cleanup.policy=delete,retention.ms=3369600000" in found.text
