"""Worker processes: started, armed, killed, stopped, and started again as a supervisor would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import versions
from tests.faults.points import Arm


@dataclass(slots=True, eq=False)
class Worker:
    """One worker process.

    Attributes:
        name: header of all that it publishes.
        version: see `versions`; empty: the present one.
        to_end: whether somebody wants it to end; else its end is its own doing.
        resumed_ms: when it was resumed after a stop, Unix ms; 0: never stopped.
    """

    name: str
    process: subprocess.Popen[bytes]
    home: Path
    version: str = ""
    to_end: bool = False
    resumed_ms: int = 0

    def arm(self, arm: Arm) -> None:
        """Arm one point of the running worker."""
        self.to_end = self.to_end or arm.signal == signal.SIGKILL
        arm.write(self.home / f"{self.name}.arm")

    def reached(self) -> list[dict[str, Any]]:
        """The points reached so far."""
        report = self.home / f"{self.name}.reached"
        return [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []

    def holding(self) -> str:
        """The last line of its log that says what it holds."""
        return next((line for line in reversed(self._log()) if "Holding" in line), "")

    def started(self) -> bool:
        """Whether it is about to join its group; with three workers for four partitions one of them holds none."""
        return any("/readyz" in line for line in self._log())

    def _log(self) -> list[str]:
        return (self.home / f"{self.name}.log").read_text(errors="replace").splitlines()

    def send(self, number: int) -> None:
        """A signal."""
        if number == signal.SIGCONT:
            self.resumed_ms = time.time_ns() // 1_000_000
        else:
            self.to_end = True
        self.process.send_signal(number)


@dataclass(slots=True)
class Fleet:
    """The workers of one group. One more always waits, imported and compiled, so that a start takes little.

    Attributes:
        home: folder for logs, arms and reports; the model lies in it.
        env: settings of the workers.
        control: see `controls`; empty: the product as it is.
        clock_s: how far the clock of workers that start is ahead; see `set_clock`.
        version: of the workers that are started from now on, see `versions`; empty: the present one.
        ended: exit codes of workers that ended by their own doing.
        earlier: names of those that are of an earlier commit.
    """

    home: Path
    env: Mapping[str, str]
    control: str = ""
    clock_s: float = 0.0
    version: str = ""
    running: list[Worker] = field(default_factory=list)
    stopped: list[Worker] = field(default_factory=list)
    ended: Counter[int] = field(default_factory=Counter)
    earlier: set[str] = field(default_factory=set)
    _next: Worker | None = None
    _count: int = 0

    def start(self) -> Worker:
        """One more worker."""
        if self._next is not None and self._next.version != self.version:
            self._next.process.kill()
            self._next.process.wait()
            self._next = None
        worker = self._next or self._spawn()
        self._next = self._spawn()
        if worker.process.stdin is None:
            raise AssertionError("workers are started with a pipe")
        worker.process.stdin.write(b"go\n")
        worker.process.stdin.flush()
        self.running.append(worker)
        return worker

    def set_clock(self, ahead_s: float) -> None:
        """From now on workers start with a clock that is so far ahead; the one that waits is done away with."""
        self.clock_s = ahead_s
        if self._next is not None:
            self._next.process.kill()
            self._next.process.wait()
            self._next = None

    def _spawn(self) -> Worker:
        self._count += 1
        name = f"worker-{self._count}"
        if self.version not in {"", versions.LATER}:
            self.earlier.add(name)
        own = {"HOME": str(self.home), "WORKER": name, "CONTROL": self.control, "CLOCK_S": str(self.clock_s)}
        env = {**os.environ, **versions.settings(self.version, self.env), **{f"FAULTS_{k}": v for k, v in own.items()}}
        env |= versions.environment(self.version, self.home)
        with (self.home / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", versions.entry(self.version)],
                cwd=self.home, env=env, stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        return Worker(name, process, self.home, self.version)

    def look(self) -> int:
        """Take note of workers that ended; how many did by their own doing. The caller starts others for them."""
        own = 0
        for worker in [w for w in self.running if w.process.poll() is not None]:
            self.running.remove(worker)
            if worker.resumed_ms:
                self.stopped.append(worker)
            if not worker.to_end:
                own += 1
                self.ended[worker.process.returncode] += 1
        return own

    def stale(self) -> dict[str, int]:
        """Workers that were stopped and resumed, and when, Unix ms."""
        return {w.name: w.resumed_ms for w in self.running + self.stopped if w.resumed_ms}

    def end(self) -> None:
        """Kill all."""
        for worker in [*self.running, *([self._next] if self._next else [])]:
            worker.process.kill()
            worker.process.wait()
        self.running, self._next = [], None
