"""`fraudstream local watch`: workers, the API, and a Prometheus that watches them, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from stream_app.local.prometheus import Prometheus
from stream_app.local.stack import free_ports
from stream_app.settings import PREFIX

STOP_S = 30.0
AGAIN_S = 2.0
_POLL_S = 0.5


@dataclass(slots=True)
class SupervisedProcess:
    """One of our own commands, started again where it ends: as a supervisor would.

    Attributes:
        name: for its log and for what is told.
        command: of `fraudstream`.
        port: where its metrics are.
        setting: the setting that names this port.
    """

    name: str
    command: str
    port: int
    setting: str
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _ended_s: float = field(default=0.0, repr=False)

    def start(self, logs: Path) -> None:
        """Start it; its output goes to a file of its name."""
        environment = {**os.environ, f"{PREFIX}{self.setting}": str(self.port)}
        with (logs / f"{self.name}.log").open("ab") as output:
            self._running = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "stream_app.cli", self.command],
                env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def ended(self) -> int | None:
        """Its exit code, told once it may be started again; None while it runs, or before."""
        code = None if self._running is None else self._running.poll()
        if code is None:
            return None
        self._ended_s = self._ended_s or time.monotonic()
        if time.monotonic() < self._ended_s + AGAIN_S:
            return None
        self._ended_s = 0.0
        return code

    def stop(self) -> None:
        """End it within a bounded time."""
        if self._running is None or self._running.poll() is not None:
            return
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()


def watch(
    folder: Path, rules: Path, processes: Sequence[SupervisedProcess], tell: Callable[[str], object], until: Callable[[], bool]
) -> None:
    """Run processes and a Prometheus over them.

    1. Prometheus first, so that a wrong installation is told before anything runs; its targets are the ports that were chosen here;
    2. the processes, each started again where it ends;
    3. when told so, all end again: the processes together, Prometheus last.

    Args:
        folder: for logs, configuration and data.
        rules: file of rules.
        processes: what is watched.
        tell: is given one line for each thing that matters.
        until: whether to end now.

    Raises:
        Stop, Unavailable: as `Prometheus.start`.
    """
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    prometheus = Prometheus(folder, free_port(), rules)
    prometheus.watch(targets(processes))
    with ExitStack() as stack:
        stack.callback(prometheus.stop)
        prometheus.start()
        tell(f"Prometheus: {prometheus.url} (alarms: {prometheus.url}/alerts)")
        for process in processes:
            stack.callback(process.stop)
            process.start(logs)
            tell(f"{process.name}: metrics at http://127.0.0.1:{process.port}/metrics, log {logs / process.name}.log")
        while not until():
            for process in processes:
                if (code := process.ended()) is not None:
                    tell(f"{process.name} ended with exit code {code}: started again. See {logs / process.name}.log.")
                    process.start(logs)
            time.sleep(_POLL_S)


def targets(processes: Sequence[SupervisedProcess]) -> Mapping[str, list[str]]:
    """Addresses by job: workers are `fraudstream`, the API is `fraudstream-api`."""
    jobs: dict[str, list[str]] = {}
    for process in processes:
        job = "fraudstream" if process.command == "worker" else f"fraudstream-{process.command}"
        jobs.setdefault(job, []).append(f"127.0.0.1:{process.port}")
    return jobs


@contextmanager
def told_to_end() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM came; neither ends this process meanwhile."""
    told = threading.Event()
    before = {number: signal.signal(number, lambda *_: told.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def free_port() -> int:
    """A port that nobody listens on now."""
    return free_ports(1)[0]
