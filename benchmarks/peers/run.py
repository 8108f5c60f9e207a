"""`make bench-peers`: Fraudstream beside systems that others would build this with, in one run on this machine.

1. start Kafka, Redis and MLflow; train a forest on the 17 features that all systems compute (`oracle.py`), register it;
2. one partition, AGREEMENT payments of few cards over six weeks: each system scores them from no state, and every score must be the oracle's;
3. four partitions, BENCH_CARDS cards: HISTORY payments, then RUNS times as many as BENCH_TRANSACTIONS, and half as many before them that are
   not measured: a JVM compiles itself meanwhile. Each time all are there before a system starts; the systems take turns, and each run begins
   with another. Slow systems get the last of these payments, and no history. All alert from the same threshold, THRESHOLD: a payment in a
   hundred, as a bank would have it, where the model's own, chosen on other payments, alerts a third;
4. the limit: the worker's consumer, with decode and model and nothing else.

What cannot be installed here is left out, and the reason told. Scores that differ end with 1. The last line is one JSON object; medians.
`python -m benchmarks.peers.page RESULT.json` makes the table and the chart of docs/performance.md.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.bank import Bank, bank
from benchmarks.costs import cpu_s
from benchmarks.ground import fraudstream
from benchmarks.payments import Portfolio
from benchmarks.peers import environments
from benchmarks.peers.agreement import agreement
from benchmarks.peers.environments import NoPeerError
from benchmarks.peers.systems import Running, System
from stream_app.local.stack import LocalStack
from stream_app.settings import PREFIX
from tests.e2e.workers import servers_alone
from tests.waiting import until

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
TRANSACTIONS = int(os.environ.get("BENCH_TRANSACTIONS", "200000"))
CARDS = int(os.environ.get("BENCH_CARDS", "1000000"))
HISTORY = int(os.environ.get("BENCH_HISTORY", "1500000"))
AGREEMENT = int(os.environ.get("BENCH_AGREEMENT", "20000"))
UNMEASURED = 0.5
"""So many payments more, of those that are measured, before them."""
THRESHOLD = 0.9
FEW_CARDS, FEW_TERMINALS = 300, 100
"""At 20,000 payments every window of 30 days has moved on by two weeks."""
DRAINED_S = 1800
LOOK_EVERY_S = 0.25
PROJECT = Path(__file__).parents[2]

_PEERS: tuple[tuple[str, str, Callable[[], list[str]], float, bool], ...] = (
    ("kafka_streams", "Kafka Streams 4.1, two threads, RocksDB and changelogs, at least once", environments.kafka_streams, 1.0, True),
    ("quix", "Quix Streams 3.28, RocksDB and changelogs, at least once", environments.quix, 0.25, False),
    ("faust", "a Faust agent that takes one payment at a time, hashes in Redis, at least once", environments.faust, 0.05, False),
)


def main() -> int:
    """Measure and print; the exit code."""
    systems, missing = _systems()
    with servers_alone() as (servers, home):
        result = _measured(servers, home, systems)
    result |= dict.fromkeys(missing) | {"missing": missing}
    print(json.dumps(result))
    return 0 if result["scores_agree"] else 1


def _systems() -> tuple[list[System], dict[str, str]]:
    """Those that can be made here, and why others cannot."""
    systems = [System("fraudstream", "one worker, every guarantee on", ())]
    missing = {}
    for name, about, made, share, history in _PEERS:
        try:
            systems.append(System(name, about, made(), share, history))
        except NoPeerError as why:
            missing[name] = str(why)
            print(f"bench-peers: {name} is left out. {why}", file=sys.stderr)
    return systems, missing


def _measured(servers: dict[str, str], home: Path, systems: Sequence[System]) -> dict[str, Any]:
    model = _model(servers, home)
    few = bank({**servers, "SCORES_TOPIC": "scores-of-peers"}, home, Portfolio(FEW_CARDS, FEW_TERMINALS), AGREEMENT, partitions=1)
    _topics(few, systems)
    shares = agreement(few, systems, model, AGREEMENT)
    print(f"bench-peers: share of scores that agree: {shares}", file=sys.stderr)
    pids = {s.service: s.pid for s in LocalStack(home / ".fraudstream").status() if s.pid is not None}
    of = bank(servers, home, Portfolio(CARDS), HISTORY + RUNS * _with_unmeasured(TRANSACTIONS))
    _topics(of, systems)
    bench = Bench(of, model, THRESHOLD, {"redis": pids["redis"], "broker": pids["kafka"]})
    bench.read_history(systems)
    speeds = bench.speeds(systems)
    ours = speeds["fraudstream"]["scored_per_s"]
    return {
        **speeds,
        "ratios": {
            f"fraudstream_to_{name}": round(ours / of_peer["scored_per_s"], 3) for name, of_peer in speeds.items() if name != "fraudstream"
        },
        "scores_agree": all(found == 1 for found in shares.values()),
        "agreement": shares,
        "alerted": round(len(of.alerted("B")) / of.sent, 4),
        "cards": CARDS,
        "history": HISTORY,
    }


def _model(servers: dict[str, str], home: Path) -> Path:
    """The file of the model, which is registered and served."""
    history, model = home / "transactions.parquet", home / "model.onnx"
    fraudstream(servers, "simulate", "--out", str(history), "--customers", "4000", "--terminals", "8000", "--days", "80")
    _of_ours(servers, "benchmarks.peers.model", str(history), str(model))
    return model


def _of_ours(env: Mapping[str, str], module: str, *arguments: str) -> str:
    """What a program of ours prints that has these settings."""
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True, timeout=DRAINED_S).stdout


def _with_unmeasured(count: int) -> int:
    return int(count * (1 + UNMEASURED))


def _topics(of: Bank, systems: Sequence[System]) -> None:
    """Each peer alerts to a topic of its own."""

    async def created() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=of.env["KAFKA_BOOTSTRAP_SERVERS"])
        await admin.start()
        try:
            await admin.create_topics([NewTopic(system.alerts_of(of), of.partitions, 1) for system in systems if system.command])
        finally:
            await admin.close()

    asyncio.run(created())


@dataclass(frozen=True, slots=True)
class Bench:
    """One bank, one model, and the systems take turns.

    Attributes:
        of: publishes.
        model, threshold: of all systems; from which they alert.
        servers: process ids of what they share, by name.
    """

    of: Bank
    model: Path
    threshold: float
    servers: Mapping[str, int]

    def read_history(self, systems: Sequence[System]) -> None:
        """Publish the payments before the first run; who reads them has state of them."""
        if not HISTORY:
            return
        self.of.publish(HISTORY)
        for system in systems:
            if system.history:
                with system.running(self.of, self.model, self.threshold, HISTORY) as running:
                    _past(HISTORY, system, running)

    def speeds(self, systems: Sequence[System]) -> dict[str, dict[str, Any]]:
        """Of each system and of the limit: payments a second, the runs, CPU us of a payment by process."""
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in (*(system.name for system in systems), "limit")}
        for turn in range(RUNS):
            self.of.publish(_with_unmeasured(TRANSACTIONS))
            for system in (*systems[turn % len(systems) :], *systems[: turn % len(systems)]):
                payments = _with_unmeasured(int(TRANSACTIONS * system.share))
                runs[system.name].append(self._drained(system, payments, payments - int(TRANSACTIONS * system.share)))
            runs["limit"].append(self._limit(turn))
        about = {system.name: system.about for system in systems} | {"limit": "the worker's consumer with decode and model alone"}
        return {name: _median(of_system, about[name]) for name, of_system in runs.items()}

    def _drained(self, system: System, payments: int, unmeasured: int) -> dict[str, Any]:
        """So many payments are there before the system starts: from when it has scored the unmeasured ones to the last."""
        with system.running(self.of, self.model, self.threshold, payments) as running:
            processes = {"worker": running.pid, **self.servers}
            (first, began_s), used = _past(unmeasured, system, running), cpu_s(processes)
            (last, ended_s), spent = _past(payments, system, running), cpu_s(processes)
        measured = last - first
        if not measured:
            raise ValueError(f"{system.name} scored its {payments} payments between two looks. Raise BENCH_TRANSACTIONS.")
        print(f"bench-peers: {system.name} {measured / (ended_s - began_s):,.0f}/s", file=sys.stderr)
        cpu_us = {name: (spent[name] - used[name]) / measured * 1e6 for name in processes}
        return {"per_s": measured / (ended_s - began_s), "cpu_us": cpu_us, "payments": measured}

    def _limit(self, turn: int) -> dict[str, Any]:
        env = {**self.of.env, "CONSUMER_GROUP": f"limit-{turn}"}
        count = _with_unmeasured(TRANSACTIONS)
        told = json.loads(_of_ours(env, "benchmarks.peers.limit", str(count), str(self.model)).splitlines()[-1])
        return {"per_s": told["per_s"], "cpu_us": {"worker": told["cpu_us"]}, "payments": count}


def _past(count: int, system: System, running: Running) -> tuple[float, float]:
    """So many payments are scored: how many just now, and when, Unix s."""
    until(lambda: running.scored()[0] >= count, f"{system.name} to score {count} payments", DRAINED_S, LOOK_EVERY_S)
    return running.scored()


def _median(runs: Sequence[Mapping[str, Any]], about: str) -> dict[str, Any]:
    rates = [run["per_s"] for run in runs]
    return {
        "scored_per_s": round(statistics.median(rates)),
        "runs": [round(rate) for rate in rates],
        "cpu_us": {name: round(statistics.median(run["cpu_us"][name] for run in runs), 1) for name in runs[0]["cpu_us"]},
        "payments": round(runs[0]["payments"]),
        "about": about,
    }


if __name__ == "__main__":
    sys.exit(main())
