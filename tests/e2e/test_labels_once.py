"""A file of chargebacks that is sent again, on real servers: after a restart nothing is added, to outcomes nor to a terminal's risk."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from redis import Redis

from stream_app.features.plan import LABELS_LEN
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, publish, raw
from tests.e2e.test_one_id import outcomes
from tests.e2e.workers import worker
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.e2e.workers import Worker

PAID = NOW_MS - 86_400_000
MANY = LABELS_LEN + 8


def label_all(env: Mapping[str, str], running: Worker, counted: int) -> None:
    """One fraud label for each payment of the card, all of one time; they are counted."""
    labels = [raw(LABEL, transaction_id=f"T{n}", event_time=PAID + n, labelled_at=PAID + 3_600_000) for n in range(MANY)]
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["LABELS_TOPIC"], [(b"C1", label) for label in labels]))
    until(lambda: running.metric("fraudstream_labels_total") == counted, "the labels to be counted")


def test_labels_that_are_sent_again_add_nothing_before_and_after_a_restart(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """More than a card's row remembers; the terminal's value in Redis is the same to the byte."""
    terminal = f"{{{env['CONSUMER_GROUP']}:0}}t:M1"
    with Redis.from_url(env["REDIS_URL"]) as client:
        with worker(env | {"THRESHOLD": "0"}, port, tmp_path) as running:
            until(running.ready, "the worker to be ready")
            payments = [(b"C1", raw(TRANSACTION, transaction_id=f"T{n}", event_time=PAID + n)) for n in range(MANY)]
            asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], payments))
            until(lambda: running.metric("fraudstream_transactions_scored_total") == MANY, "all to be decided")
            label_all(env, running, MANY)
            until(lambda: outcomes(running)["caught"] == MANY, "every label to be judged")
            once = client.get(terminal)
            label_all(env, running, 2 * MANY)
            assert sum(outcomes(running).values()) == MANY
            assert client.get(terminal) == once
            assert running.stop() == 0, running.log.read_text()
        with worker(env | {"THRESHOLD": "0"}, port, tmp_path) as running:
            until(running.ready, "the worker to be ready")
            label_all(env, running, MANY)
            assert sum(outcomes(running).values()) == 0
            assert client.get(terminal) == once
            assert running.stop() == 0, running.log.read_text()
