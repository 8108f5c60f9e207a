"""Whatever codec producers and topics use, the worker and every reader of its topics read it; where a codec is not installed, each says so."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stream_app.adapters.kafka.errors import INSTALL
from stream_app.settings import PREFIX
from tests.conftest import ROOT
from tests.e2e.kafka import LABEL, NOW_MS, TRANSACTION, make_topic, raw, read
from tests.e2e.test_recovery import Group
from tests.e2e.workers import Worker, worker
from tests.foreign import CODECS, Client, Raw
from tests.stored import batches
from tests.waiting import DEADLINE_S, until

EXAMPLE = str(ROOT / "examples" / "consume_alerts.py")
EACH = 10
LOT = EACH * (1 + len(CODECS))
WITHOUT_CODECS = """
import runpy, sys

sys.modules |= dict.fromkeys(("cramjam", "lz4", "lz4.frame", "zstandard"))  # importing them fails, as where they are not installed
sys.argv = sys.argv[1:]
if sys.argv[0].endswith(".py"):
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    from stream_app.cli import main

    main()
"""


def compressed(env: dict[str, str], unique: str, **codecs: str) -> dict[str, str]:
    """The settings with topics of their own, of two partitions, that the broker compresses so."""
    named = {f"{which.upper()}_TOPIC": (f"{which}-{codec}-{unique}", codec) for which, codec in codecs.items()}
    for name, codec in named.values():
        asyncio.run(make_topic(env["KAFKA_BOOTSTRAP_SERVERS"], name, 2, {"compression.type": codec}))
    return {**env, **{setting: name for setting, (name, _) in named.items()}}


def run(env: Mapping[str, str], *python: str) -> subprocess.CompletedProcess[str]:
    """A program of ours with these settings, to its end."""
    return subprocess.run([sys.executable, *python], env=variables(env), capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program with these settings."""
    return {**os.environ, **{PREFIX + name: value for name, value in env.items()}, "ALERTS_GROUP": f"readers-{env['CONSUMER_GROUP']}"}


def send(foreign: Client, env: Mapping[str, str], first: int) -> None:
    """A lot of payments of one card, and a label for each: ten by each codec, and ten plain."""
    for number, codec in enumerate(("none", *CODECS)):
        ids = [f"T{i}" for i in range(first + EACH * number, first + EACH * (number + 1))]
        for setting, good in (("LABELS_TOPIC", LABEL), ("TRANSACTIONS_TOPIC", TRANSACTION)):
            records = [Raw(raw(good, transaction_id=i), b"C1", timestamp_ms=NOW_MS) for i in ids]
            foreign.send(env["KAFKA_BOOTSTRAP_SERVERS"], env[setting], records, codec)


def scored(running: Worker) -> float:
    """How many payments it decided; fails where it ended."""
    assert running.process.poll() is None, running.log.read_text()
    return running.metric("fraudstream_transactions_scored_total")


def codecs_of(env: Mapping[str, str], setting: str) -> set[str]:
    """How the batches of partition 0 are compressed."""
    return {b.codec for b in asyncio.run(batches(env["KAFKA_BOOTSTRAP_SERVERS"], env[setting]))}


def shown_by_example(env: Mapping[str, str], count: int, log: Path) -> list[str]:
    """The first lines that the example prints."""
    with log.open("wb") as output, subprocess.Popen([sys.executable, EXAMPLE], env=variables(env), stdout=output, stderr=output) as reader:
        try:
            until(lambda: reader.poll() is not None or log.read_text().count("\n") >= count, "the example to show every alert")
            assert reader.poll() is None, log.read_text()
        finally:
            reader.kill()
    return log.read_text().splitlines()


