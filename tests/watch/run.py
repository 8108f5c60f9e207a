"""`make watch-check`: real workers under a real Prometheus; every query returns data, and each alarm fires when its fault is made.

    WATCH_ONLY=a,b  these faults alone ("quiet" for the queries); the last line then counts the alarms of these
    WATCH_KEEP=1    keep logs

1. *quiet*: two workers and an API under load. Every query of every panel, and every recording rule, returns data of the right shape; no alarm fires.
2. each fault in a scene of its own, with a Prometheus that knows nothing of the others. The fault is made, never the series.

The rules are those of docker/prometheus with `for: 0s` in place of each waiting time, and nothing else changed; promtool's tests hold those.
The last line is one JSON object; the exit code is 0 only where no query was without data, no alarm fired for nothing and every other fired.
Where there is no Prometheus nothing is asked, and that is what the line says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from stream_app.errors import FraudstreamError
from stream_app.local.prometheus import program
from stream_app.settings import PREFIX
from tests.faults.ground import Ground
from tests.faults.model import DEAR
from tests.watch.faults import FAULTS, SLOW, Fault
from tests.watch.queries import amiss, firing, of_panels, of_rules
from tests.watch.scene import Awaited, Scene
from tests.watch.traffic import labels_of, out_of_the_ordinary, payments

QUIET = "quiet"
QUIET_S = 30.0
EVERY = {QUIET, *FAULTS, *SLOW}


def say(text: str) -> None:
    """One line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)  # noqa: T201 - the check's report


async def quiet(ground: Ground, folder: Path) -> tuple[list[str], list[str]]:
    """Where all is well: queries without data of the right shape, and alarms that fire for nothing."""
    async with Scene(ground, folder, QUIET) as scene:
        await scene.start(2)
        await scene.put_rules()
        api = await scene.start_api()
        began = time.monotonic()
        await scene.send(out_of_the_ordinary())
        while time.monotonic() < began + QUIET_S:
            paid = list(payments(300))
            await scene.send(paid)
            await scene.send([], labels_of([p for p in paid if p["amount"] >= DEAR], is_fraud=True))
            await asyncio.to_thread(api.page, "v1/model")
            await asyncio.sleep(0.5)
        left = dict.fromkeys([*of_panels(), *(q for q in of_rules() if q.kind == "record")], "")

        def none_left() -> bool:
            for query in list(left):
                left[query] = amiss(scene.prometheus.url, query, time.monotonic() - began) or ""
                if not left[query]:
                    del left[query]
            return not left

        with contextlib.suppress(Awaited):
            await scene.until(none_left, "data", 30)
        return [f"{query.where}: {why}" for query, why in left.items()], sorted(firing(scene.prometheus.url))


async def made(ground: Ground, folder: Path, name: str, fault: Fault) -> set[str]:
    """Make a fault; those of its alarms that fired."""
    began, seen = time.monotonic(), set[str]()

    async def note(scene: Scene) -> None:
        while True:
            seen.update(await asyncio.to_thread(firing, scene.prometheus.url))
            await asyncio.sleep(0.5)

    try:
        async with Scene(ground, folder, name) as scene:
            noting = asyncio.create_task(note(scene))
            try:
                await fault.make(scene)
                await scene.until(lambda: seen.issuperset(fault.alarms), ", ".join(fault.alarms), fault.timeout_s)
            finally:
                noting.cancel()
    except Awaited as missed:
        say(f"{name}: {missed}")
    say(f"{name}: {', '.join(a for a in fault.alarms if a in seen) or 'nothing'} fired, in {time.monotonic() - began:.0f} s")
    return seen & set(fault.alarms)


def awaited(chosen: set[str]) -> set[str]:
    """The alarms that must fire: every rule's, and where something was left out, those of the faults that were not."""
    if chosen == EVERY:
        return {q.where for q in of_rules() if q.kind == "alert"}
    return {alarm for name, fault in {**FAULTS, **SLOW}.items() if name in chosen for alarm in fault.alarms}


async def run(folder: Path, chosen: set[str]) -> bool:
    """All of it, or what was chosen; whether all is well."""
    ground = Ground(folder / "stack")
    alarms, fired = awaited(chosen), set[str]()
    empty, for_nothing = list[str](), list[str]()
    try:
        await ground.up()
        slow = [asyncio.create_task(made(ground, folder, name, fault)) for name, fault in SLOW.items() if name in chosen]
        if QUIET in chosen:
            try:
                empty, for_nothing = await quiet(ground, folder)
            except Awaited as missed:
                empty = [str(missed)]
            say(f"{QUIET}: without data: {'; '.join(empty) or 'none'}; alarms for nothing: {', '.join(for_nothing) or 'none'}")
        for name, fault in FAULTS.items():
            if name in chosen:
                fired |= await made(ground, folder, name, fault)
        for task in slow:
            fired |= await task
    finally:
        await ground.down()
    queries, silent = len(of_panels()) + len(of_rules()) if QUIET in chosen else 0, alarms - fired
    line = {"queries": queries, "without_data": len(empty) + len(silent), "alarms": len(alarms), "alarms_fired": len(fired)}
    print(json.dumps(line), flush=True)  # noqa: T201 - the check's result
    return not empty and not for_nothing and not silent


def main() -> int:
    """Run the check; the exit code."""
    try:
        program()
    except FraudstreamError as error:
        print(json.dumps({"skipped": str(error)}))  # noqa: T201 - the check's result
        return 0
    chosen = {name for name in os.environ.get("WATCH_ONLY", "").split(",") if name} or EVERY
    if unknown := sorted(chosen - EVERY):
        sys.exit(f"WATCH_ONLY = {unknown[0]!r} is no fault; there are {', '.join(sorted(EVERY))}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="watch-"))
    for name in [n for n in os.environ if n.upper().startswith(PREFIX)]:
        del os.environ[name]  # nobody's own servers are stopped and emptied here
    os.chdir(folder)  # nor those of a `.env`
    say(f"files in {folder}")
    well = asyncio.run(run(folder, chosen))
    if well or not os.environ.get("WATCH_KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
