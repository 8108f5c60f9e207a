"""`make bench`: scored transactions/s and latency of one worker on this machine, with all guarantees on.

1. start Kafka, Redis and MLflow; simulate; train a forest of 100 trees; four partitions;
2. throughput: everything published first, then the worker starts; from the first to the last payment scored, RUNS times, median;
3. the same records read by a worker that only decodes and acknowledges them: the upper limit; the worker's share of it is the ratio that
   two machines can be compared by;
4. latency: a worker at rest, payments on an open-loop schedule; from the Kafka timestamp to the alert read back.

The last line is one JSON object. Figures of other runs are comparable only on the same machine, at rest.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ground import fraudstream, of_its_own, scored
from stream_app.commands.alerts import read_alerts
from stream_app.settings import PREFIX, load_settings
from tests.e2e.workers import servers_alone, worker
from tests.waiting import until

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
TRANSACTIONS = int(os.environ.get("BENCH_TRANSACTIONS", "200000"))
OFFERED = float(os.environ.get("BENCH_OFFERED", "2000"))
LATENCY_S = 15
ALERTING_THRESHOLD = "0.02"  # enough alerts for a 99th percentile
PORT = 19464
PROJECT = Path(__file__).parents[1]
LOOK_EVERY_S = 0.25  # whoever asks for metrics ten times a second measures that


def main() -> None:
    """Measure and print."""
    with servers_alone() as (servers, home):
        result = _measured(servers, home)
    print(json.dumps(result))


def _measured(servers: dict[str, str], home: Path) -> dict[str, Any]:
    file = home / "transactions.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "4000", "--terminals", "8000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file))
    rates, memory = zip(*[_throughput(servers, home, file, run) for run in range(RUNS)], strict=True)
    limit = _limit(servers)
    p50, p99, p999, alerts = _latency(servers, home, file)
    return {
        "transactions": TRANSACTIONS,
        "scored_per_s": round(statistics.median(rates)),
        "scored_per_s_runs": [round(r) for r in rates],
        "without_state_per_s": limit,
        "share_of_it": round(statistics.median(rates) / limit, 3),
        "worker_peak_mb": round(max(memory)),
        "offered_per_s": OFFERED,
        "alerts": alerts,
        "latency_ms": {"p50": p50, "p99": p99, "p99.9": p999},
    }


def _limit(servers: dict[str, str]) -> int:
    """Transactions a second of the first run's topic, read and decoded, no more."""
    env = {**servers, "CONSUMER_GROUP": "no-state", "TRANSACTIONS_TOPIC": "transactions-throughput-0"}
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    command = [sys.executable, "-m", "benchmarks.no_state", str(TRANSACTIONS)]
    ran = subprocess.run(command, env={**variables, "PYTHONPATH": str(PROJECT)}, check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    return int(json.loads(ran.stdout.splitlines()[-1])["per_s"])


def _throughput(servers: dict[str, str], home: Path, file: Path, run: int) -> tuple[float, float]:
    """Payments a second while there is always more to do, and the worker's peak memory, MB."""
    env = of_its_own(servers, f"throughput-{run}")
    fraudstream(env, "produce", str(file), "--limit", str(TRANSACTIONS))
    with worker(env, PORT, home) as running:
        first = until(lambda: scored(running), "the first payment")
        began = time.perf_counter()
        until(lambda: scored(running) >= TRANSACTIONS, "the last payment", 600, LOOK_EVERY_S)
        rate = (TRANSACTIONS - first) / (time.perf_counter() - began)
        peak = next(line for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
        running.stop()
    return rate, int(peak.split()[1]) / 1024


def _latency(servers: dict[str, str], home: Path, file: Path) -> tuple[float, float, float, int]:
    env = {**of_its_own(servers, "latency"), "THRESHOLD": ALERTING_THRESHOLD}
    with worker(env, PORT, home) as running:
        until(running.ready, "the worker")
        fraudstream(env, "produce", str(file), "--limit", "20000")
        until(lambda: scored(running) >= 20_000, "the warm-up")
        seconds = asyncio.run(_alert_latencies(env, file))
        running.stop()
    p50, p99, p999 = (round(float(p) * 1000, 1) for p in np.percentile(seconds, [50, 99, 99.9]))
    return p50, p99, p999, len(seconds)


async def _alert_latencies(env: dict[str, str], file: Path) -> list[float]:
    settings = load_settings(**{k.lower(): v for k, v in env.items()})
    seconds: list[float] = []

    async def read() -> None:
        async for _, taken in read_alerts(settings, follow=True):
            seconds.append(taken)

    reader = asyncio.create_task(read())
    await asyncio.sleep(2)
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    start, count = "2018-05-25", str(int(OFFERED * LATENCY_S))
    arguments = ("produce", str(file), "--start", start, "--rate", str(OFFERED), "--limit", count)
    producer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_app.cli", *arguments, env=variables, stderr=subprocess.DEVNULL
    )
    await producer.wait()
    await asyncio.sleep(2)
    reader.cancel()
    return seconds


if __name__ == "__main__":
    main()
