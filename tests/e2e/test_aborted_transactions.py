"""Producers' Kafka transactions on real servers: what is aborted never happened, what is open waits and is told, outputs stand."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream_app.adapters.kafka.log import KafkaLog
from tests.e2e.kafka import LABEL, TRANSACTION, publish, raw
from tests.e2e.test_codecs import run
from tests.e2e.workers import Worker, worker
from tests.topics import records_of
from tests.waiting import DEADLINE_S, until

pytestmark = pytest.mark.long
CARD = b"C1"
UNCOMMITTED = """
import sys
import stream_app.adapters.kafka.consumer

stream_app.adapters.kafka.consumer.COMMITTED = "read_uncommitted"
from stream_app.worker import run

sys.exit(run())
"""


@asynccontextmanager
async def transactional(env: dict[str, str], **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that has begun a transaction."""
    name = f"{env['CONSUMER_GROUP']}-{time.monotonic_ns()}"
    async with AIOKafkaProducer(bootstrap_servers=env["KAFKA_BOOTSTRAP_SERVERS"], transactional_id=name, **options) as producer:
        await producer.begin_transaction()
        yield producer


async def within(producer: AIOKafkaProducer, topic: str, values: Sequence[bytes]) -> None:
    """Records of partition 0 in the producer's transaction."""
    for sent in [await producer.send(topic, value, key=CARD, partition=0) for value in values]:
        await sent


async def aborted(env: dict[str, str], topic: str, values: Sequence[bytes], **options: Any) -> None:
    """A transaction of these records that is aborted."""
    async with transactional(env, **options) as producer:
        await within(producer, topic, values)
        await producer.abort_transaction()


def payments(*ids: str) -> list[bytes]:
    """Payments of one card."""
    return [raw(TRANSACTION, transaction_id=i, note="x" * 200) for i in ids]


def send(env: dict[str, str], *ids: str) -> None:
    """Payments without a transaction."""
    asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], [(CARD, value) for value in payments(*ids)]))


def scores(env: dict[str, str]) -> list[dict[str, Any]]:
    """What is published, whole."""
    place = (env["SCORES_TOPIC"], 0)
    found = asyncio.run(records_of(KafkaLog({"bootstrap_servers": env["KAFKA_BOOTSTRAP_SERVERS"]}, "any", (place[0],)), {place: 0}))
    return [json.loads(record.value or b"{}") for record in found[place]]


def scored(env: dict[str, str], running: Worker, *ids: str) -> list[dict[str, Any]]:
    """The scores, when there are as many."""
    until(lambda: running.metric("fraudstream_transactions_scored_total") >= len(ids), f"{len(ids)} payments")
    found = scores(env)
    assert [score["transaction_id"] for score in found] == list(ids), running.log.read_text()
    return found


def counts(found: Sequence[dict[str, Any]]) -> list[int]:
    """How many payments of its card each decision saw within a day, itself among them."""
    return [int(score["features"]["card_count_1d"]) for score in found]


def test_an_aborted_payment_is_never_decided_nor_counted(env: dict[str, str], tmp_path: Path, port: int) -> None:
    """Whatever codec its batch has; verify finds the same; the marks at the end are no lag; a rebuild counts it no more than the worker."""
    topic = env["TRANSACTIONS_TOPIC"]
    send(env, "T1")
    for codec in (None, "gzip"):
        asyncio.run(aborted(env, topic, payments("A1", "A2", "A3"), compression_type=codec))
    with worker(env, port, tmp_path) as running:
        scored(env, running, "T1")
        until(lambda: running.metric("fraudstream_lag_records") == 0, "no lag, though marks stand at the end")
        send(env, "T2")
        found = scored(env, running, "T1", "T2")
        verified = run(env, "-m", "stream_app.cli", "verify")
        assert verified.returncode == 0, verified.stderr
        assert json.loads(verified.stdout.splitlines()[-1])["vectors"] == 2
        assert running.stop() == 0
    assert counts(found) == [1, 2]


def test_an_open_transaction_on_payments_holds_them_back_and_is_told(env: dict[str, str], tmp_path: Path, port: int) -> None:
    """Lag shows them, the log and doctor name the place; when it ends they are decided in the log's order."""

    async def body(running: Worker) -> None:
        async with transactional(env) as producer:
            await within(producer, env["TRANSACTIONS_TOPIC"], payments("T2"))
            await asyncio.to_thread(send, env, "T3")
            told = f"Topic '{env['TRANSACTIONS_TOPIC']}', partition 0: a producer's transaction is open since"
            await asyncio.to_thread(until, lambda: told in running.log.read_text(), "the line")
            assert "--start-offset 1" in running.log.read_text()
            assert running.metric("fraudstream_lag_records") == 2
            assert running.metric("fraudstream_cursor_age_seconds") > 5
            examined = await asyncio.to_thread(run, env, "-m", "stream_app.cli", "doctor")
            assert told in examined.stdout + examined.stderr
            assert running.metric("fraudstream_transactions_scored_total") == 1
            await producer.commit_transaction()

    send(env, "T1")
    with worker(env, port, tmp_path) as running:
        scored(env, running, "T1")
        asyncio.run(body(running))
        scored(env, running, "T1", "T2", "T3")


