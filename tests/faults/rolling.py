"""Rolling upgrades: workers of two versions share the partitions, one after the other is replaced, there, back, and there again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.faults import versions
from tests.faults.fleet import Worker
from tests.faults.scene import PARTITIONS, Scene
from tests.faults.sender import CHUNK, EVERY_S

PER_S = 1_000
"""Payments, while workers are replaced."""
REBUILT = "It is rebuilt from"
"""What a worker says that takes state for lost or damaged."""


async def rolling_upgrade(scene: Scene) -> None:
    """From this version to a later one (another packed format, list of features and kernel version), back to this one, and to the later one to stay.

    No worker may end by itself, and no state may be rebuilt. In the end all that was decided meanwhile is counted.
    """
    await _upgraded(scene, (versions.LATER, "", versions.LATER))


async def rolling_from_history(scene: Scene) -> None:
    """From this version back to a real earlier one, out of the history, whose cursors and notes are others, and to this one again."""
    scene.not_kept = versions.KEPT_SINCE
    await _in_turn(scene, (versions.OTHER_FORMATS, ""))


async def rolling_earlier_beside_later(scene: Scene) -> None:
    """From this version to a later one, back to a real earlier one, out of the history, which leaves its state alone, and to the later one to stay."""
    await _upgraded(scene, (versions.LATER, versions.LEAVES_ALONE, versions.LATER))


async def _upgraded(scene: Scene, to: Sequence[str]) -> None:
    """As `_in_turn`; the last of them, the later one, counts all that was decided meanwhile, and no decision is degraded after that."""
    versions.place_later_model(scene.folder)
    scene.whole_from_ms = 2**63
    async with _at_rate(scene):
        await _replaced_by(scene, to)
        scene.left_alone = False
        await scene.recovered("the later version's return")
        scene.whole_from_ms = time.time_ns() // 1_000_000
        await scene.recovered("some payments more")
        await _one_is_left(scene)


async def _in_turn(scene: Scene, to: Sequence[str]) -> None:
    """Two workers, replaced one by one by those of each version in turn. Every decision is made upon the whole state."""
    async with _at_rate(scene):
        await _replaced_by(scene, to)
        await _one_is_left(scene)


@asynccontextmanager
async def _at_rate(scene: Scene) -> AsyncIterator[None]:
    """`PER_S` payments meanwhile; workers that end by themselves, and state that is rebuilt, are told."""
    ended, rebuilt = scene.fleet.ended.copy(), _rebuilt(scene)
    scene.sender.every_s = CHUNK / PER_S
    try:
        yield
    finally:
        scene.sender.every_s = EVERY_S
        scene.unbidden += [f"with {code}, {n} times" for code, n in (scene.fleet.ended - ended).items()]
        scene.unbidden += [f"state was rebuilt, {n} times" for n in [_rebuilt(scene) - rebuilt] if n]


async def _replaced_by(scene: Scene, to: Sequence[str]) -> None:
    for commit in {*to} - {"", versions.LATER}:
        await asyncio.to_thread(versions.place_earlier, commit, scene.folder)
    scene.wanted = 2
    await shared(scene)
    for version in to:
        await replaced(scene, version)


async def _one_is_left(scene: Scene) -> None:
    scene.wanted = 1
    await _stopped(scene, scene.fleet.running[-1])


async def shared(scene: Scene) -> None:
    """Wait until each of two workers holds its half."""
    half = f"Holding {PARTITIONS // 2} partitions"

    async def by_halves() -> bool:
        return len(scene.fleet.running) > 1 and all(half in worker.holding() for worker in scene.fleet.running)

    await scene.until(by_halves, "two workers to share the partitions")


async def replaced(scene: Scene, version: str) -> None:
    """Replace one worker after the other; each time all is decided before the next."""
    scene.fleet.version = version
    scene.left_alone = scene.left_alone or version == versions.LATER
    for worker in list(scene.fleet.running):
        await _stopped(scene, worker)
        await shared(scene)
        await scene.recovered(f"{worker.name} replaced by {version or 'this version'}")


async def _stopped(scene: Scene, worker: Worker) -> None:
    worker.send(signal.SIGTERM)

    async def gone() -> bool:
        return worker.process.poll() is not None

    await scene.until(gone, f"{worker.name} to end: SIGTERM")
    if worker.process.returncode:
        scene.fleet.ended[worker.process.returncode] += 1


def _rebuilt(scene: Scene) -> int:
    return sum(file.read_text(errors="replace").count(REBUILT) for file in scene.folder.glob("worker-*.log"))
