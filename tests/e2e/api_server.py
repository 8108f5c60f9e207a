"""The real API in a process of its own, and Schemathesis against it. `python -m tests.e2e.api_server` is `make api-fuzz`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas as pd

from stream_app.api.description import TRANSACTION_EXAMPLE
from stream_app.local.stack import LocalStack
from tests.e2e.workers import Worker, worker
from tests.waiting import until

KEYS = "api-keys"


@contextmanager
def api_server(env: Mapping[str, str], port: int, folder: Path) -> Iterator[Worker]:
    """The API of these settings, ready."""
    with worker({**env, "API_PORT": str(port)}, port, folder, ("-m", "stream_app.cli", "api")) as running:
        until(lambda: is_ready(running), "the API to be ready")
        yield running


def is_ready(running: Worker) -> bool:
    """Whether it can score; fails where the process ended."""
    assert running.process.poll() is None, running.log.read_text()
    return running.status("readyz")[0] == httpx.codes.OK


def make_key(folder: Path, *scopes: str) -> str:
    """A key of these scopes, made by the command; the settings name its file as `KEYS`."""
    options = [part for scope in scopes for part in ("--scope", scope)]
    command = [sys.executable, "-m", "stream_app.cli", "api-key", "-".join(scopes), *options, "--file", KEYS]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def schemathesis(url: str, key: str, folder: Path, phases: str, examples: int) -> int:
    """Requests made from the OpenAPI document, right and wrong ones: the number of them, all answered as the document says.

    `positive_data_acceptance` is left out: what a schema cannot say (the clock, Luhn, names of the model's features) is refused too.
    """
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json", "--phases", phases, "--seed", "1"]
    command += ["-H", f"Authorization: Bearer {key}", "--exclude-checks", "positive_data_acceptance", "--max-examples", str(examples)]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    counted = re.search(r"(\d+) generated, (\d+) passed", ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert counted, ran.stdout
    return int(counted[2])


def main() -> None:
    """Every phase, many requests, against a server over the local stack, a small model, and a card and a terminal that the examples name."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = LocalStack(folder / ".fraudstream")
        addresses = stack.up()
        env = {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka, "REDIS_URL": addresses.redis, "MLFLOW_TRACKING_URI": addresses.mlflow}
        try:
            _prepare(env, folder)
            key = make_key(folder, "score", "read", "label")
            with api_server({**env, "API_KEYS_FILE": KEYS}, 18_080, folder) as running:
                passed = schemathesis(running.url, key, folder, "examples,coverage,fuzzing,stateful", 200)
        finally:
            stack.down()
    sys.stdout.write(f'{{"requests": {passed}, "failures": 0}}\n')


def _count_one(env: dict[str, str], folder: Path) -> None:
    """A worker counts a payment of the examples' card, so that what follows has state to look at and a partition for its labels."""
    payment = {**TRANSACTION_EXAMPLE, "transaction_id": "before", "event_time": int(time.time() * 1000)}
    pd.DataFrame([payment]).to_parquet(folder / "one.parquet")
    _fraudstream(env, folder, "produce", "one.parquet")
    with worker(env, 18_079, folder) as running:
        until(lambda: running.metric("fraudstream_transactions_scored_total"), "the payment to be counted")
        running.stop()


def _prepare(env: dict[str, str], folder: Path) -> None:
    _fraudstream(env, folder, "simulate", "--out", "payments.parquet", "--customers", "400", "--terminals", "200", "--days", "70")
    _fraudstream(env, folder, "train", "--data", "payments.parquet", "--trees", "20")
    _fraudstream(env, folder, "topics", "--partitions", "3")
    _count_one(env, folder)


def _fraudstream(env: dict[str, str], folder: Path, *arguments: str) -> None:
    variables = {**os.environ, **{f"FRAUDSTREAM_{k}": v for k, v in env.items()}}
    subprocess.run([sys.executable, "-m", "stream_app.cli", *arguments], env=variables, cwd=folder, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
