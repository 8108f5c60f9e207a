"""What benchmarks of a worker stand on: our commands, topics of a run's own, the worker's counter."""

from __future__ import annotations

import os
import subprocess
import sys

from stream_app.settings import PREFIX
from tests.e2e.workers import Worker


def fraudstream(env: dict[str, str], *arguments: str) -> None:
    """Run a command of ours with these settings; what it prints is progress."""
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    subprocess.run([sys.executable, "-m", "stream_app.cli", *arguments], env=variables, check=True, stdout=sys.stderr)


def of_its_own(servers: dict[str, str], name: str) -> dict[str, str]:
    """Topics and group of one run."""
    topics = ("TRANSACTIONS", "LABELS", "ALERTS", "TRANSACTIONS_DLQ", "LABELS_DLQ")
    env = {**servers, "CONSUMER_GROUP": name} | {f"{t}_TOPIC": f"{t.lower()}-{name}" for t in topics}
    fraudstream(env, "topics", "--partitions", "4")
    return env


def scored(running: Worker) -> float:
    """Payments that a worker has scored.

    Raises:
        RuntimeError: it ended, with its log.
    """
    if running.process.poll() is not None:
        raise RuntimeError(running.log.read_text())
    return running.metric("fraudstream_transactions_scored_total", alone=True)
