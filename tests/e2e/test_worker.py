"""The real worker on real servers: bad input, start without MLflow, readiness, SIGTERM."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from jsonschema import Draft202012Validator

from stream_app.delivery.dead_letter import MOST_VALUE_BYTES
from stream_app.messages.event_time import NOT_MILLISECONDS
from tests.conftest import ROOT
from tests.e2e.workers import worker
from tests.waiting import DEADLINE_S, until

NOW_MS = int(time.time() * 1000)
CARD_NUMBER = "4111111111111111"


def transaction(**changes: Any) -> dict[str, Any]:
    """A valid transaction, changed."""
    good = {
        "transaction_id": "T1",
        "event_time": NOW_MS,
        "card_id": "C1",
        "terminal_id": "M1",
        "amount": 12.5,
        "currency": "EUR",
    }
    return {k: v for k, v in (good | changes).items() if v is not ...}


def raw(**changes: Any) -> bytes:
    """The JSON of a valid transaction, changed; `...` leaves a field out."""
    return json.dumps(transaction(**changes)).encode()


BAD: list[tuple[str, bytes | None, str]] = [
    ("not JSON", b"hello", "not_json"),
    ("JSON of another shape", b"[1, 2]", "wrong_shape"),
    ("a missing field", raw(amount=...), "missing_field"),
    ("a wrong type", raw(amount="12.50"), "wrong_type"),
    ("NaN", raw(amount=float("nan")), "not_json"),
    ("infinity", raw(amount=float("inf")), "not_json"),
    ("a number beyond all", raw().replace(b"12.5", b"1e999"), "out_of_range"),
    ("a negative amount", raw(amount=-1), "out_of_range"),
    ("a huge amount", raw(amount=1e10), "out_of_range"),
    ("an empty id", raw(transaction_id=""), "out_of_range"),
    ("an overlong id", raw(terminal_id="x" * 65), "out_of_range"),
    ("a control character", raw(terminal_id="a\u0007b"), "control_character"),
    ("an empty card id", raw(card_id=""), "out_of_range"),
    ("an overlong card id", raw(card_id="c" * 65), "out_of_range"),
    ("a control character in the card id", raw(card_id="C\u00001"), "control_character"),
    ("a card id that is a number", raw(card_id=4111111111111111), "wrong_type"),
    ("an empty terminal id", raw(terminal_id=""), "out_of_range"),
    ("an overlong transaction id", raw(transaction_id="t" * 65), "out_of_range"),
    ("a null where a value must be", raw(card_id=None), "wrong_type"),
    ("a time in the future", raw(event_time=NOW_MS + 3_600_000), "future"),
    ("a time in seconds", raw(event_time=NOW_MS // 1000), "out_of_range"),
    ("a message of 1 MB", raw(note="x" * 1_000_000), "too_large"),
    ("an empty value", b"", "empty"),
    ("a tombstone", None, "tombstone"),
    ("invalid UTF-8", raw().replace(b"M1", b"\xff\xfe"), "not_utf8"),
    ("deeply nested JSON", raw(note=0).replace(b'"note": 0', b'"note": ' + b"[" * 30_000 + b"]" * 30_000), "too_deep"),
    ("a currency that is none", raw(currency="XYZ"), "unknown_value"),
]


async def publish(servers: str, topic: str, records: list[tuple[bytes | None, bytes | None]]) -> None:
    """Publish all to partition 0, in order."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=4_194_304)
    await producer.start()
    try:
        for sent in [await producer.send(topic, value, key=key, partition=0) for key, value in records]:
            await sent
    finally:
        await producer.stop()


async def read(servers: str, topic: str, count: int) -> list[Any]:
    """The first `count` records of partition 0."""
    at = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_bytes=67_108_864)
    consumer.assign([at])
    await consumer.start()
    try:
        records: list[Any] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(records) < count:
                records += (await consumer.getmany(at, timeout_ms=200)).get(at, [])
        return records
    finally:
        await consumer.stop()