@pytest.mark.long
@pytest.mark.parametrize(
    "codecs",
    [
        {"transactions": "producer", "labels": "producer", "alerts": "lz4", "scores": "gzip"},  # the producer's: all of them
        {"transactions": "lz4", "labels": "zstd", "alerts": "snappy", "scores": "zstd"},
    ],
    ids=lambda codecs: codecs["transactions"],
)
def test_every_codec_is_read_by_worker_takeover_rebuild_and_readers(
    env: dict[str, str], foreign: Client, unique: str, port: int, tmp_path: Path, codecs: dict[str, str]
) -> None:
    """A foreign producer uses all; topics pack anew. Each payment is decided once, with every one before it, through a kill and a lost Redis."""
    env = {**compressed(env, unique, **codecs), "THRESHOLD": "0"}
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        send(foreign, env, 0)
        until(lambda: scored(running) == LOT, "the first lot to be decided")
        until(lambda: running.metric("fraudstream_labels_total") == LOT, "its labels to be counted")
        send(foreign, env, LOT)
        until(lambda: scored(running) > LOT, "the second lot to be under way")
        running.process.kill()
        running.process.wait()
    Group(env).put({})
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the next worker to be ready")
        send(foreign, env, 2 * LOT)
        scores = [json.loads(r.value) for r in asyncio.run(read(env["KAFKA_BOOTSTRAP_SERVERS"], env["SCORES_TOPIC"], 3 * LOT))]
        assert running.stop() == 0, running.log.read_text()
        assert "Traceback" not in running.log.read_text()
    assert [s["transaction_id"] for s in scores] == [f"T{i}" for i in range(3 * LOT)]
    assert [s["features"]["card_count_1d"] for s in scores] == [i + 1.0 for i in range(3 * LOT)]
    for which, codec in codecs.items():
        expected = {"none", *CODECS} if which in {"transactions", "labels"} else {"none"}
        assert codecs_of(env, f"{which.upper()}_TOPIC") == (expected if codec == "producer" else {codec})
    told = run(env, "-m", "stream_app.cli", "alerts", "--limit", "1000")
    assert (told.returncode, told.stdout.count(" terminal M1 ")) == (0, 3 * LOT), told.stderr
    assert len(shown_by_example(env, 3 * LOT, tmp_path / "example.log")) == 3 * LOT
    verified = run(env, "-m", "stream_app.cli", "verify")
    found: dict[str, Any] = json.loads(verified.stdout.splitlines()[-1])
    assert (verified.returncode, found["vectors"], found["differences"]) == (0, 3 * LOT, 0), verified.stderr


def test_a_worker_without_a_model_that_looks_at_what_waits_ends_too(
    env: dict[str, str], foreign: Client, port: int, tmp_path: Path
) -> None:
    """Nothing is fetched yet, and its backlog cannot be read: silence would show none."""
    with worker({**env, "MODEL_NAME": "nobody"}, port, tmp_path, ("-c", WITHOUT_CODECS, "fraudstream", "worker")) as running:
        until(lambda: running.metric("fraudstream_partitions_owned") == 2, "the worker to hold both partitions")
        foreign.send(env["KAFKA_BOOTSTRAP_SERVERS"], env["TRANSACTIONS_TOPIC"], [Raw(raw(TRANSACTION), b"C1")] * 20, "zstd")
        assert running.process.wait(DEADLINE_S) == 66, running.log.read_text()
        log = running.log.read_text()
    assert f"Topic '{env['TRANSACTIONS_TOPIC']}', partition 0, offset 0: the records are compressed with zstd" in log
    assert "Traceback" not in log


def test_without_its_codec_each_program_ends_with_its_code_and_one_line(
    env: dict[str, str], foreign: Client, unique: str, port: int, tmp_path: Path
) -> None:
    """The line names topic, codec and remedy. With the codec installed nothing is lost: also what came together with such records."""
    env = {**compressed(env, unique, alerts="zstd"), "THRESHOLD": "0"}
    topic = env["TRANSACTIONS_TOPIC"]
    payments = [
        Raw(raw(TRANSACTION, transaction_id=f"T{i}", card_id=card), card.encode(), partition)
        for partition, card in enumerate(("C1", "C2"))
        for i in range(100 * partition, 100 * partition + 20)
    ]
    told = (
        f"Topic '{topic}', partition 1, offset 20: the records are compressed with lz4, which is not installed here. Install it: {INSTALL}"
    )
    with worker(env, port, tmp_path, ("-c", WITHOUT_CODECS, "fraudstream", "worker")) as running:
        until(running.ready, "the worker to be ready")
        foreign.send(env["KAFKA_BOOTSTRAP_SERVERS"], topic, payments)
        until(lambda: scored(running) == len(payments), "the plain ones to be decided")
        more = [Raw(raw(TRANSACTION, transaction_id=f"T1{i}", card_id="C2"), b"C2", 1) for i in range(20, 40)]
        foreign.send(env["KAFKA_BOOTSTRAP_SERVERS"], topic, more, "lz4")
        assert running.process.wait(DEADLINE_S) == 66, running.log.read_text()
        log = running.log.read_text()
    assert log.count(told) == 1, log
    assert "Traceback" not in log
    assert "Kafka did not answer" not in log
    doctor = run(env, "-c", WITHOUT_CODECS, "fraudstream", "doctor")
    assert doctor.returncode == 1
    assert told.replace("offset 20", "offset 39") in " ".join(doctor.stdout.split()), doctor.stdout
    for program in (("fraudstream", "alerts"), (EXAMPLE,)):
        refused = run(env, "-c", WITHOUT_CODECS, *program)
        assert refused.returncode == 66, refused.stderr
        (line,) = refused.stderr.strip().splitlines()
        assert f"Topic '{env['ALERTS_TOPIC']}', partition " in line
        assert f"compressed with zstd, which is not installed here. Install it: {INSTALL}" in line
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker with its codecs to be ready")
        until(lambda: scored(running) == len(more), "the others to be decided")
        assert running.stop() == 0
