"""Real workers whose state is in a Redis Cluster: a primary is lost, then a worker; nothing else is."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from pandas import read_parquet
from redis.crc import key_slot

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.settings import PREFIX, load_settings
from tests.e2e.workers import worker
from tests.redis_cluster import SLOTS, redis_cluster
from tests.waiting import until

PAYMENTS = 6_000


def names(env: dict[str, str]) -> Iterator[str]:
    """Consumer groups like this one."""
    return (f"{env['CONSUMER_GROUP']}-{n}" for n in count())


def lost_with_the_first(group: str) -> bool:
    """Whether the state of partition 0 is on the first server of a cluster."""
    return key_slot(f"{{{group}:0}}".encode()) < SLOTS // 3


def test_a_primary_and_a_worker_are_killed_and_every_payment_is_decided_once(
    env: dict[str, str], port: int, simulated: Path, tmp_path: Path
) -> None:
    """A replica takes over from the primary, a worker from the worker: each payment has one score, and each vector is the kernel's."""
    settings = load_settings(**{k.lower(): v for k, v in env.items()})

    def scores() -> int:
        async def counted() -> int:
            log = KafkaLog(client_options(settings), "test")
            places = [(settings.scores_topic, n) for n in range(2)]
            return sum(end - start for start, end in (await log.bounds(places)).values())

        return asyncio.run(counted())

    halves = tmp_path / "first.parquet", tmp_path / "second.parquet"
    history = read_parquet(simulated).head(PAYMENTS)
    for file, half in zip(halves, (history.iloc[: PAYMENTS // 2], history.iloc[PAYMENTS // 2 :]), strict=True):
        half.to_parquet(file)

    with redis_cluster(replicas=1) as cluster:
        env |= {"REDIS_URL": cluster.url, "CONSUMER_GROUP": next(name for name in names(env) if lost_with_the_first(name))}
        variables = {PREFIX + k: v for k, v in env.items()}

        def run(*command: str) -> subprocess.CompletedProcess[str]:
            line = [sys.executable, "-m", "stream_app.cli", *command]
            return subprocess.run(line, env=variables, capture_output=True, text=True, check=False)

        def produce(file: Path) -> None:
            sent = run("produce", str(file), "--label-delay-days", "1")
            assert sent.returncode == 0, sent.stderr

        with worker(env, port + 1, tmp_path) as other:
            with worker(env, port, tmp_path) as one:
                until(lambda: all(w.metric("fraudstream_partitions_owned") == 1 for w in (one, other)), "a partition for each worker")
                produce(halves[0])
                until(lambda: scores() > PAYMENTS // 4, "a part to be scored")
                cluster.end(0)
                produce(halves[1])
                until(lambda: scores() > PAYMENTS // 2, "the workers to go on with the replica")
                assert one.process.poll() is None, one.log.read_text()
            until(lambda: scores() >= PAYMENTS, "every payment to be scored")
            assert other.stop() == 0
        assert scores() == PAYMENTS
        found = run("verify")
    told = json.loads(found.stdout.splitlines()[-1])
    assert (found.returncode, told["vectors"], told["differences"], told["score_differences"]) == (0, PAYMENTS, 0, 0), found.stderr
