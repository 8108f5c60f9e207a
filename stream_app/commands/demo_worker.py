"""The demo's worker: a process of its own, watched over the page that operators watch."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from stream_app.errors import Stop, Unavailable

START_S = 180.0
STOP_S = 30.0
POLL_S = 0.1
_REFUSED = re.compile(r'fraudstream_dead_letters_total\{code="([^"]+)"\} (\S+)')


class Counts(NamedTuple):
    """What a worker has done so far with the records it read."""

    scored: int
    repeated: int
    credits: int
    refused: int
    labels: int
    alerts: int

    @property
    def decided(self) -> int:
        """Records that it is through with, labels left out as far as they could be read."""
        return self.scored + self.repeated + self.credits + self.refused

    def since(self, before: Counts) -> Counts:
        """What came since `before`."""
        return Counts(*(now - then for now, then in zip(self, before, strict=True)))


NAMES = ("transactions_scored", "transactions_duplicate", "transactions_credit", "dead_letters", "labels", "alerts")


@dataclass(slots=True)
class DemoWorker:
    """A worker that runs.

    Attributes:
        process: the worker.
        url: of its metrics and its readiness.
        log: its output.
    """

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    _page: str = field(default="", repr=False)

    def ready(self) -> bool:
        """Whether it scores.

        Raises:
            Stop: it ended, with the last line of its log.
        """
        try:
            return httpx.get(f"{self.url}/readyz").is_success
        except httpx.HTTPError:
            self._must_live()
            return False

    def counts(self) -> Counts:
        """What it has done by now.

        Raises:
            Stop: it ended, with the last line of its log.
            Unavailable: it lives and does not answer.
        """
        try:
            self._page = httpx.get(f"{self.url}/metrics").text
        except httpx.HTTPError as error:
            self._must_live()
            raise Unavailable(f"The worker does not answer at {self.url}/metrics ({type(error).__name__}); see {self.log}.") from None
        return Counts(*(self._sum(f"fraudstream_{name}_total") for name in NAMES))

    def refusals(self) -> str:
        """The codes of what was refused by the last count, most frequent first."""
        found = sorted(((int(float(count)), code) for code, count in _REFUSED.findall(self._page)), reverse=True)
        return ", ".join(f"{code} {count:,}" for count, code in found if count)

    def _sum(self, name: str) -> int:
        lines = [line for line in self._page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines))

    def _must_live(self) -> None:
        if self.process.poll() is not None:
            last = (self.log.read_text(errors="replace").strip().splitlines() or ["(its log is empty)"])[-1]
            raise Stop(f"The worker ended with {self.process.returncode}: {last}")


@contextlib.contextmanager
def started(url: str, log: Path) -> Iterator[DemoWorker]:
    """Start a worker with our environment, wait until it scores, end it at the end.

    Raises:
        Stop: it ended while starting.
        Unavailable: it does not become ready in `START_S`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "stream_app.cli", "worker"], stdout=output, stderr=output)
    worker, deadline = DemoWorker(process, url, log), time.monotonic() + START_S
    try:
        while not worker.ready():
            if time.monotonic() > deadline:
                raise Unavailable(f"The worker was not ready within {START_S:.0f} s; see {log}.")
            time.sleep(POLL_S)
        yield worker
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
