"""`make faults`: break everything, again and again, while rules and lists change, and compare what is left with the ledger.

    FAULTS=N        how many faults, 60 by default
    FAULTS_SEED=N   another order of the same
    FAULTS_ONLY=a,b these faults alone
    FAULTS_CONTROLS= these controls alone, for a look at one; none: "-"; then nothing is proven
    FAULTS_KEEP=1   keep logs and data of the lanes that failed

Rounds of several faults each, in a lane of its own, under one continuous load; then the negative controls. The last line is one JSON
object; the exit code is 0 only where nothing was lost, doubled or wrong, and every control failed as it should.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stream_app.settings import PREFIX
from tests.faults.checks import check
from tests.faults.control_rounds import run_controls
from tests.faults.faults import FAULTS, begins_a_round, needs, skipped
from tests.faults.findings import Findings
from tests.faults.ground import Ground
from tests.faults.scene import Scene, Stuck

A_ROUND = 8
_SHOWN = 12


def say(text: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)  # noqa: T201 - the suite's report


async def play(scene: Scene, faults: list[str]) -> Findings:
    """One round: load, faults, checks."""
    findings = Findings()
    try:
        await scene.open()
        for name in faults:
            began = time.monotonic()
            await FAULTS[name](scene)
            await scene.recovered(name)
            say(f"  {name}: caught up after {time.monotonic() - began:.1f} s, {scene.ledger.sent} sent")
        await scene.drain()
    except Stuck as stuck:
        findings.stuck.append(str(stuck))
        await scene.hush()
    await check(scene, findings)
    return findings


def plan(count: int, seed: int) -> list[str]:
    """Which faults, in which order: every one once before any comes twice; the short form takes the first."""
    only = [name for name in os.environ.get("FAULTS_ONLY", "").split(",") if name]
    not_here = skipped()
    names, chosen = [name for name in only or FAULTS if name not in not_here], random.Random(seed)
    order: list[str] = []
    while names and len(order) < count:
        order += names if count <= len(names) else chosen.sample(names, len(names))
    return order[:count]


def rounds(order: Sequence[str]) -> Iterator[list[str]]:
    """The faults in this order, at most `A_ROUND` to a round; some begin one, see `begins_a_round`."""
    faults: list[str] = []
    for name in order:
        if len(faults) == A_ROUND or begins_a_round(name, faults):
            yield faults
            faults = []
        faults.append(name)
    if faults:
        yield faults


@dataclass(slots=True)
class Result:
    """What all rounds came to.

    Attributes:
        runs: how often each fault was made.
        of_fault: for each fault, what the rounds that it was part of were found to have wrong.
    """

    total: Findings = field(default_factory=Findings)
    runs: Counter[str] = field(default_factory=Counter)
    of_fault: dict[str, Counter[str]] = field(default_factory=dict)
    ended: Counter[int] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)
    changes: int = 0
    sent: int = 0

    def add(self, faults: Sequence[str], findings: Findings, scene: Scene) -> None:
        """One round. What it has wrong is charged to each of its faults: which one it was, its log tells."""
        self.runs.update(faults)
        self.sent += scene.ledger.sent
        self.ended += scene.fleet.ended
        self.decided_by += scene.decided_by
        self.changes += len(scene.changer.made)
        for kind in fields(Findings):
            getattr(self.total, kind.name).extend(getattr(findings, kind.name))
        for name in set(faults):
            self.of_fault.setdefault(name, Counter()).update(findings.wrong)

    def line(self, *, controls: bool) -> dict[str, Any]:
        """The suite's result."""
        total = self.total
        return {
            "faults": self.runs.total(),
            "sent": self.sent,
            "changes_of_rules_and_lists": self.changes,
            "decided_by": dict(self.decided_by.most_common()),
            "lost": len(total.lost),
            "doubled": len(total.doubled),
            "doubled_by_stale_owner": len(total.doubled_by_stale_owner),
            "degraded": len(total.degraded),
            "wrong_state": len(total.wrong_state),
            "unexpected": len(total.unexpected) + len(total.unnamed) + len(total.unbidden),
            "stuck": len(total.stuck),
            "workers_ended_by_themselves": {str(code): n for code, n in sorted(self.ended.items())},
            "controls_failed_as_they_should": controls,
            "skipped": skipped(),
            "by_fault": {name: {"runs": self.runs[name], **_charged(wrong)} for name, wrong in self.of_fault.items()},
        }


def _charged(wrong: Counter[str]) -> dict[str, int]:
    of_their_own = {name: wrong[name] for name in ("lost", "doubled")}
    return {**of_their_own, "wrong": wrong.total() - sum(of_their_own.values())}


async def run(count: int, seed: int, folder: Path) -> bool:
    """All rounds and controls; whether all is well."""
    ground, result = Ground(folder / "stack"), Result()
    try:
        await ground.up()
        for number, faults in enumerate(rounds(plan(count, seed)), start=1):
            say(f"round {number}: {', '.join(faults)}")
            scene = Scene(ground, folder / f"round-{number}", f"round-{number}", seed * 1000 + number, needs=needs(faults))
            try:
                findings = await play(scene, faults)
            finally:
                await scene.close()
            _report(findings, scene)
            result.add(faults, findings, scene)
        controls = await run_controls(ground, folder, say, os.environ.get("FAULTS_CONTROLS", ""))
    finally:
        await ground.down()
    print(json.dumps(result.line(controls=controls)), flush=True)  # noqa: T201 - the suite's result
    return not result.total.wrong and controls


def _report(findings: Findings, scene: Scene) -> None:
    ended = f", workers ended by themselves: {dict(scene.fleet.ended)}" if scene.fleet.ended else ""
    degraded = f", degraded by another version: {len(findings.degraded)}" if findings.degraded else ""
    say(f"  {findings.wrong or 'all as it must be'}; doubled by a stale owner: {len(findings.doubled_by_stale_owner)}{degraded}{ended}")
    for name in findings.wrong:
        for text in getattr(findings, name)[:_SHOWN]:
            say(f"    {name}: {text}")


def alone(what: str, play: Callable[[Path], Coroutine[Any, Any, bool]]) -> int:
    """Play in a folder of its own, which goes where all is well; the exit code.

    Nobody's own servers are killed and emptied: neither those of the environment nor those of a `.env`.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Kafka is killed on purpose
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    for name in [n for n in os.environ if n.upper().startswith(PREFIX)]:
        del os.environ[name]
    os.chdir(folder)
    say(f"{what}, files in {folder}")
    well = asyncio.run(play(folder))
    if well or not os.environ.get("FAULTS_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if well else 1


def main() -> int:
    """Run the suite; the exit code."""
    count, seed = int(os.environ.get("FAULTS") or 60), int(os.environ.get("FAULTS_SEED") or 1)
    unknown = [name for name in os.environ.get("FAULTS_ONLY", "").split(",") if name and name not in FAULTS]
    if unknown:
        sys.exit(f"FAULTS_ONLY = {unknown[0]!r} is no fault; there are {', '.join(FAULTS)}")
    return alone(f"{count} faults, seed {seed}", lambda folder: run(count, seed, folder))


if __name__ == "__main__":
    sys.exit(main())
