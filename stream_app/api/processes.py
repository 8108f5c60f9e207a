"""Several processes behind one port, where there are more cores than one process uses.

uvicorn's supervisor starts them, each accepts from the same socket, and one that ends or hangs is started anew. What Prometheus reads must be of all
of them, whichever is asked:

1. Each process holds a *place*, a number below their count. The kernel takes the lock on it back from one that died, so that who is started in its
   stead has the same number: as many series as processes, however often they are started.
2. Each writes its metrics once a second, whole, to the file of its place; whoever is asked shows all files no older than `FRESH_S`, and its own
   metrics as they are now, each with the place as the label `process`.

3. A process whose supervisor is gone, however it went, ends as if it were told to: its port would be held by nobody who could be told.

    process 0    writes ···1 s··· writes ··· asked: its own, and what 1 wrote
    process 1        writes ···1 s··· writes ··· killed     its counters stand still for `FRESH_S`, and are gone until a new one writes
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

FRESH_S = 5.0
WRITTEN_EVERY_S = 1.0
LABEL = "process"


class SharedMetrics:
    """The metrics of all processes, as one of them shows them.

    Attributes:
        place: this process' number (rule 1).
    """

    def __init__(self, folder: Path, processes: int, own: Callable[[], bytes]) -> None:
        """Take a place.

        Args:
            folder: of all processes, and of nobody else.
            processes: how many there are.
            own: renders this process' metrics.

        Raises:
            RuntimeError: if every place is held.
        """
        self._folder, self._processes, self._own = folder, processes, own
        self._supervisor = os.getppid()
        self.place, self._lock = _free_place(folder, processes)

    async def end_with_supervisor(self) -> None:
        """Stop this process when the one that started it is gone (rule 3)."""
        while os.getppid() == self._supervisor:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(WRITTEN_EVERY_S)
        signal.raise_signal(signal.SIGTERM)

    async def keep(self) -> NoReturn:
        """Write this process' metrics, again and again, until cancelled (rule 2)."""
        while True:
            page = self._page(self.place)
            beside = page.with_suffix(".new")
            beside.write_bytes(self._own())
            beside.replace(page)
            await asyncio.sleep(WRITTEN_EVERY_S)

    def render(self) -> bytes:
        """Those of all processes, in Prometheus' text format (rule 2)."""
        pages = {place: page for place in range(self._processes) if place != self.place and (page := self._fresh(place)) is not None}
        return merged({self.place: self._own(), **pages})

    def _fresh(self, place: int) -> bytes | None:
        try:
            with self._page(place).open("rb") as page:
                return page.read() if time.time() - os.fstat(page.fileno()).st_mtime <= FRESH_S else None
        except FileNotFoundError:
            return None

    def _page(self, place: int) -> Path:
        return self._folder / f"{place}.metrics"


def merged(pages: Mapping[int, bytes]) -> bytes:
    """One page of several in Prometheus' text format, each sample with its page's number as `LABEL`: a family stands once."""
    registry = CollectorRegistry()
    registry.register(_Merged(pages))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, pages: Mapping[int, bytes]) -> None:
        self._families: dict[str, Metric] = {}
        for place, page in sorted(pages.items()):
            for family in text_string_to_metric_families(page.decode()):
                of_all = self._families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                of_all.samples += [sample._replace(labels={**sample.labels, LABEL: str(place)}) for sample in family.samples]

    def collect(self) -> list[Metric]:
        return [*self._families.values()]


def _free_place(folder: Path, processes: int) -> tuple[int, int]:
    """The lowest number that no process holds, and the file that is locked as long as this one lives (rule 1)."""
    for place in range(processes):
        lock = os.open(folder / f"{place}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return place, lock
    raise RuntimeError(f"all {processes} places of API processes in {folder} are held; each of them has one")
