"""What rules and lists cost a real worker, on real Kafka and Redis: the second part of `make bench-rules`.

1. start Kafka, Redis and MLflow; train a forest of 100 trees; a million cards on a list that blocks, none of them in the payments; a bank of 100 thousand
   cards whose payments give them a history;
2. in turns, a worker that finds no topic of rules, and one with 0, 50, 200 and 1,000 live rules beside the list: payments that were there before it
   starts, scored a second, and its peak memory. Rules are all different, of the shapes of `benchmarks.rules`; each looks at payments of more than 400
   alone, of which there is one in some hundreds: what is measured is asking, not alerting;
3. a worker at rest, each way once: from when a payment was due to the broker's time of its alert, at 2,000 a second.

`cpu_us` is the worker's CPU of a payment, which a busy machine moves less than its payments a second. `throughput_share` and `p99_added_ms` are held against the worker without rules in the same run, `mb_added` too: the list, and what asks it.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bank import Bank, bank
from benchmarks.ground import fraudstream
from benchmarks.payments import Portfolio
from benchmarks.throughput import latency
from benchmarks.worker_runs import drained
from stream_app.adapters.kafka.rule_writer import RuleWriter
from stream_app.rules.rule import Rule, release_of
from stream_app.rules.rules_log import RulesLog
from tests.e2e.workers import servers_alone

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
PAYMENTS = int(os.environ.get("BENCH_TRANSACTIONS", "100000"))
CARDS, HISTORY = 100_000, 200_000
RATE, LONGEST_S = 2_000, 20
NONE = "none"
_NOWHERE = {"RULES_TOPIC": "no-rules", "LISTS_TOPIC": "no-lists"}
_SIGNED = ("--as", "ann", "--why", "measured")


def measured(rules: Mapping[int, list[Rule]], entries: int) -> dict[str, Any]:
    """Of each number of rules, and of none: what a worker scores and holds, and how late its alerts are."""
    with servers_alone() as (servers, home):
        of, without = _banks(servers, home, RUNS * (len(rules) + 1) * PAYMENTS)
        _fill(of, entries)
        ways = {NONE: without} | {str(count): of for count in rules}
        scored: dict[str, list[float]] = {way: [] for way in ways}
        peaks: dict[str, list[float]] = {way: [] for way in ways}
        cpu_us: dict[str, list[float]] = {way: [] for way in ways}
        late: dict[str, float] = {}
        for turn in range(RUNS + 1):
            for way, its in ways.items():
                if way != NONE:
                    asyncio.run(_release(of.env, rules[int(way)]))
                its.at_ms = max(one.at_ms for one in ways.values())
                if turn == RUNS:
                    late[way] = latency(its, RATE, f"with-{way}", LONGEST_S)["p99"]
                    continue
                run = drained(its, PAYMENTS, {})
                scored[way].append(run.per_s)
                peaks[way].append(run.peak_mb)
                cpu_us[way].append(run.cpu_us["worker"])
        return {way: {**_told(way, scored, peaks, late), "cpu_us": round(statistics.median(cpu_us[way]), 1)} for way in ways}


def _banks(servers: dict[str, str], home: Path, payments: int) -> tuple[Bank, Bank]:
    """The bank, and the same without rules; its cards have a history, and so many payments are to come."""
    file = home / "transactions.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "4000", "--terminals", "8000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file), "--profile", "velocity")
    with_topics = {**servers, "RULES_TOPIC": "measured-rules", "LISTS_TOPIC": "measured-lists"}
    of = bank(with_topics, home, Portfolio(CARDS), HISTORY + payments)
    without = Bank(of.portfolio, {**of.env, **_NOWHERE}, home, of.at_ms)
    drained(without, HISTORY, {})
    return of, without


def _fill(of: Bank, entries: int) -> None:
    """The lists."""
    env = dict(of.env)
    values = of.home / "cards.csv"
    values.write_text("".join(f"blocked-{n:08d}\n" for n in range(entries)), encoding="utf-8")
    for kind, name, power in (("card", "stolen", "block"), ("terminal", "watched", "ask")):
        fraudstream(env, "lists", "create", name, "--of", kind, "--power", power, *_SIGNED)
    fraudstream(env, "lists", "import", "stolen", str(values), *_SIGNED)
    fraudstream(env, "lists", "add", "watched", *(f"term-{n}" for n in range(50)), *_SIGNED)


async def _release(env: Mapping[str, str], rules: list[Rule]) -> None:
    """Bring these rules into force, and no others."""
    options = {"bootstrap_servers": env["KAFKA_BOOTSTRAP_SERVERS"]}
    async with RuleWriter.open(options, env["RULES_TOPIC"], RulesLog) as writer:
        await writer.write([msgspec.json.encode(rule) for rule in rules if rule.code not in writer.log.rules])
        previous = writer.log.in_force.name if writer.log.in_force else None
        await writer.write([msgspec.json.encode(release_of(rules, "ann", "measured", previous))])


def narrow(rule: Rule, chance: random.Random) -> Rule:
    """The rule, of few payments."""
    return msgspec.structs.replace(rule, expression=f"({rule.expression}) and amount > {chance.randrange(400, 900)}")


def _told(way: str, scored: Mapping[str, list[float]], peaks: Mapping[str, list[float]], late: Mapping[str, float]) -> dict[str, Any]:
    shares = [rate / without for rate, without in zip(scored[way], scored[NONE], strict=True)]
    return {
        "scored_per_s": round(statistics.median(scored[way])),
        "throughput_share": round(statistics.median(shares), 3),
        "p99_ms": late[way],
        "p99_added_ms": round(late[way] - late[NONE], 1),
        "peak_mb": round(statistics.median(peaks[way])),
        "mb_added": round(statistics.median(peaks[way]) - statistics.median(peaks[NONE])),
    }