def test_an_open_transaction_on_labels_stops_no_payment(env: dict[str, str], tmp_path: Path, port: int) -> None:
    """All labels that can be read are read: payments go on, and the label counts when it is committed."""

    async def body() -> None:
        async with transactional(env, transaction_timeout_ms=int(DEADLINE_S * 1000)) as producer:
            await within(producer, env["LABELS_TOPIC"], [raw(LABEL, transaction_id="T1")])
            with worker(env, port, tmp_path) as running:
                await asyncio.to_thread(send, env, "T1", "T2")
                await asyncio.to_thread(
                    until, lambda: running.metric("fraudstream_transactions_scored_total") == 2, "payments beside an open label"
                )
                assert running.metric("fraudstream_labels_total") == 0
                await producer.commit_transaction()
                await asyncio.to_thread(until, lambda: running.metric("fraudstream_labels_total") == 1, "the label")

    asyncio.run(body())


def test_what_stands_behind_an_open_transaction_of_an_output_is_found_by_the_next_owner(
    env: dict[str, str], tmp_path: Path, port: int
) -> None:
    """Outputs are read whole: a foreign transaction on scores makes nobody publish twice, also after the state was lost."""

    async def body() -> None:
        async with transactional(env, transaction_timeout_ms=int(DEADLINE_S * 1000)) as producer:
            await within(producer, env["SCORES_TOPIC"], [b"foreign"])
            await asyncio.to_thread(send, env, "T1", "T2")
            with worker(env, port, tmp_path) as running:
                await asyncio.to_thread(until, lambda: running.metric("fraudstream_transactions_scored_total") == 2, "payments")
                running.process.kill()
                running.process.wait()
            with worker({**env, "REDIS_URL": f"{env['REDIS_URL'].rsplit('/', 1)[0]}/1"}, port, tmp_path) as running:
                await asyncio.to_thread(send, env, "T3")
                await asyncio.to_thread(until, lambda: running.metric("fraudstream_transactions_scored_total") >= 1, "the third payment")
            await producer.abort_transaction()

    asyncio.run(body())
    place = (env["SCORES_TOPIC"], 0)
    log = KafkaLog({"bootstrap_servers": env["KAFKA_BOOTSTRAP_SERVERS"]}, "any", (place[0],))
    values = [r.value or b"" for r in asyncio.run(records_of(log, {place: 0}))[place]]
    assert [json.loads(v)["transaction_id"] for v in values if v.startswith(b"{")] == ["T1", "T2", "T3"]


@asynccontextmanager
async def read_dirty(env: dict[str, str], port: int, tmp_path: Path) -> AsyncIterator[AIOKafkaProducer]:
    """A worker that reads uncommitted decided T1, A1 and A2 and has ended; A1 and A2 are in a transaction that is open."""
    async with transactional(env, transaction_timeout_ms=int(DEADLINE_S * 1000)) as producer:
        with worker(env, port, tmp_path, ("-c", UNCOMMITTED)) as running:
            await asyncio.to_thread(send, env, "T1")
            await within(producer, env["TRANSACTIONS_TOPIC"], payments("A1", "A2"))
            await asyncio.to_thread(until, lambda: running.metric("fraudstream_transactions_scored_total") == 3, "dirty reads")
            assert running.stop() == 0
        yield producer


def test_a_cursor_within_an_open_transaction_goes_on_where_it_is_aborted(env: dict[str, str], tmp_path: Path, port: int) -> None:
    """The log is known again by a record of it, open and aborted: it is not cut. What the state counted, it has counted."""

    async def body() -> None:
        async with read_dirty(env, port, tmp_path) as producer:
            with worker(env, port, tmp_path) as running:
                await asyncio.to_thread(send, env, "T2")
                await asyncio.to_thread(until, lambda: running.metric("fraudstream_lag_records") == 1, "T2 behind the transaction")
                assert running.stop() == 0
            await producer.abort_transaction()

    asyncio.run(body())
    with worker(env, port, tmp_path) as running:
        until(lambda: running.metric("fraudstream_transactions_scored_total") == 1, "the next payment")
    found = scores(env)
    assert [score["transaction_id"] for score in found] == ["T1", "A1", "A2", "T2"]
    assert counts(found) == [1, 2, 3, 4]


def test_what_a_version_that_read_uncommitted_decided_stands_and_is_not_counted_again(
    env: dict[str, str], tmp_path: Path, port: int
) -> None:
    """Its cursor lies behind payments that were aborted since: a rebuild passes them, goes on, and `verify` tells of their decisions."""

    async def body() -> None:
        async with read_dirty(env, port, tmp_path) as producer:
            await producer.abort_transaction()

    asyncio.run(body())
    anew = {**env, "REDIS_URL": f"{env['REDIS_URL'].rsplit('/', 1)[0]}/1"}
    with worker(anew, port, tmp_path) as running:
        until(lambda: running.metric("fraudstream_transactions_rebuilt_total") == 1, "the rebuild")
        send(env, "T2")
        until(lambda: running.metric("fraudstream_transactions_scored_total") == 1, "the next payment")
    found = scores(env)
    assert [score["transaction_id"] for score in found] == ["T1", "A1", "A2", "T2"]
    assert counts(found) == [1, 2, 3, 2]
    verified = run(env, "-m", "stream_app.cli", "verify")
    assert verified.returncode == 0, verified.stderr
    of_features, of_rules = "transaction not in the topics", "no transaction to decide again"
    assert json.loads(verified.stdout.splitlines()[-1])["apart"] == {of_features: 2, of_rules: 2}
