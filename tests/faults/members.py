"""Workers that come and go faster than a group settles, and workers whose clock is wrong."""

from __future__ import annotations

import asyncio
import signal

from stream_app.errors import ClockBehind
from tests.faults.fleet import Worker
from tests.faults.scene import PARTITIONS, Scene, Stuck

HOUR_S = 3600.0
MINUTES_S = 1700.0
"""Less than a worker's clock may be behind."""


async def ended(scene: Scene, worker: Worker, what: str) -> None:
    """Wait until a worker ended."""

    async def gone() -> bool:
        return worker.process.poll() is not None

    await scene.until(gone, f"{worker.name} to end: {what}")


async def leave(scene: Scene, worker: Worker) -> None:
    """SIGTERM; the worker ends with 0, or its code is told."""
    worker.send(signal.SIGTERM)
    await ended(scene, worker, "SIGTERM")
    if worker.process.returncode:
        scene.fleet.ended[worker.process.returncode] += 1


async def killed(scene: Scene, worker: Worker) -> None:
    """Kill -9."""
    worker.send(signal.SIGKILL)
    await ended(scene, worker, "kill -9")


async def rebalance_storm(scene: Scene) -> None:
    """Three workers; every second or two one of them leaves or is killed, and another joins."""
    scene.wanted = 3

    async def shared() -> bool:
        return len(scene.fleet.running) == scene.wanted and all(w.started() for w in scene.fleet.running)

    await scene.until(shared, "three workers to start")
    async with scene.nobody_ends():
        leaving: list[asyncio.Task[None]] = []
        for _ in range(scene.random.randrange(5, 9)):
            staying = [w for w in scene.fleet.running if not w.to_end]  # a second signal would end one amid its own end
            if staying:
                worker = scene.random.choice(staying)
                leaves = worker.started() and scene.random.random() < 0.5  # one that still starts cannot be asked
                leaving.append(asyncio.create_task(leave(scene, worker) if leaves else killed(scene, worker)))
            await asyncio.sleep(scene.random.uniform(1, 3))
        await asyncio.gather(*leaving)
        await scene.recovered("a storm of rebalances")
        await scene.until(shared, "three workers to start after the storm")
        scene.wanted = 1
        for worker in scene.fleet.running[1:]:
            await leave(scene, worker)


async def _clocked(scene: Scene, clock_s: float) -> None:
    """Every worker's clock is so wrong from now on; the running one is followed by such a one."""
    scene.fleet.set_clock(clock_s)
    await killed(scene, scene.worker)


async def clock_ahead(scene: Scene) -> None:
    """A worker's clock is an hour ahead: it works."""
    await _works(scene, HOUR_S)


async def clock_minutes_off(scene: Scene) -> None:
    """A worker's clock is some minutes ahead or behind: it works."""
    await _works(scene, scene.random.uniform(-MINUTES_S, MINUTES_S))


async def _works(scene: Scene, clock_s: float) -> None:
    async with scene.nobody_ends():
        await _clocked(scene, clock_s)
        await scene.recovered(f"a clock that is {clock_s:.0f} s ahead")
        await _clocked(scene, 0)
        await scene.recovered("the clock to be right")


async def clock_behind(scene: Scene) -> None:
    """A worker's clock is an hour behind: it decides nothing, and ends with the code that says so."""
    async with scene.nobody_ends(but_with=ClockBehind.exit_code):
        before = scene.fleet.ended[ClockBehind.exit_code]
        await _clocked(scene, -HOUR_S)
        left_at = await scene.ground.cursors(scene.name, PARTITIONS)

        async def refused() -> bool:
            return scene.fleet.ended[ClockBehind.exit_code] > before

        try:
            await scene.until(refused, f"a worker whose clock is behind to end with {ClockBehind.exit_code}")
            if await scene.ground.cursors(scene.name, PARTITIONS) != left_at:
                raise Stuck("a worker whose clock is an hour behind decided something")
        finally:
            scene.fleet.set_clock(0)
        await scene.recovered("the clock to be right")


MEMBER_FAULTS = {fault.__name__: fault for fault in (rebalance_storm, clock_behind, clock_ahead, clock_minutes_off)}
