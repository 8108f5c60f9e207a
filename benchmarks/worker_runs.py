"""What benchmarks measure of real workers: a backlog scored to its end, and the way from a payment that is due to its alert."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from benchmarks.bank import Bank
from benchmarks.costs import cpu_s, peak_mb
from benchmarks.ground import scored
from stream_app.local.watching import free_port
from tests.e2e.workers import Worker, worker
from tests.waiting import until

LOOK_EVERY_S = 0.25  # whoever asks for metrics ten times a second measures that
DRAINED_S = 1800
PERCENTILES = (50, 99, 99.9)


class Drain(NamedTuple):
    """A backlog, from its first payment scored to its last.

    Attributes:
        per_s: payments scored a second.
        cpu_us: CPU of a payment by process, µs; of several workers together.
        peak_mb: most memory that a worker has held, MB.
    """

    per_s: float
    cpu_us: dict[str, float]
    peak_mb: float


def drained(of: Bank, count: int, servers: Mapping[str, int]) -> Drain:
    """So many payments are there before a worker starts. What `servers` use, process ids by name, is measured too."""
    of.publish(count)
    with worker(of.env, free_port(), of.home) as running:
        first = until(lambda: scored(running), "the first payment")
        return _to_the_end([running], first, count, servers)


def drained_by(workers: int, of: Bank, count: int, servers: Mapping[str, int]) -> Drain:
    """So many payments are published at once when so many workers share the partitions."""
    with ExitStack() as stack:
        running = [stack.enter_context(worker(of.env, free_port(), of.home)) for n in range(workers)]
        until(lambda: all(one.ready() for one in running) and _shared(running, of.partitions), "all workers to hold their share", 120)
        of.publish(count)
        first = until(lambda: sum(map(scored, running)), "the first payment")
        return _to_the_end(running, first, count, servers)


def _shared(running: Sequence[Worker], partitions: int) -> bool:
    held = [one.metric("fraudstream_partitions_owned") for one in running]
    return sum(held) == partitions and min(held) >= partitions // len(held)


def _to_the_end(running: Sequence[Worker], first: float, count: int, servers: Mapping[str, int]) -> Drain:
    processes = {f"worker-{n}": one.process.pid for n, one in enumerate(running)} | dict(servers)
    began, used = time.perf_counter(), cpu_s(processes)
    until(lambda: sum(map(scored, running)) >= count, "the last payment", DRAINED_S, LOOK_EVERY_S)
    seconds, spent = time.perf_counter() - began, cpu_s(processes)
    peak = max(peak_mb(one.process.pid) for one in running)
    for one in running:
        one.stop()
    measured = count - first
    us = {name: (spent[name] - used[name]) / measured * 1e6 for name in processes}
    workers = sum(us.pop(f"worker-{n}") for n in range(len(running)))
    return Drain(measured / seconds, {"worker": workers, **us}, peak)


def told(runs: Sequence[Drain]) -> dict[str, Any]:
    """Medians of several runs, to be printed."""
    return {
        "scored_per_s": round(statistics.median(run.per_s for run in runs)),
        "runs": [round(run.per_s) for run in runs],
        "cpu_us": {name: round(statistics.median(run.cpu_us[name] for run in runs), 1) for name in runs[0].cpu_us},
        "worker_peak_mb": round(max(run.peak_mb for run in runs)),
    }


def percentiles(latencies_ms: Sequence[float]) -> dict[str, float]:
    """Of so many ms, to a tenth."""
    return {f"p{p:g}": round(float(np.percentile(latencies_ms, p)), 1) for p in PERCENTILES}
