"""`make soak`: load for an hour with a fault a minute, all of one worker's life. Memory and handles must stay flat, lag must return to 0.

    MINUTES=N     how long, 60 by default; 2 is a look whether it works at all
    FAULTS_SEED=N another order of the faults

The faults are those that end no worker, so that one process lives through all of them. The last line is one JSON object; the chart is
`build/soak.svg`. The exit code is 0 only where nothing was lost, doubled or wrong, no worker ended, and all three are as they must be.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import psutil
from numpy.typing import NDArray
from redis.exceptions import RedisError

from tests.faults.checks import check
from tests.faults.faults import FAULTS, needs
from tests.faults.findings import Findings
from tests.faults.ground import Ground
from tests.faults.network import NETWORK_FAULTS
from tests.faults.outages import OUTAGES
from tests.faults.run import alone, say
from tests.faults.scene import PARTITIONS, Scene, Stuck
from tests.faults.versions import ROOT

CHART = ROOT / "build" / "soak.svg"
MINUTE_S, EVERY_S = 60.0, 2.0
MB = 2**20
REBUILT_S = 6.0
"""For each minute of load: a Redis that is emptied late has all that was ever sent counted again, 30,000 records a minute, at 5,000 a second at least."""
MOST_RISE_OF_MEMORY, MOST_RISE_OF_HANDLES = 0.05, 5.0
"""What the second half of the run may add: a share of the memory; and handles."""
ENDING_NOBODY = (
    *OUTAGES, *NETWORK_FAULTS, "redis_killed", "kafka_killed", "redis_emptied", "redis_rolled_back", "cursor_damaged",
    "hostile_keys", "hostile_rates", "hostile_times", "join_and_leave", "damage_read_by_another",
)  # fmt: skip


@dataclass(slots=True)
class Samples:
    """What was seen of the worker that lives longest.

    Attributes:
        at_s: when, from the begin of the load.
        memory_mb: resident.
        handles: open files and sockets.
        lag: records that were sent and not decided; those that stand in the logs alone count.
        faults: when each began.
    """

    at_s: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    handles: list[float] = field(default_factory=list)
    lag: list[float] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)

    def rise(self, values: Sequence[float]) -> float:
        """By how much the second half of the run rose, by its robust slope: the first half fills what is kept."""
        half = len(values) // 2
        at = np.array(self.at_s[half:])
        return slope(at, np.array(values[half:])) * float(at[-1] - at[0])


def slope(at: NDArray[np.floating[Any]], values: NDArray[np.floating[Any]]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs. A peak, as of a rebuild, does not move it."""
    first, second = np.triu_indices(len(at), 1)
    return float(np.median((values[second] - values[first]) / (at[second] - at[first])))


async def sample(scene: Scene, samples: Samples) -> None:
    """Look every other second, until cancelled."""
    began, worker = time.monotonic(), psutil.Process(scene.worker.process.pid)
    while True:
        try:
            lag = await _lag(scene)
            memory, handles = worker.memory_info().rss / MB, worker.num_fds()
        except (RedisError, OSError, TimeoutError):  # Redis is away: there is no telling
            pass
        except psutil.NoSuchProcess:
            return
        else:
            samples.at_s.append(time.monotonic() - began)
            samples.memory_mb.append(memory)
            samples.handles.append(handles)
            samples.lag.append(lag)
        await asyncio.sleep(EVERY_S)


async def _lag(scene: Scene) -> int:
    async with asyncio.timeout(EVERY_S):
        cursors = await scene.ground.cursors(scene.name, PARTITIONS)
    return sum(max(0, end - cursors[p].get(kind, 0)) for (kind, p), end in scene.ledger.ends().items())


def plan(minutes: int, seed: int) -> list[str]:
    """A fault for each minute: every one once before any comes twice."""
    chosen, order = random.Random(seed), list[str]()
    while len(order) < minutes:
        order += chosen.sample(ENDING_NOBODY, len(ENDING_NOBODY))
    return order[:minutes]


