"""What a fraud team does, by its commands, and what both workers decide by it: each step is awaited in their decisions.

1. a rule is written, tried on the topics, refused without approval, approved by another, released, alerts; it is rolled back, and alerts no more;
2. a terminal is blocked; the next payment there is declined, in every partition;
3. a rule suppresses what the model alerts, until an event time; when payments have passed that, the model alerts again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.faults.model import DEAR
from tests.faults.rulings import Read
from tests.faults.scene import Scene
from tests.rules_check.commands import refused, well
from tests.rules_check.heard import Decided, Heard, ends_of

ANN, BOB, WHY = ("--as", "ann"), ("--as", "bob"), ("--why", "to be seen")
LARGE, PAUSE = "large_online", "pause"
PAUSED_MS = 300_000
TERMINAL = "terminal-7"
type Say = Callable[[str], None]


class Story:
    """The steps, over a lane of two workers whose decisions are heard. A step that does not come raises `Stuck`, a wrong one AssertionError."""

    def __init__(self, scene: Scene, heard: Heard, say: Say) -> None:
        self._scene, self._heard, self._say, self._env = scene, heard, say, scene.fleet.env
        self._file = Path("rules.toml")

    async def play(self) -> None:
        """All steps."""
        for step in (self._base, self._written, self._rolled_back, self._blocked, self._suppressed):
            await step()
            self._say(f"{(step.__doc__ or '').splitlines()[0]}")

    async def _base(self) -> None:
        """A rule in shadow is in force."""
        self._write("base", "amount >= 250", "review", 'mode = "shadow"')
        await well(self._env, "rules", "put", str(self._file), *ANN)
        await well(self._env, "rules", "release", "base", *ANN, *WHY)
        await self._both(lambda one: ("base", 1, "shadow") in one.ruling.rules, "the rule in shadow to be told")

    async def _written(self) -> None:
        """A rule is written, tried, refused, approved, released, and alerts."""
        self._write(LARGE, 'amount >= 280 and amount < 300 and channel == "online"', "review")
        await well(self._env, "rules", "put", str(self._file), *ANN)
        tried = json.loads((await well(self._env, "rules", "backtest", str(self._file), "--topics", "--json")).splitlines()[-1])
        assert [one["code"] for one in tried["rules"] if one["hits"]] == [LARGE], tried
        release = ("rules", "release", LARGE, *ANN, *WHY, "--topics")
        assert "Nobody approved" in await refused(self._env, *release)
        assert "its author cannot approve it" in await refused(self._env, "rules", "approve", LARGE, *ANN)
        await well(self._env, "rules", "approve", LARGE, *BOB)
        await well(self._env, *release)
        await self._both(lambda one: one.ruling.decided_by == "rule" and one.ruling.action == "review", f"{LARGE} to alert")

    async def _rolled_back(self) -> None:
        """It is rolled back, and alerts no more."""
        await well(self._env, "rules", "rollback", *ANN, *WHY)
        until = (await self._both_have_read()).rules
        later = [one for one in self._heard.decisions if one.read.rules >= until]
        assert {one.ruling.decided_by for one in later} == {"model"}, "what was rolled back decides still"

    async def _blocked(self) -> None:
        """A terminal is blocked, and the next payments there are declined by both workers."""
        await well(self._env, "lists", "create", "blocked", "--of", "terminal", "--power", "block", *ANN, *WHY)
        await well(self._env, "lists", "add", "blocked", TERMINAL, *ANN, *WHY)
        await self._both_have_read()
        of_partition = {self._scene.sender.partition_of(card): card for card in self._scene.traffic.cards}
        records = [self._scene.traffic.touch(card, TERMINAL) for card in of_partition.values()]
        place, ids = len(self._heard.decisions), {record.message["transaction_id"] for record in records if record.message}
        await self._scene.sender.send(records)
        found: list[Decided] = []

        async def all_decided() -> bool:
            found[:] = [one for one in self._heard.since(place) if one.transaction_id in ids]
            return len(found) == len(ids)

        await self._scene.until(all_decided, "payments at the blocked terminal")
        said = {(one.ruling.action, one.ruling.decided_by, one.ruling.lists) for one in found}
        assert said == {("decline", "block", ("blocked",))}, said
        assert {one.by for one in found} == self._workers(), "one worker decided all of them"

    async def _suppressed(self) -> None:
        """A suppression ends by itself, by the time of the payments."""
        ends_ms = self._scene.traffic.now_ms + PAUSED_MS
        self._write(PAUSE, f"amount >= {DEAR:.0f}", None, f"valid_until = {ends_ms}")
        await well(self._env, "rules", "put", str(self._file), *ANN)
        await well(self._env, "rules", "approve", PAUSE, *BOB)
        await well(self._env, "rules", "release", PAUSE, *ANN, *WHY, "--topics", "--confirm", PAUSE)
        await self._both(lambda one: one.ruling.decided_by == "suppression", "the suppression")
        self._scene.traffic.now_ms += PAUSED_MS

        def again(one: Decided) -> bool:
            return one.event_time >= ends_ms and one.ruling.decided_by == "model" and one.ruling.action is not None

        await self._both(again, "the model to alert again")
        after = [one for one in self._heard.decisions if one.event_time >= ends_ms]
        assert not [one for one in after if one.ruling.decided_by == "suppression"], "the suppression goes on"

    def _write(self, code: str, expression: str, action: str | None, *more: str) -> None:
        effect = ['effect = "suppress"'] if action is None else ['effect = "alert"', f'action = "{action}"']
        mode = () if any(line.startswith("mode") for line in more) else ('mode = "live"',)
        lines = ["[[rule]]", f'code = "{code}"', f"expression = '{expression}'", 'sentence = "{amount}"', *effect, *mode, *more]
        self._file.write_text("\n".join(lines), encoding="utf-8")

    def _workers(self) -> set[str]:
        return {worker.name for worker in self._scene.fleet.running}

    async def _both(self, look: Callable[[Decided], bool], what: str) -> None:
        """Wait until both workers have decided so, after now."""
        place = len(self._heard.decisions)

        async def both() -> bool:
            return {one.by for one in self._heard.since(place) if look(one)} >= self._workers()

        await self._scene.until(both, f"{what}, by both workers")

    async def _both_have_read(self) -> Read:
        """Wait until both workers have decided by all that stands in the topics now; up to where that is."""
        ends = await ends_of(self._scene)
        await self._both(lambda one: one.read.rules >= ends.rules and one.read.lists >= ends.lists, f"{ends} to be read")
        return ends
