"""Real workers in processes of their own, for end-to-end tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stream_app.local.stack import LocalStack
from tests.waiting import DEADLINE_S


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def ready(self) -> bool:
        """Whether /readyz says so; fails where the process ended."""
        assert self.process.poll() is None, self.log.read_text()
        return self.status("readyz")[0] == httpx.codes.OK

    def status(self, path: str) -> tuple[int, str]:
        """Status and text of a page; 0 where nobody listens."""
        try:
            answer = httpx.get(f"{self.url}/{path}")
        except httpx.HTTPError:
            return 0, ""
        return answer.status_code, answer.text

    def metric(self, name: str, *, alone: bool = False) -> float:
        """Sum over the samples of a metric; `alone`: the worker is asked for no other."""
        lines = self.status(f"metrics?name[]={name}" if alone else "metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


@contextmanager
def servers_alone() -> Iterator[tuple[dict[str, str], Path]]:
    """Kafka, Redis and MLflow in a folder of their own, which is the current one; their settings, and the folder. Both are gone afterwards."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.chdir(home)
        stack = LocalStack(home / ".fraudstream")
        addresses = stack.up()
        try:
            yield {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka, "REDIS_URL": addresses.redis, "MLFLOW_TRACKING_URI": addresses.mlflow}, home
        finally:
            stack.down()


@contextmanager
def worker(
    env: Mapping[str, str], port: int, folder: Path, command: tuple[str, ...] = ("-m", "stream_app.cli", "worker")
) -> Iterator[Worker]:
    """A worker of these settings, killed at the end where it still runs."""
    log = folder / f"worker-{port}.log"
    settings = {**os.environ, **{f"FRAUDSTREAM_{k}": v for k, v in env.items()}, "FRAUDSTREAM_METRICS_PORT": str(port)}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *command], env=settings, cwd=folder, stdout=output, stderr=output)
    try:
        yield Worker(process, f"http://127.0.0.1:{port}", log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
