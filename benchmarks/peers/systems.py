"""The systems that are compared: how each is started, how many payments it has scored, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from benchmarks.bank import Bank
from benchmarks.ground import scored
from benchmarks.peers.environments import PROJECT
from stream_app.local.watching import free_port
from tests.e2e.workers import Worker, worker

_END_S = 90
_OFFSETS_S = 60


class EndedError(Exception):
    """A system ended before it was asked to."""


class Running(Protocol):
    """A system that scores."""

    @property
    def pid(self) -> int:
        """Of its process."""

    def scored(self) -> tuple[float, float]:
        """Payments scored since it began, and when that was true, Unix s.

        Raises:
            EndedError: it has ended by itself; with its last lines.
        """


@dataclass(frozen=True, slots=True)
class System:
    """One of them.

    Attributes:
        name: in the result.
        about: for people: what it is, and which guarantee it gives.
        command: what starts it; empty for Fraudstream, whose worker has its own way.
        share: of the payments that Fraudstream scores in a run: what is slow gets fewer, so that no run takes long.
        history: whether it reads the payments before the first run: what is slow does not, and has less state to carry for it.
    """

    name: str
    about: str
    command: Sequence[str]
    share: float = 1.0
    history: bool = True

    @contextmanager
    def running(self, of: Bank, model: Path, threshold: float, payments: int) -> Iterator[Running]:
        """The system, beginning so many payments before the end of the bank's topic; Fraudstream begins where it has stopped.

        Args:
            of: whose payments.
            model: the ONNX file, which is the registered one.
            threshold: from which all alert, whatever the model's.
            payments: a multiple of the partitions is best.
        """
        if not self.command:
            with worker({**of.env, "THRESHOLD": str(threshold)}, free_port(), of.home) as ours:
                yield _Fraudstream(ours)
                ours.stop()
            return
        group, state = f"{of.env['CONSUMER_GROUP']}-{self.name}", of.home / f"{of.env['CONSUMER_GROUP']}-{self.name}"
        state.mkdir(exist_ok=True)
        asyncio.run(_placed(of, group, payments))
        env = {
            "BROKERS": of.env["KAFKA_BOOTSTRAP_SERVERS"],
            "TRANSACTIONS": of.env["TRANSACTIONS_TOPIC"],
            "ALERTS": self.alerts_of(of),
            "GROUP": group,
            "STATE": str(state),
            "REDIS": of.env["REDIS_URL"],
            "MODEL": str(model),
            "THRESHOLD": str(threshold),
        }
        with _peer(self.command, {f"PEER_{name}": value for name, value in env.items()}, state / "log") as peer:
            yield peer

    def alerts_of(self, of: Bank) -> str:
        """The topic that it alerts to."""
        return f"{of.env['ALERTS_TOPIC']}-{self.name}" if self.command else of.env["ALERTS_TOPIC"]


@dataclass(frozen=True, slots=True)
class _Fraudstream:
    worker: Worker

    @property
    def pid(self) -> int:
        return self.worker.process.pid

    def scored(self) -> tuple[float, float]:
        count = scored(self.worker)
        if self.worker.process.poll() is not None:
            raise EndedError(self.worker.log.read_text())
        return count, time.time()


@dataclass(frozen=True, slots=True)
class _Peer:
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def scored(self) -> tuple[float, float]:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 65_536))
            lines = log.read().split(b"\n")[:-1]
        if self.process.poll() is not None:
            raise EndedError(b"\n".join(lines[-20:]).decode())
        told = [line for line in lines if line.startswith(b'{"at_s"')]
        if not told:
            return 0.0, time.time()
        last = json.loads(told[-1])
        return last["scored"], last["at_s"]


@contextmanager
def _peer(command: Sequence[str], env: Mapping[str, str], log: Path) -> Iterator[_Peer]:
    """A peer's process; asked to end it commits what it has done."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, env={**os.environ, **env, "PYTHONPATH": str(PROJECT)}, cwd=log.parent, stdout=out, stderr=out)
    try:
        yield _Peer(process, log)
        process.terminate()
        process.wait(_END_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def _placed(of: Bank, group: str, payments: int) -> None:
    """Commit offsets for a group that has no member, so many payments before the end, as many of one partition as of another."""
    places = [TopicPartition(of.env["TRANSACTIONS_TOPIC"], n) for n in range(of.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=of.env["KAFKA_BOOTSTRAP_SERVERS"], group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        offsets, left = {}, payments
        for n, (place, end) in enumerate(sorted(ends.items(), key=lambda at: at[1])):  # a short one gives its part to the others
            taken = min(end, left // (of.partitions - n))
            offsets[place], left = end - taken, left - taken
        deadline = time.monotonic() + _OFFSETS_S
        while True:
            try:
                await consumer.commit(offsets)
            except KafkaError:  # a member that was killed is one until its session has ended
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
            else:
                return
    finally:
        await consumer.stop()
