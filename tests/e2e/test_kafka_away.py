"""A worker whose Kafka goes away and comes back: unready with the reason, quiet, and at work again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.local.stack import LocalStack
from stream_app.settings import load_settings
from tests.e2e.kafka import TRANSACTION, publish, raw
from tests.e2e.workers import worker
from tests.servers import Servers
from tests.waiting import until

pytestmark = pytest.mark.servers


def test_a_worker_without_its_kafka_says_so_once_and_comes_back(stack: Servers, champion: str, port: int, tmp_path: Path) -> None:
    """/readyz is 503 with the reason meanwhile; the log has one line each of going and coming, and no line of the libraries."""
    kafka = LocalStack(tmp_path / "kafka")
    servers = kafka.up(("kafka",)).kafka
    try:
        env = {"KAFKA_BOOTSTRAP_SERVERS": servers, "REDIS_URL": stack.redis, "MLFLOW_TRACKING_URI": stack.mlflow, "MODEL_NAME": champion}
        env["CONSUMER_GROUP"] = f"away-{port}"
        settings = load_settings(**{k.lower(): v for k, v in env.items()})
        asyncio.run(create_topics(client_options(settings), settings, partitions=2))
        with worker(env, port, tmp_path) as running:
            until(running.ready, "the worker to be ready")
            kafka.down()
            until(lambda: not running.ready(), "the worker to be unready")
            away = f"Kafka does not answer at {servers}: waiting."
            assert running.status("readyz")[1].startswith(away)
            assert running.status("livez")[0] == 200
            assert kafka.up(("kafka",)).kafka == servers
            until(running.ready, "the worker to be ready again")
            asyncio.run(publish(servers, "transactions", [(b"C1", raw(TRANSACTION))]))
            until(lambda: running.metric("fraudstream_transactions_scored_total") == 1, "a payment to be scored")
            log = running.log.read_text()
            kafka.down()
            until(lambda: not running.ready(), "the worker to be unready again")
            assert running.stop() == 0, "it stops while Kafka is away"
    finally:
        kafka.reset()
    assert log.count(away) == 1
    assert log.count(f"Kafka answers again at {servers}") == 1
    assert "aiokafka" not in log
    assert "\x1b" not in log, "escape codes in a log that is a file"
