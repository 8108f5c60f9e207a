"""Records that a broker takes from any producer and that would stop or fill a worker: each has its dead letter, its neighbours are decided.

librdkafka packs them: one batch a call, hostile records and payments side by side in it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_app.settings import PREFIX
from tests.card_numbers import nth_card_number
from tests.e2e.kafka import NOW_MS, TRANSACTION, make_topic, raw, read
from tests.e2e.workers import Worker, worker
from tests.foreign import Client, Raw
from tests.raw_batches import Row, batch, batch_of, record, send_batch
from tests.waiting import DEADLINE_S, until

MB = 2**20
MOST_GROWTH_MB = 160
"""Of a worker's memory: far less than the 400 MB that the batches of zeros unfold to, three times over."""

DEAD_LETTERS = [
    {"max.message.bytes": "1048588"},
    {"max.message.bytes": "5000"},
    {"cleanup.policy": "compact"},
]


def payment(number: int) -> Raw:
    """A payment of one card."""
    return Raw(raw(TRANSACTION, transaction_id=f"P{number}"), b"C1")


def zeros() -> list[Raw]:
    """200 values of 2 MB: 400 MB in a batch of 400 kB in gzip, of less than 20 in zstd."""
    return [Raw(bytes(2 * MB), b"C1")] * 200


ZEROS = {f"400 MB in {codec}": (codec, zeros()) for codec in ("gzip", "lz4", "zstd")}
HOSTILE: dict[str, tuple[str, list[Raw]]] = {
    "a key of 5 MB": ("gzip", [Raw(payment(0).value, b"C" * 5 * MB)]),
    "key and value of 3 MB": ("zstd", [Raw(b"v" * 3 * MB, b"k" * 3 * MB)]),
    "two hundred thousand headers": ("zstd", [Raw(b"{}", b"C1", headers=[("", None)] * 200_000)] * 3),
    "a header of 3 MB": ("gzip", [Raw(payment(0).value, b"another", headers=[("note", b"n" * 3 * MB)])]),
    "neither key nor value": ("none", [Raw(None, None)]),
    "no key": ("none", [Raw(payment(0).value, None), Raw(b"", None)]),
    "an empty key": ("none", [Raw(payment(0).value, b"")]),
    "a megabyte of card numbers": ("gzip", [Raw("".join(f'"card_id":{nth_card_number(n)},' for n in range(40_000)).encode(), b"C1")]),
    "key and value at the topic's limit": ("none", [Raw(b"v" * 500_000, b"k" * 500_000)]),
}


def with_header_of_no_text() -> bytes:
    """A batch with a payment, the name of whose header is not UTF-8, which librdkafka's Python refuses to send, and brokers take."""
    value = raw(TRANSACTION, transaction_id="P-last")
    return batch_of("gzip", [(0, b"C1", value, [(b"\xff\xfe", b"x")])], at_ms=NOW_MS)


def with_claimed_offsets() -> bytes:
    """Three payments, the second of which claims an offset beyond all."""
    rows: list[Row] = [(0, b"C1", raw(TRANSACTION, transaction_id=f"P-claim-{n}"), []) for n in range(3)]
    content = b"".join(record(offset, row) for offset, row in zip((0, 1_000_000_000, 2), rows, strict=True))
    return batch("none", content, 3, at_ms=NOW_MS)


def peak_mb(running: Worker) -> float:
    """The most memory that the worker ever had."""
    status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@pytest.fixture(params=range(len(DEAD_LETTERS)), ids=lambda n: str(DEAD_LETTERS[n]))
