"""`make bench`: scored transactions/s, cost and latency of one worker on this machine, with all guarantees on.

1. start Kafka, Redis and MLflow; train a forest of 100 trees on simulated payments; four partitions;
2. for 10 thousand and for 1 million cards, with 100 thousand terminals: payments that give them a history; then RUNS times as many as
   BENCH_TRANSACTIONS are published before a worker starts: from its first payment scored to the last. CPU of worker, Redis and broker apart;
3. the last run's records read by a worker that only decodes and acknowledges them: the limit; the worker's share of it is the ratio that two
   machines can be compared by;
4. at 1 million cards, a worker at rest, payments on an open-loop schedule: from when a payment was due to the broker's time of its alert.

With BENCH_PROFILES=yes in place of these: `velocity`, and `payments` with the state of every entity that it needs, in turn on one bank of 100 thousand
cards whose payments name merchants, categories, countries and addresses; backlogs alone.

The last line is one JSON object. Figures of other runs are comparable only on the same machine, at rest. The client's own cost stands beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bank import Bank, bank
from benchmarks.costs import cpu_s
from benchmarks.ground import fraudstream, scored
from benchmarks.payments import Portfolio
from benchmarks.worker_runs import LOOK_EVERY_S, drained, percentiles, told
from stream_app.features.entities import SHARED
from stream_app.local.stack import LocalStack
from stream_app.local.watching import free_port
from stream_app.settings import PREFIX
from tests.e2e.workers import servers_alone, worker
from tests.waiting import until

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
TRANSACTIONS = int(os.environ.get("BENCH_TRANSACTIONS", "200000"))
HISTORY = {10_000: 200_000, 1_000_000: 1_500_000}
"""Payments before the first that is measured, by number of cards: most that pay in a run have state by then."""
RATES = (500, 2000)
ALERTS = int(os.environ.get("BENCH_ALERTS", "20000"))
"""So many alerts for a 99.9th percentile, but no longer than LONGEST_S at one rate."""
LONGEST_S = 300
THRESHOLD = "0.02"
"""Alerts more than any team would: explaining is part of what is measured."""
PROFILES = {
    "velocity": {},
    "payments": {"MODEL_NAME": "payments", "ENTITIES": ",".join(SHARED)},
}
"""What a worker is started with. Each is measured after a backlog that is not, which makes the state that the one before did not keep."""
ONLY_PROFILES = bool(os.environ.get("BENCH_PROFILES"))
PROFILE_CARDS = 100_000
PROJECT = Path(__file__).parents[1]


def main() -> None:
    """Measure and print."""
    with servers_alone() as (servers, home):
        result = _profiles(servers, home) if ONLY_PROFILES else _measured(servers, home)
    print(json.dumps(result))


def _measured(servers: dict[str, str], home: Path) -> dict[str, Any]:
    file = home / "transactions.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "4000", "--terminals", "8000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file), "--profile", "velocity")
    pids = {s.service: s.pid for s in LocalStack(home / ".fraudstream").status() if s.pid is not None}
    cards = {}
    for count, history in HISTORY.items():
        of = bank(servers, home, Portfolio(count), history + RUNS * TRANSACTIONS)
        cards[count] = _throughput(of, history, {"redis": pids["redis"], "broker": pids["kafka"]})
    limit = _limit(of)
    latencies = {rate: latency(of, rate, f"at-{rate}") for rate in (*RATES, cards[count]["scored_per_s"] // 2)}
    return {
        "cards": cards,
        "limit_per_s": limit,
        "share_of_limit": round(cards[count]["scored_per_s"] / limit, 3),
        "latency_ms": latencies,
        "worker_cores_at_2000": latencies[2000]["worker_cores"],
        "worker_peak_mb": max(of_size["worker_peak_mb"] for of_size in cards.values()),
    }


def _profiles(servers: dict[str, str], home: Path) -> dict[str, Any]:
    """What each profile costs, on the same cards; the trees of both have seen frauds that every family of features tells of."""
    file = str(home / "transactions.parquet")
    fraudstream(servers, "simulate", "--out", file, "--customers", "2000", "--terminals", "4000", "--days", "80", "--scenarios", "all")
    fraudstream(servers, "train", "--data", file, "--profile", "velocity")
    fraudstream(servers, "train", "--data", file, "--profile", "payments", "--model-name", "payments")
    pids = {s.service: s.pid for s in LocalStack(home / ".fraudstream").status() if s.pid is not None}
    processes = {"redis": pids["redis"], "broker": pids["kafka"]}
    portfolio = Portfolio(PROFILE_CARDS, who_and_where=True)
    of, found = bank(servers, home, portfolio, len(PROFILES) * (1 + RUNS) * TRANSACTIONS), {}
    for name, settings in PROFILES.items():
        with_settings = replace(of, env={**of.env, **settings})
        fraudstream(dict(with_settings.env), "topics", "--partitions", str(of.partitions))
        drained(with_settings, TRANSACTIONS, processes)
        found[name] = told([drained(with_settings, TRANSACTIONS, processes) for _ in range(RUNS)])
        print(f"bench: {name}: {found[name]}", file=sys.stderr)
        of = replace(with_settings, env=of.env)
    return {"cards": PROFILE_CARDS, "profiles": found}


def _throughput(of: Bank, history: int, servers: dict[str, int]) -> dict[str, Any]:
    """Payments a second while there is always more to do, CPU of a payment, peak memory."""
    drained(of, history, servers)
    return told([drained(of, TRANSACTIONS, servers) for _ in range(RUNS)])


def _limit(of: Bank) -> int:
    """Transactions a second of the bank's topic, read and decoded, no more."""
    env = {**of.env, "CONSUMER_GROUP": "no-state"}
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    command = [sys.executable, "-m", "benchmarks.no_state", str(of.sent)]
    ran = subprocess.run(command, env={**variables, "PYTHONPATH": str(PROJECT)}, check=True, stdout=subprocess.PIPE, text=True, timeout=300)
    return int(json.loads(ran.stdout.splitlines()[-1])["per_s"])


def latency(of: Bank, rate: int, name: str, longest_s: int = LONGEST_S) -> dict[str, Any]:
    """From due to alerted at so many payments a second, by percentile; what worker and client used for it.

    Args:
        of: whose payments.
        rate: a second.
        name: what the ids of these payments begin with, and no others of its topics.
        longest_s: no longer than this, whatever `ALERTS` says.
    """
    with worker({**of.env, "THRESHOLD": THRESHOLD}, free_port(), of.home) as running:
        until(running.ready, "the worker")
        of.publish(10 * rate, rate, "warm-up")
        until(lambda: scored(running) >= 10 * rate, "the warm-up", 120, LOOK_EVERY_S)
        share = running.metric("fraudstream_alerts_total") / (10 * rate)
        count = int(min(longest_s * rate, max(10 * rate, ALERTS / share)))
        used = cpu_s({"worker": running.process.pid})["worker"]
        client = of.publish(count, rate, name)
        seconds = count / rate
        spent = cpu_s({"worker": running.process.pid})["worker"] - used
        until(lambda: scored(running) >= 10 * rate + count, "the last payment", 120, LOOK_EVERY_S)
        running.stop()
    found = [seen.late_ms for seen in of.alerted(name)]
    return {
        **percentiles(found),
        "alerts": len(found),
        "share_alerted": round(len(found) / count, 3),
        "worker_cores": round(spent / seconds, 2),
        "client": client,
    }


if __name__ == "__main__":
    main()
