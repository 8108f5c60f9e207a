"""The watchdog ends a worker that hangs, and no other."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest

from stream_app.errors import Unavailable
from stream_app.operating import watchdog
from stream_app.operating.watchdog import EXIT_CODE, Watchdog
from tests.waiting import DEADLINE_S


@dataclass
class Worker:
    """What the watchdog sees of a worker."""

    batches: int = 0
    behind: int | None = 0
    waits: bool = False
    ended: list[int] = field(default_factory=list)
    asked: int = 0

    async def undecided(self) -> int:
        """None: Kafka does not answer."""
        self.asked += 1
        if self.behind is None:
            raise Unavailable("Kafka did not answer.")
        return self.behind

    def dog(self) -> Watchdog:
        """A watchdog on it."""
        return Watchdog(lambda: self.batches, self.undecided, lambda: self.waits, self.ended.append)


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look every 5 ms, a timeout of 20 looks."""
    monkeypatch.setattr(watchdog, "_LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(watchdog, "PROGRESS_TIMEOUT_S", 0.1)
    monkeypatch.setattr(watchdog, "_ASK_KAFKA_AFTER_S", 0.01)


def lives(worker: Worker, looks: int = 60) -> bool:
    """Whether the worker outlives three times the timeout, while its loop runs."""

    async def body() -> None:
        dog = worker.dog()
        running = asyncio.create_task(dog.run())
        thread = threading.Thread(target=dog.watch, args=(0.005,))
        thread.start()
        async with asyncio.timeout(DEADLINE_S):
            for _ in range(looks):
                await asyncio.sleep(0.005)
                worker.batches += worker.batches > 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        thread.join(5)

    asyncio.run(body())
    return not worker.ended


def test_a_worker_that_makes_progress_lives() -> None:
    """However much waits."""
    assert lives(Worker(batches=1, behind=1_000))


def test_a_worker_with_nothing_to_do_lives() -> None:
    """Kafka itself is asked."""
    worker = Worker()
    assert lives(worker)
    assert worker.asked


def test_a_worker_that_says_what_it_waits_for_lives() -> None:
    """A server that is away, or no model."""
    assert lives(Worker(behind=1_000, waits=True))


@pytest.mark.parametrize("behind", [1, None])
def test_a_worker_that_does_nothing_though_records_wait_is_ended(behind: int | None) -> None:
    """Also where Kafka does not say, and nobody says that it is away."""
    worker = Worker(behind=behind)
    assert not lives(worker)
    assert worker.ended[0] == EXIT_CODE


def test_a_loop_that_hangs_is_ended() -> None:
    """Nobody feeds: the thread counts by itself."""
    worker = Worker()
    worker.dog().watch(0.001)
    assert worker.ended == [EXIT_CODE]


def test_a_worker_that_does_not_stop_ends_all_the_same() -> None:
    """With the exit code that it would have had."""
    ended: list[int] = []
    over = threading.Event()

    def end(code: int) -> None:
        ended.append(code)
        over.set()

    watchdog.end_within(0.01, lambda: 76, end)
    assert over.wait(DEADLINE_S)
    assert ended == [76]
