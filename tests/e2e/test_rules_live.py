"""Rules and lists on real Kafka and Redis: written, in force within seconds, rolled back; then every decision is computed again."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream_app.local.stack import free_ports
from stream_app.messages.alert import Alert
from stream_app.rules.lists import CardList
from stream_app.rules.rule import Rule, release_of
from stream_app.settings import PREFIX
from tests.e2e.api_server import api_server
from tests.e2e.kafka import NOW_MS, TRANSACTION, read
from tests.e2e.workers import Worker, worker
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

RULE = Rule(
    "large", 1, "amount > 100 and card_prior_count_1h >= 1", "{amount} after {card_prior_count_1h}", "alert", "ann", "live", "step_up"
)
BAD = CardList("bad", "terminal", "block", "ann", "for tests")


def payment(id_: str, **fields: Any) -> bytes:
    """A payment of one card."""
    return json.dumps(TRANSACTION | {"transaction_id": id_, "event_time": NOW_MS} | fields).encode()


def send(servers: str, topic: str, records: Sequence[bytes], key: bytes | None = None) -> None:
    """Into partition 0."""

    async def body() -> None:
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            for value in records:
                await producer.send_and_wait(topic, value, key=key, partition=0)

    asyncio.run(body())


def told(env: dict[str, str], count: int) -> dict[str, Alert]:
    """The first alerts, by transaction."""
    records = asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["ALERTS_TOPIC"], count))
    return {alert.transaction_id: alert for alert in (msgspec.json.decode(record.value, type=Alert) for record in records)}


def blocked(api: Worker, terminal_id: str) -> bool:
    """Whether a terminal was put on the list by the API's route."""
    entries = {"entries": [{"value": terminal_id}], "author": "ann", "why": "seen"}
    return httpx.post(f"{api.url}/v1/lists/bad/entries", json=entries, timeout=30).status_code == httpx.codes.OK


def told_by(command_name: str, env: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    """A command: its exit code, the last line of what it says, and the log."""
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    command = [sys.executable, "-m", "stream_app.cli", command_name]
    found = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return found.returncode, json.loads(found.stdout.splitlines()[-1]), found.stderr


def test_rules_and_lists_decide_while_a_worker_runs_and_each_decision_is_computed_again(
    env: dict[str, str], port: int, tmp_path: Path
) -> None:
    """A rule alerts a payment; a terminal is blocked and the next payment there is declined, by the API first; the release is rolled back; nothing differs."""
    servers = env["KAFKA_BOOTSTRAP_SERVERS"]
    own = ("RULES_TOPIC", "LISTS_TOPIC", "ANSWERS_TOPIC")
    env |= {name: env["SCORES_TOPIC"].replace("scores", name.lower()) for name in own}

    def pay(one: Worker, id_: str, **fields: Any) -> None:
        before = one.metric("fraudstream_transactions_scored_total")
        send(servers, env["TRANSACTIONS_TOPIC"], [payment(id_, **fields)], b"C1")
        until(lambda: one.metric("fraudstream_transactions_scored_total") == before + 1, f"{id_} to be scored")

    async def make() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.create_topics([NewTopic(env[name], 1, 1) for name in own])
        await admin.close()

    with worker(env, port, tmp_path) as one:
        until(one.ready, "the worker to be ready, without the topics")
        pay(one, "before", amount=20.0)
        asyncio.run(make())
        first, back = release_of([RULE], "ann", "try", None), release_of([], "ann", "over", release_of([RULE], "ann", "try", None).name)
        send(servers, env["RULES_TOPIC"], [b"torn", msgspec.json.encode(RULE), msgspec.json.encode(first)])
        send(servers, env["LISTS_TOPIC"], [msgspec.json.encode(BAD)])
        until(lambda: one.metric("fraudstream_rules_in_force") == 1, "the release to be in force")
        until(lambda: one.metric("fraudstream_rules_offset") == 4, "both topics to be read")
        pay(one, "large", amount=101.0)
        with api_server(env, free_ports(1)[0], tmp_path) as api:
            until(lambda: blocked(api, "M9"), "the terminal to be blocked")  # answered with 200, it is in force; a busy machine may refuse
            body = payment("blocked", amount=1.0, terminal_id="M9")
            answer = httpx.post(f"{api.url}/v1/score", content=body, headers={"Content-Type": "application/json"}, timeout=30).json()
            assert (answer["action"], answer["decided_by"], answer["lists"]) == ("decline", "block", ["bad"])
            began = time.monotonic()
            until(
                lambda: one.metric("fraudstream_rules_offset") == api.metric("fraudstream_rules_offset"), "the worker to have read the list"
            )
            assert time.monotonic() - began < 10, "a change is there within seconds"
            pay(one, "blocked", amount=1.0, terminal_id="M9")
            assert api.stop() == 0, api.log.read_text()
        assert one.metric("fraudstream_rule_hits_total") == 1
        send(servers, env["RULES_TOPIC"], [msgspec.json.encode(back)])
        until(lambda: one.metric("fraudstream_rules_in_force") == 0, "the rule to be out of force")
        pay(one, "over", amount=102.0)
        assert one.metric("fraudstream_rules_records_refused_total") == 1
        assert one.metric("fraudstream_rule_hits_total") == 0, "a rule's series go with its release"
        assert one.stop() == 0, one.log.read_text()
    found = told(env, 2)
    assert {name: (alert.action, alert.decided_by) for name, alert in found.items()} == {
        "large": ("step_up", "rule"),
        "blocked": ("decline", "block"),
    }
    assert (found["large"].reasons[0].text, found["blocked"].lists) == ("101 after 1", ("bad",))
    code, summary, log = told_by("answers", env)
    assert (code, summary) == (0, {"answers": 1, "agreed": 1, "different": {}, "unmatched": {}, "unasked": 3}), log
    code, summary, log = told_by("verify", env)
    assert (code, summary["decisions"], summary["decision_differences"], summary["differences"]) == (0, 4, 0, 0), log
    assert summary["rules_reach"] == {"rules": 0, "lists": 0}
    assert summary["apart"] == {}
