"""The negative controls, run: each is a lane whose workers lack one part of the protocol. It must be found wrong, in the way it is."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults.checks import check
from tests.faults.faults import FAULTS, Fault, kill_at, stopped_owner
from tests.faults.findings import Findings
from tests.faults.ground import Ground
from tests.faults.members import ended
from tests.faults.points import Arm
from tests.faults.scene import Scene, Stuck

TIMEOUT_S = 60.0


async def _wakes_into_silence(scene: Scene) -> None:
    """A stale owner wakes when nothing is sent any more, and dies of its first write: nothing later mends what it overwrote."""
    stale = await stopped_owner(scene, "before_write")
    await scene.hush()
    await scene.recovered("the load's end")
    scene.wanted = 1
    stale.arm(Arm("after_write"))
    stale.send(signal.SIGCONT)
    await ended(scene, stale, "its first write after SIGCONT")


async def _between_writes(scene: Scene) -> None:
    await kill_at(scene, "between_writes")


SHOWS: dict[str, tuple[tuple[Fault, ...], tuple[str, ...]]] = {
    "condemned": ((FAULTS["rolling_upgrade"],) * 2, ("unbidden",)),
    "moves_on": ((FAULTS["rolling_upgrade"],), ("wrong_state",)),
    "unguarded": ((_wakes_into_silence,), ("wrong_state", "lost", "unexpected")),
    "apart": ((_between_writes,), ("wrong_state",)),
    "no_tail": ((FAULTS["after_publish"],), ("doubled",)),
    "any_mark": ((FAULTS["damage_read_by_another"],) * 3, ("unbidden",)),
    "unbounded": ((FAULTS["hostile_keys"],), ("unbidden", "lost")),
    "whole_batches": ((FAULTS["hostile_bytes"],), ("unbidden", "lost")),
    "any_time": ((FAULTS["hostile_times"],), ("lost", "unexpected")),
    "uncommitted": ((FAULTS["transaction_aborted"],), ("unexpected",)),
    "another_release": ((FAULTS["kill_anywhere"],), ("unexpected",)),
    "take": ((FAULTS["killed_in_outage"],), ("lost", "wrong_state")),
}
"""For each control: the faults that show what it lacks, and what must be found, one of these at least."""


async def run_controls(ground: Ground, folder: Path, say: Callable[[str], None], only: str = "") -> bool:
    """Run all controls, or `only` those named; whether each of all was found wrong as it should be."""
    as_they_should = not only
    for control, (faults, shows) in SHOWS.items():
        if not only or control in only.split(","):
            as_they_should = (
                await is_seen(Scene(ground, folder / f"control-{control}", f"control-{control}", 1, control), faults, shows, say)
                and as_they_should
            )
    return as_they_should


async def is_seen(scene: Scene, faults: tuple[Fault, ...], shows: tuple[str, ...], say: Callable[[str], None]) -> bool:
    """Whether a lane whose workers lack a part is found wrong, in one of these ways."""
    findings = Findings()
    try:
        findings = await _play(scene, faults)
    finally:
        await scene.close()
    found = {name: n for name, n in findings.wrong.items() if name in shows}
    say(f"{scene.name}: {found or 'NOT SEEN'}{'' if found else f', only {findings.wrong}'}")
    return bool(found)


async def _play(scene: Scene, faults: tuple[Fault, ...]) -> Findings:
    """The faults of a control. A lane that lost records may never catch up: that alone is not what must be found."""
    findings = Findings()
    scene.timeout_s = TIMEOUT_S
    try:
        await scene.open()
        for fault in faults:
            await fault(scene)
            await scene.recovered("a fault of a control")
        await scene.drain()
    except Stuck as stuck:
        findings.stuck.append(str(stuck))
        await scene.hush()
    await check(scene, findings)
    return findings