async def play(scene: Scene, faults: Sequence[str], samples: Samples) -> Findings:
    """The load, a fault a minute, and the comparison with the ledger."""
    findings = Findings()
    watching: asyncio.Task[None] | None = None
    try:
        await scene.open()
        began = time.monotonic()
        watching = asyncio.create_task(sample(scene, samples))
        for minute, name in enumerate(faults):
            samples.faults.append((time.monotonic() - began, name))
            await FAULTS[name](scene)
            await scene.recovered(name)
            say(f"  minute {minute + 1}, {name}: caught up after {time.monotonic() - began - samples.faults[-1][0]:.1f} s")
            await asyncio.sleep(max(0.0, began + (minute + 1) * MINUTE_S - time.monotonic()))
        await scene.drain()
        await asyncio.sleep(2 * EVERY_S)
    except Stuck as stuck:
        findings.stuck.append(str(stuck))
        await scene.hush()
    finally:
        if watching is not None:
            watching.cancel()
    await check(scene, findings)
    return findings


def verdict(samples: Samples, findings: Findings, scene: Scene) -> dict[str, Any]:
    """The result as one line."""
    memory_rise, handles_rise = samples.rise(samples.memory_mb), samples.rise(samples.handles)
    half = len(samples.at_s) // 2
    memory, handles = float(np.median(samples.memory_mb[half:])), float(np.median(samples.handles[half:]))
    flat = memory_rise <= MOST_RISE_OF_MEMORY * memory and handles_rise <= MOST_RISE_OF_HANDLES
    well = flat and samples.lag[-1] == 0 and not findings.wrong and not scene.fleet.ended
    return {
        "minutes": round(samples.at_s[-1] / MINUTE_S, 1),
        "faults": len(samples.faults),
        "sent": scene.ledger.sent,
        "memory_mb": round(memory, 1),
        "memory_rise_mb": round(memory_rise, 1),
        "most_memory_mb": round(max(samples.memory_mb), 1),
        "handles": round(handles),
        "handles_rise": round(handles_rise, 1),
        "most_lag": round(max(samples.lag)),
        "last_lag": round(samples.lag[-1]),
        "wrong": findings.wrong,
        "workers_ended_by_themselves": {str(code): n for code, n in sorted(scene.fleet.ended.items())},
        "well": well,
    }


def draw(samples: Samples, file: Path) -> None:
    """Memory, handles and lag over time; a line where a fault began."""
    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after it knows that there is no screen

    at = np.array(samples.at_s) / MINUTE_S
    figure, axes = plt.subplots(3, 1, figsize=(10, 8), sharex=True, layout="constrained")
    shown = (("memory, MB", samples.memory_mb), ("handles", samples.handles), ("records not decided", samples.lag))
    for axis, (name, values) in zip(axes, shown, strict=True):
        axis.plot(at, values, linewidth=1)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
        for began_s, _ in samples.faults:
            axis.axvline(began_s / MINUTE_S, color="0.8", linewidth=0.5)
    axes[-1].set_xlabel("minutes; a grey line: a fault begins")
    file.parent.mkdir(exist_ok=True)
    figure.savefig(file)
    plt.close(figure)


async def run(minutes: int, seed: int, folder: Path) -> bool:
    """The whole; whether all is well."""
    ground, samples = Ground(folder / "stack"), Samples()
    try:
        await ground.up()
        faults = plan(minutes, seed)
        scene = Scene(ground, folder / "soak", "soak", seed, needs=needs(ENDING_NOBODY))
        scene.timeout_s += minutes * REBUILT_S
        try:
            findings = await play(scene, faults, samples)
        finally:
            await scene.close()
    finally:
        await ground.down()
    for name in findings.wrong:
        for text in getattr(findings, name)[:12]:
            say(f"  {name}: {text}")
    draw(samples, CHART)
    line = verdict(samples, findings, scene)
    print(json.dumps(line), flush=True)  # noqa: T201 - the result
    return bool(line["well"])


def main() -> int:
    """Run it; the exit code."""
    minutes, seed = int(os.environ.get("MINUTES") or 60), int(os.environ.get("FAULTS_SEED") or 1)
    return alone(f"{minutes} minutes, seed {seed}", lambda folder: run(minutes, seed, folder))


if __name__ == "__main__":
    sys.exit(main())
