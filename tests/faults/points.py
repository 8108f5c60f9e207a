"""Named points inside and between the steps of a worker, where it is killed or stopped. Patched in by `worker_entry`: the product has no hook.

    after_read · before_publish · within_publish · after_publish · before_write · within_write_open · within_write_sent · after_write
    · before_ack · after_ack; of a release that comes into force: before_release · after_release

A point is armed while the worker runs, by a file (`Arm`). Reaching it is written to the worker's report before the signal: each point
proves that it was reached.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hiredis import pack_command

from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.redis.line import RedisLine
from stream_app.adapters.redis.partition_state import RedisPartition
from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.inbox import Fetched
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.partition import Partition
from stream_app.messages.records import Outgoing

POINTS = (
    "after_read", "before_publish", "within_publish", "after_publish", "before_write", "within_write_open", "within_write_sent",
    "after_write", "before_ack", "after_ack",
)  # fmt: skip
OF_RELEASE = ("before_release", "after_release")
BY = "faults.by"
"""Header of every message that a worker of the suite publishes: its name."""


@dataclass(frozen=True, slots=True)
class Arm:
    """At which point, at which passing of it, which signal."""

    point: str
    passing: int = 1
    signal: int = signal.SIGKILL

    def write(self, path: Path) -> None:
        """Arm the worker that looks at `path`."""
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(path)


class Points:
    """The points of this process.

    Args:
        arm: file that arms a point; it is removed when it was read.
        report: file that gets a line for the point that was reached.
    """

    def __init__(self, arm: Path, report: Path) -> None:
        self._arm_file = arm
        self._report = report
        self._armed: Arm | None = None
        self._passed = 0

    def reached(self, point: str, partition: int = -1) -> None:
        """Pass a point: nothing, or the end."""
        if self._armed is None and self._arm_file.exists():
            self._armed, self._passed = Arm(**json.loads(self._arm_file.read_text())), 0
            self._arm_file.unlink()
        if self._armed is None or self._armed.point != point:
            return
        self._passed += 1
        if self._passed < self._armed.passing:
            return
        chosen, self._armed = self._armed, None
        with self._report.open("a") as report:
            report.write(json.dumps({"point": point, "partition": partition}) + "\n")
            report.flush()
            os.fsync(report.fileno())
        os.kill(os.getpid(), chosen.signal)

    @property
    def armed(self) -> str:
        """Name of the armed point, or nothing."""
        return self._armed.point if self._armed else ""


def install(points: Points, worker: str) -> None:
    """Put the points, and the worker's name in a header, into the classes of this process."""
    _publisher(points, worker)
    _partition(points)
    _line(points)
    _acknowledgement(points)
    _release(points)


def replace(owner: type | ModuleType, name: str, made: Callable[[Any], Any]) -> None:
    """Put `made(original)` in place of a method, or of what a module calls by name; one that is not there ends the worker, and with it the suite."""
    setattr(owner, name, made(getattr(owner, name)))


def _publisher(points: Points, worker: str) -> None:
    def made(publish: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: KafkaPublisher, partition: int, messages: Sequence[Outgoing], *more: Any) -> Any:
            if not messages:
                return await publish(self, partition, messages, *more)
            named = [dataclasses.replace(m, headers=(*m.headers, (BY, worker.encode()))) for m in messages]
            points.reached("before_publish", partition)
            half = _half(named) if points.armed == "within_publish" else 0
            ends: dict[str, int] = {}
            if half:
                ends = await publish(self, partition, named[:half], *more)
                points.reached("within_publish", partition)
                named = named[half:]
            ends |= await publish(self, partition, named, *more)
            points.reached("after_publish", partition)
            return ends

        return around

    replace(KafkaPublisher, "publish", made)


def _half(messages: Sequence[Outgoing]) -> int:
    """Half of the messages, to behind the last alert among them: its score is missing then."""
    half = len(messages) // 2
    return next((n for n in range(half, 0, -1) if messages[n - 1].topic.endswith("-alerts")), half)


def _partition(points: Points) -> None:
    def read(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: Any, *args: Any) -> Any:
            work = await original(self, *args)
            points.reached("after_read", self.space.partition)
            return work

        return around

    def write(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: Any, *args: Any) -> Any:
            points.reached("before_write", self.space.partition)
            written = await original(self, *args)
            points.reached("after_write", self.space.partition)
            return written

        return around

    def together(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: Any, asked: Any) -> Any:
            work = await original(self, asked)
            for one in asked:
                points.reached("after_read", one.state.space.partition)
            return work

        return around

    replace(RedisPartition, "read", read)
    replace(RedisStore, "read", together)
    replace(RedisPartition, "write", write)


def _line(points: Points) -> None:
    """Within the write: everything but EXEC is sent, or EXEC is sent and its answer not read."""

    def made(original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def around(self: Any, commands: Sequence[tuple[Any, ...]]) -> Any:
            if commands[0][0] == "MULTI" and points.armed in {"within_write_open", "within_write_sent"}:
                sent = commands[:-1] if points.armed == "within_write_open" else commands
                await self._connection.send_packed_command(b"".join(pack_command(c) for c in sent))
                points.reached(points.armed)
                raise AssertionError("a worker stopped within its write cannot go on: arm these points with SIGKILL, passing 1")
            return await original(self, commands)

        return around

    replace(RedisLine, "round_trip", made)


def _acknowledgement(points: Points) -> None:
    def made(original: Callable[..., None]) -> Callable[..., None]:
        def around(self: Partition, topic: str, fetched: Fetched) -> None:
            def acknowledge() -> None:
                points.reached("before_ack", self.number)
                fetched.done()
                points.reached("after_ack", self.number)

            original(self, topic, dataclasses.replace(fetched, done=acknowledge))

        return around

    replace(Partition, "put", made)


def _release(points: Points) -> None:
    """Around the binding of a release that came: what is decided before is by the one before, what is decided after is by this one."""

    def made(original: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def around(self: LiveRules, now: Any, offset: int) -> None:
            points.reached("before_release")
            await original(self, now, offset)
            points.reached("after_release")

        return around

    replace(LiveRules, "_release", made)
