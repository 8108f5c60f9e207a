"""How long a start takes from a topic of lists that has a past, on a real Kafka: the part of `make bench-rules` behind `kafka_start`.

1. fill a topic: so many entries that are put and taken off again, then those that live, a checkpoint, and a tail of one entry a record behind it, nearly
   as long as there may be one;
2. in a process of its own, `RUNS` times: read it as a worker does when it starts; seconds, and megabytes that its memory grew by, held and at the peak.

`BENCH_RULES_PAST` and `BENCH_RULES_LIVE` take other numbers of entries than ten millions and one. The slowest run is told.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.ground import fraudstream
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.rule_writer import MOST_TAIL_RECORDS, RuleWriter
from stream_app.rules.lists import MAX_AT_ONCE, CardList, ListedValue, ListEntries, ListRemoval
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.warm import warm
from tests.e2e.workers import servers_alone

PAST = int(os.environ.get("BENCH_RULES_PAST", "10000000"))
LIVE = int(os.environ.get("BENCH_RULES_LIVE", "1000000"))
TAIL = MOST_TAIL_RECORDS - 1_000
"""The pieces of the checkpoint stand before it, and count too."""
RUNS = 3
_TOPIC = "measured-start"
_NAME = "stolen"


def measured() -> dict[str, Any]:
    """Fill a topic and start from it."""
    with servers_alone() as (servers, _):
        fraudstream({**servers, "LISTS_TOPIC": _TOPIC}, "topics")
        address = servers["KAFKA_BOOTSTRAP_SERVERS"]
        asyncio.run(_fill(address))
        command = [sys.executable, "-m", "benchmarks.rules_start", address]
        root = Path(__file__).parents[1]
        runs = [json.loads(subprocess.run(command, check=True, cwd=root, stdout=subprocess.PIPE).stdout) for _ in range(RUNS)]
    worst = {name: max(run[name] for run in runs) for name in ("start_s", "held_mb", "peak_mb")}
    return {"past": PAST, "live": LIVE, "tail": TAIL, **worst}


async def _fill(address: str) -> None:
    async with RuleWriter.open({"bootstrap_servers": address}, _TOPIC, ListsLog) as writer:
        await writer.write([msgspec.json.encode(CardList(_NAME, "card", "block", "ann", "measured"))])
        await writer.write(_past())
        await writer.write(_entries("card", LIVE, MAX_AT_ONCE))
        await writer.checkpoint()
        await writer.write(_entries("late", TAIL, 1))


def _past() -> Iterator[bytes]:
    """Entries, each record of them taken off again by the next one."""
    for put in range(0, PAST, MAX_AT_ONCE):
        values = [f"past-{n:016x}" for n in range(put, min(put + MAX_AT_ONCE, PAST))]
        yield msgspec.json.encode(ListEntries(_NAME, tuple(map(ListedValue, values)), "ann", "seen"))
        yield msgspec.json.encode(ListRemoval(_NAME, tuple(values), "ann", "over"))


def _entries(name: str, count: int, at_once: int) -> Iterator[bytes]:
    for put in range(0, count, at_once):
        values = (ListedValue(f"{name}-{n:016x}", 4_000_000_000_000 + n) for n in range(put, min(put + at_once, count)))
        yield msgspec.json.encode(ListEntries(_NAME, tuple(values), "ann", f"case {put // MAX_AT_ONCE}"))


async def _start(address: str) -> None:
    """In a process of its own: start, and print what it took."""
    warm()
    gc.collect()
    before_mb = resident_mb()
    began = time.perf_counter()
    async with RuleTopic.open({"bootstrap_servers": address}, _TOPIC, ListsLog) as topic:
        took_s = time.perf_counter() - began
        held = topic.log.lists.count(_NAME)
    gc.collect()
    assert held == LIVE + TAIL, held  # noqa: S101 - what was measured is what was meant
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    mb = {"held_mb": round(resident_mb() - before_mb, 1), "peak_mb": round(peak_mb - before_mb, 1)}
    print(json.dumps({"start_s": round(took_s, 2), **mb}))


def resident_mb() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    asyncio.run(_start(sys.argv[1]))