def own_topics(env: dict[str, str], unique: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings with topics that somebody else made: payments as the brokers have it, dead letters in several ways."""
    env = {**env, "TRANSACTIONS_TOPIC": f"foreign-{unique}", "TRANSACTIONS_DLQ_TOPIC": f"letters-{request.param}-{unique}"}
    asyncio.run(make_topic(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], 2))
    asyncio.run(make_topic(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_DLQ_TOPIC"], 2, DEAD_LETTERS[request.param]))
    return env


def test_hostile_records_stop_nobody(foreign: Client, own_topics: dict[str, str], port: int, tmp_path: Path) -> None:
    """The same process decides every payment before, between and behind them, and each of them has one letter that its topic takes."""
    env, kafka = own_topics, own_topics["KAFKA_BOOTSTRAP_SERVERS"]
    payments, hostile = [], []
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        payments += foreign.send(kafka, env["TRANSACTIONS_TOPIC"], [payment(0)])
        until(lambda: running.metric("fraudstream_transactions_scored_total") == 1, "the first payment")
        before_mb = peak_mb(running)
        lots = HOSTILE | ZEROS if own_topics["TRANSACTIONS_DLQ_TOPIC"].startswith("letters-0") else HOSTILE
        for number, (codec, records) in enumerate(lots.values(), start=1):
            around = [payment(2 * number), *records, payment(2 * number + 1)]
            first, *those, last = foreign.send(kafka, env["TRANSACTIONS_TOPIC"], around, codec)
            payments += [first, last]
            hostile += those
        payments.append(asyncio.run(send_batch(kafka, env["TRANSACTIONS_TOPIC"], with_header_of_no_text())))
        first = asyncio.run(send_batch(kafka, env["TRANSACTIONS_TOPIC"], with_claimed_offsets()))
        payments += [first, first + 1, first + 2, *foreign.send(kafka, env["TRANSACTIONS_TOPIC"], [payment(1_000)])]
        until(lambda: running.metric("fraudstream_transactions_scored_total") == len(payments), "every payment to be scored")
        until(lambda: running.metric("fraudstream_dead_letters_total") == len(hostile), "every hostile record to be refused")
        grown_mb = peak_mb(running) - before_mb
        assert running.stop() == 0, running.log.read_text()
    assert grown_mb < MOST_GROWTH_MB
    scores = asyncio.run(read(kafka, env["SCORES_TOPIC"], len(payments)))
    assert sorted(json.loads(r.value)["source"]["offset"] for r in scores) == sorted(payments)
    letters = asyncio.run(read(kafka, env["TRANSACTIONS_DLQ_TOPIC"], len(hostile)))
    assert sorted(int(dict(r.headers)["source.offset"]) for r in letters) == sorted(hostile)
    assert "did not answer" not in running.log.read_text()


def test_a_payment_whose_alert_no_topic_takes_is_refused_before_anything_of_its_batch_is_published(
    foreign: Client, env: dict[str, str], port: int, tmp_path: Path, unique: str
) -> None:
    """Its neighbours are decided once, without it: what was published for them is what `verify` computes again."""
    kafka = env["KAFKA_BOOTSTRAP_SERVERS"]
    env = {**env, "ALERTS_TOPIC": f"small-{unique}", "THRESHOLD": "0"}
    asyncio.run(make_topic(kafka, env["ALERTS_TOPIC"], 2, {"max.message.bytes": "6000"}))
    large = raw(TRANSACTION, transaction_id="large", attributes={f"attribute-{n}": n for n in range(400)})
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        records = [payment(1), payment(2), Raw(large, b"C1"), payment(3), payment(4)]
        offsets = foreign.send(kafka, env["TRANSACTIONS_TOPIC"], records)
        (letter,) = asyncio.run(read(kafka, env["TRANSACTIONS_DLQ_TOPIC"], 1))
        until(lambda: running.metric("fraudstream_transactions_scored_total") == 4, "the others to be scored")
        assert running.stop() == 0, running.log.read_text()
    headers = dict(letter.headers)
    assert (headers["error.code"], headers["source.offset"]) == (b"decision_too_large", str(offsets[2]).encode())
    decided = sorted({*offsets} - {offsets[2]})
    for topic in ("SCORES_TOPIC", "ALERTS_TOPIC"):
        found = asyncio.run(read(kafka, env[topic], len(decided)))
        assert [json.loads(r.value)["source"]["offset"] for r in found] == decided
    settings = {**os.environ, **{PREFIX + name: value for name, value in env.items()}}
    command = [sys.executable, "-m", "stream_app.cli", "verify"]
    verified = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr
