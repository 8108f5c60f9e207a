"""`make rules-check`: rules and lists on real Kafka and Redis, with two workers under load, from a rule that is written to `verify`.

    RULES_RATE=N     payments a second while changes are timed, 500 by default
    RULES_CHANGES=N  changes whose way is timed, 60 by default
    FAULTS_KEEP=1    keep logs and data where something is wrong

1. what a fraud team does, by its commands (`story`), and what the API answers;
2. changes, one behind the other: how long each takes until the last partition has decided under it (`latency`);
3. workers are killed amid a release, while changes go on;
4. every output and all state are held against a ledger and a brute force, as in `make faults`, rules and lists among them; `verify` takes every decision
   again by what was in force at its moment;
5. controls: `verify` by what is in force now must find differences, and so must the check where a takeover does not copy what a decision had seen.

The last line is one JSON object: `decisions` and `differences` as `verify` counts them, vectors and scores too; `p99_live_ms` by nearest rank, from the
broker's time of a change's record, under `records_per_s`. The exit code is 0 only where nothing differs, is lost or wrong, each control failed, 99 % were
live in `LIVE_MS`, and `rate_reached`: the payments that were asked for were sent meanwhile, but for one in twenty.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stream_app.local.stack import LocalStack
from stream_app.settings import PREFIX
from tests.e2e.models import Shelf
from tests.faults import model
from tests.faults.checks import check
from tests.faults.control_rounds import is_seen
from tests.faults.faults import FAULTS, killed_amid_release
from tests.faults.findings import Findings
from tests.faults.ground import Ground
from tests.faults.rolling import shared
from tests.faults.run import alone, say
from tests.faults.scene import PARTITIONS, Needs, Scene, Stuck
from tests.faults.traffic import HOUR, Pace
from tests.rules_check.api import asked_api
from tests.rules_check.commands import Done, ran
from tests.rules_check.heard import Heard
from tests.rules_check.latency import live_ms, percentile, written_at
from tests.rules_check.story import TERMINAL, Story

LIVE_MS = 2_000
CHUNKS_A_SECOND = 50
EVERY_S = 0.5
OF_TODAY = Pace(HOUR, 2)
"""Payments of an hour ago on, which go on as the clock does: windows and times of rules are as they are for a team."""
REACHED = 0.95
KILLS = 3
CONTROL = "not_copied"


@dataclass(slots=True)
class Result:
    """The last line."""

    decisions: int = 0
    differences: int = 0
    lost: int = 0
    p99_live_ms: int = -1
    rate_reached: bool = False
    controls_failed_as_they_should: bool = False
    changes: int = 0
    kills: int = 0
    records_per_s: int = 0
    decided_by: dict[str, int] = field(default_factory=dict)
    apart: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether all is as it must be."""
        as_it_must = self.decisions and not self.differences and not self.wrong and self.controls_failed_as_they_should
        return bool(as_it_must) and 0 <= self.p99_live_ms <= LIVE_MS and self.rate_reached


async def run(folder: Path, rate: int, changes: int) -> bool:
    """All of it; whether all is well."""
    ground, result = Ground(folder / "stack"), Result()
    try:
        await ground.up()
        scene = Scene(ground, folder / "rules", "rules", seed=1, needs=Needs(pace=OF_TODAY))
        try:
            result.wrong = (await _played(scene, result, rate, changes)).wrong
        finally:
            await scene.close()
        result.lost = result.wrong.get("lost", 0)
        of_today = await _verified(scene, folder, result)
        lane = Scene(ground, folder / CONTROL, CONTROL, seed=1, control=CONTROL)
        seen = await is_seen(lane, (FAULTS["within_publish"],) * 2, ("unexpected",), say)
        result.controls_failed_as_they_should = of_today and seen
    finally:
        await ground.down()
    print(json.dumps(asdict(result)), flush=True)  # noqa: T201 - the check's result
    return result.well


async def _played(scene: Scene, result: Result, rate: int, changes: int) -> Findings:
    """The lane, up to what it was found to have wrong."""
    findings = Findings()
    try:
        await scene.open(changes=False)
        scene.wanted = 2
        await shared(scene)
        async with _hearing(scene) as heard:
            await Story(scene, heard, say).play()
            result.skipped |= await asked_api(scene, TERMINAL)
            say(f"The API: {result.skipped.get('api', 'declines as workers do')}.")
            async with _at_rate(scene, rate):
                result.p99_live_ms, result.records_per_s = await _timed(scene, heard, changes)
            result.rate_reached = result.records_per_s >= REACHED * rate
            if not result.rate_reached:
                say(
                    f"{rate} payments a second were asked for, {result.records_per_s} were sent: the times are of those. Give the machine rest, or less."
                )
            for _ in range(KILLS):
                await killed_amid_release(scene)
                await scene.recovered("a worker killed amid a release")
                await shared(scene)
                result.kills += 1
            say(f"{KILLS} workers were killed amid a release")
        await scene.drain()
    except (Stuck, AssertionError) as wrong:
        findings.stuck.append(f"{type(wrong).__name__}: {wrong}")
        await scene.hush()
    await check(scene, findings)
    result.changes, result.decided_by = len(scene.changer.made), dict(scene.decided_by.most_common())
    for name in findings.wrong:
        for text in getattr(findings, name)[:12]:
            say(f"  {name}: {text}")
    return findings


@asynccontextmanager
async def _hearing(scene: Scene) -> AsyncIterator[Heard]:
    heard = Heard(scene)
    task = asyncio.create_task(heard.run())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _at_rate(scene: Scene, rate: int) -> AsyncIterator[None]:
    """So many payments a second, in small chunks: a partition must not wait for a payment to decide."""
    sender = scene.sender
    before = sender.chunk, sender.every_s
    sender.chunk, sender.every_s = max(1, rate // CHUNKS_A_SECOND), 1 / CHUNKS_A_SECOND
    try:
        yield
    finally:
        sender.chunk, sender.every_s = before


async def _timed(scene: Scene, heard: Heard, changes: int) -> tuple[int, int]:
    """Within which time, ms, 99 % of the changes were live, and under how many records a second."""
    await scene.change(EVERY_S)
    began, sent = time.monotonic(), scene.ledger.sent

    async def enough() -> bool:
        return len(scene.changer.made) >= changes

    await scene.until(enough, f"{changes} changes")
    rate = round((scene.ledger.sent - sent) / (time.monotonic() - began))
    last = scene.changer.made[changes - 1]

    async def all_live() -> bool:
        return all(
            any(getattr(one.read, last.topic) >= last.offset for one in heard.decisions[-1_000:] if one.partition == partition)
            for partition in range(PARTITIONS)
        )

    await scene.until(all_live, "the last change to be live")
    took = live_ms(scene.changer.made[:changes], await written_at(scene), heard.decisions)
    say(f"{changes} changes were live after {percentile(took, 0.5)} ms (p50), {max(took)} at most, under {rate} records a second")
    return percentile(took, 0.99), rate


async def _verified(scene: Scene, folder: Path, result: Result) -> bool:
    """`verify`, and its control: whether that found differences."""
    registry = LocalStack(folder / "registry")
    try:
        mlflow = (await asyncio.to_thread(registry.up, ("mlflow",))).mlflow
        await asyncio.to_thread(_register, mlflow)
        env = {**scene.fleet.env, f"{PREFIX}MLFLOW_TRACKING_URI": mlflow}
        done = await ran(env, "verify")
        found = _summary(done)
        result.decisions, result.apart = found["decisions"], found["apart"]
        result.differences = sum(found[name] for name in ("decision_differences", "differences", "score_differences"))
        if done.code and not result.differences:
            result.wrong["verify"] = done.code
        if done.code:
            say(done.errors)
        control = _summary(await ran(env, module="tests.rules_check.today"))
        say(f"verify: {found['decision_differences']} of {found['decisions']}; by the rules of now: {control['decision_differences']}")
        return bool(control["decision_differences"])
    finally:
        await asyncio.to_thread(registry.reset)


def _register(mlflow: str) -> None:
    shelf = Shelf(mlflow, model.NAME)
    shelf.make()
    if shelf.add(model._onnx()) != model.VERSION:
        raise AssertionError("the registry numbers versions otherwise: the check is wrong")


def _summary(done: Done) -> dict[str, Any]:
    if not done.output:
        raise AssertionError(f"verify said nothing: {done.errors}")
    return done.last


def main() -> int:
    """Run the check; the exit code."""
    rate, changes = int(os.environ.get("RULES_RATE") or 500), int(os.environ.get("RULES_CHANGES") or 60)
    return alone(f"{rate} payments a second, {changes} changes", lambda folder: run(folder, rate, changes))


if __name__ == "__main__":
    sys.exit(main())