def test_bad_records_go_to_the_dead_letters_and_their_neighbours_are_scored(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Each bad record between two good ones: a dead letter with its code and a sentence, the original bytes, the first 64 kB of more, and nothing lost."""
    records: list[tuple[bytes | None, bytes | None]] = []
    for i, (_, value, _) in enumerate(BAD):
        records += [(b"C1", raw(transaction_id=f"good-{i}")), (b"C1", value)]
    records += [
        (CARD_NUMBER.encode(), raw(card_id=CARD_NUMBER)),
        (b"C2", raw(transaction_id="wrong-key")),
        (None, raw(transaction_id="no-key")),
        (b"C1", raw(transaction_id="with-extras", note="ignored", nested={"a": [1]})),
        (b"C1", raw(transaction_id="far-past", event_time=NOW_MS - 400 * 86_400_000)),
        (b"C1", raw(transaction_id="good-0")),
    ]
    good = {f"good-{i}" for i in range(len(BAD))} | {"with-extras", "far-past"}
    servers = env["KAFKA_BOOTSTRAP_SERVERS"]
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        asyncio.run(publish(servers, env["TRANSACTIONS_TOPIC"], records))
        until(lambda: running.metric("fraudstream_transactions_scored_total") == len(good), "every good one to be scored")
        until(lambda: running.metric("fraudstream_dead_letters_total") == len(BAD) + 3, "every bad one to be refused")
        assert running.metric("fraudstream_transactions_late_total") == 1
        assert running.metric("fraudstream_transactions_duplicate_total") == 1
        assert running.stop() == 0, running.log.read_text()
    letters = asyncio.run(read(servers, env["TRANSACTIONS_DLQ_TOPIC"], len(BAD) + 3))
    codes = [dict(r.headers)["error.code"].decode() for r in letters]
    assert codes == [code for *_, code in BAD] + ["card_number", "wrong_key", "wrong_key"]
    for (what, value, _), letter in zip(BAD, letters, strict=False):
        headers = dict(letter.headers)
        assert letter.value == (value and value[:MOST_VALUE_BYTES]) or CARD_NUMBER.encode() in (value or b""), what
        assert ("source.bytes" in headers) == (len(value or b"") > MOST_VALUE_BYTES), what
        assert headers["error.message"].decode().endswith("."), what
        assert (NOT_MILLISECONDS in headers["error.message"].decode()) == (what == "a time in seconds")
        assert headers["source.topic"].decode() == env["TRANSACTIONS_TOPIC"]
        assert records[int(headers["source.offset"])][1] == value
    assert all(CARD_NUMBER.encode() not in (letter.key or b"") + (letter.value or b"") for letter in letters)
    scores = asyncio.run(read(servers, env["SCORES_TOPIC"], len(good)))
    assert [json.loads(r.value)["transaction_id"] for r in scores] == [*[f"good-{i}" for i in range(len(BAD))], "with-extras", "far-past"]


LABEL = {
    "transaction_id": "T1",
    "card_id": "C1",
    "terminal_id": "M1",
    "event_time": NOW_MS,
    "amount": 1,
    "is_fraud": True,
    "labelled_at": NOW_MS,
}


def raw_label(**changes: Any) -> bytes:
    """The JSON of a valid label, changed; `...` leaves a field out."""
    return json.dumps({k: v for k, v in (LABEL | changes).items() if v is not ...}).encode()


BAD_LABELS: list[tuple[str, bytes | None, str]] = [
    ("not JSON", b"fraud", "not_json"),
    ("JSON of another shape", b"[]", "wrong_shape"),
    ("a missing field", raw_label(is_fraud=...), "missing_field"),
    ("a wrong type", raw_label(is_fraud="yes"), "wrong_type"),
    ("an empty transaction id", raw_label(transaction_id=""), "out_of_range"),
    ("an overlong card id", raw_label(card_id="c" * 65), "out_of_range"),
    ("a control character", raw_label(terminal_id="a\u0007b"), "control_character"),
    ("a negative amount", raw_label(amount=-1), "out_of_range"),
    ("labelled before its transaction", raw_label(labelled_at=NOW_MS - 1), "label_before_event"),
    ("labelled in the future", raw_label(labelled_at=NOW_MS + 3_600_000), "future"),
    ("times in seconds", raw_label(event_time=NOW_MS // 1000, labelled_at=NOW_MS // 1000), "out_of_range"),
    ("an empty value", b"", "empty"),
    ("a tombstone", None, "tombstone"),
    ("invalid UTF-8", raw_label().replace(b"M1", b"\xff\xfe"), "not_utf8"),
    ("a message of 1 MB", raw_label(note="x" * 1_000_000), "too_large"),
    ("a card number as card id", raw_label(card_id=CARD_NUMBER), "card_number"),
]


def test_bad_labels_go_to_their_dead_letters_and_their_neighbours_count(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """Each between two good ones; the last has another card's key."""
    servers = env["KAFKA_BOOTSTRAP_SERVERS"]
    records: list[tuple[bytes | None, bytes | None]] = []
    for i, (_, value, code) in enumerate(BAD_LABELS):
        records += [(b"C1", raw_label(transaction_id=f"T{i}")), (CARD_NUMBER.encode() if code == "card_number" else b"C1", value)]
    records.append((b"C2", raw_label()))
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        asyncio.run(publish(servers, env["LABELS_TOPIC"], records))
        until(lambda: running.metric("fraudstream_labels_total") == len(BAD_LABELS), "the good labels to be counted")
        until(lambda: running.metric("fraudstream_dead_letters_total") == len(BAD_LABELS) + 1, "the others to be refused")
        assert running.stop() == 0, running.log.read_text()
    letters = asyncio.run(read(servers, env["LABELS_DLQ_TOPIC"], len(BAD_LABELS) + 1))
    headers = [{k: v.decode() for k, v in r.headers} for r in letters]
    assert [h["error.code"] for h in headers] == [code for *_, code in BAD_LABELS] + ["wrong_key"]
    described = json.loads((ROOT / "schemas" / "dead_letter.v1.json").read_text(encoding="utf-8"))
    for letter, found in zip(letters, headers, strict=True):
        Draft202012Validator(described).validate(found)
        assert found["source.topic"] == env["LABELS_TOPIC"]
        value = records[int(found["source.offset"])][1]
        assert found["error.code"] == "card_number" or letter.value == (value and value[:MOST_VALUE_BYTES])
    assert CARD_NUMBER.encode() not in (letters[-2].key + letters[-2].value)


def test_labels_from_a_transactional_producer_hold_no_payment_back(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """The mark that ends a transaction takes an offset and is no record: payments must not wait for it."""
    servers = env["KAFKA_BOOTSTRAP_SERVERS"]
    label = {k: v for k, v in transaction(is_fraud=True, labelled_at=NOW_MS).items() if k != "currency"}

    async def label_in_a_transaction() -> None:
        async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=env["CONSUMER_GROUP"]) as producer, producer.transaction():
            await producer.send_and_wait(env["LABELS_TOPIC"], json.dumps(label).encode(), key=b"C1", partition=0)

    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        asyncio.run(label_in_a_transaction())
        until(lambda: running.metric("fraudstream_labels_total") == 1, "the label to be counted")
        asyncio.run(publish(servers, env["TRANSACTIONS_TOPIC"], [(b"C1", raw())]))
        until(lambda: running.metric("fraudstream_transactions_scored_total") == 1, "the payment to be scored")


def test_a_worker_that_restarts_goes_on_where_it_stood(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """The cursor beside the state decides: what was scored before is not scored again, what came meanwhile is."""
    servers, topic = env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"]
    for first in (0, 50):
        with worker(env, port, tmp_path) as running:
            until(running.ready, "the worker to be ready")
            asyncio.run(publish(servers, topic, [(b"C1", raw(transaction_id=f"T{i}")) for i in range(first, first + 50)]))
            until(lambda: running.metric("fraudstream_transactions_scored_total") == 50, "fifty to be scored")
            running.process.kill()
            running.process.wait()
    scores = [json.loads(r.value) for r in asyncio.run(read(servers, env["SCORES_TOPIC"], 100))]
    assert [s["transaction_id"] for s in scores] == [f"T{i}" for i in range(100)]
    assert [s["features"]["card_count_1d"] for s in scores] == [i + 1.0 for i in range(100)]


def test_without_mlflow_the_copy_on_disk_serves_and_without_both_it_says_why(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """A worker that fetched the champion once starts while MLflow is down; one that never did stays unready, with the reason."""
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        assert running.stop() == 0
    (copy,) = (tmp_path / ".fraudstream" / "models").iterdir()
    away = {**env, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    with worker(away, port, tmp_path) as running:
        until(lambda: "no copy" in running.status("readyz")[1], "the reason to name the copy")
        assert running.status("readyz")[0] == 503
        assert running.status("livez")[0] == 200
    registry = copy.parent / _folder_of(away)
    copy.rename(registry)
    with worker(away, port, tmp_path) as running:
        until(running.ready, "the worker to start from its copy")
        assert "from disk" in running.log.read_text()


def _folder_of(env: dict[str, str]) -> str:
    import hashlib  # noqa: PLC0415 - the cache's naming, needed here alone

    return hashlib.sha256(f"{env['MLFLOW_TRACKING_URI']}|{env['MODEL_NAME']}|champion".encode()).hexdigest()[:16]


def test_the_worker_runs_as_any_faust_app(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """`faust -A stream_app.worker worker` scores as `fraudstream worker` does."""
    command = ("-m", "faust", "-A", "stream_app.worker", "worker", "--without-web")
    with worker(env, port, tmp_path, command) as running:
        until(running.ready, "the worker to be ready")
        asyncio.run(publish(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], [(b"C1", raw())]))
        until(lambda: running.metric("fraudstream_transactions_scored_total") == 1, "one to be scored")
        assert running.stop() == 0
        assert "\x1b" not in running.log.read_text(), "codes for a terminal in a file"


def test_a_missing_topic_ends_the_worker_with_its_remedy(env: dict[str, str], port: int, tmp_path: Path) -> None:
    """One line that names the topic and the command, and the exit code of a topology error."""
    with worker({**env, "ALERTS_TOPIC": "not-there"}, port, tmp_path) as running:
        assert running.process.wait(DEADLINE_S) == 76, running.log.read_text()
        text = running.log.read_text()
    assert "'not-there' does not exist" in text
    assert "fraudstream topics" in text
    assert "Traceback" not in text
