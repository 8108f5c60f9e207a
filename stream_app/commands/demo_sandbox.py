"""The demo's sandbox: a folder of its own, servers of its own, nobody's settings. Everything that is started in it ends with it.

No `FRAUDSTREAM_*` variable and no `.env` of the user reaches the demo or what it starts. Else it would publish simulated payments to the
user's Kafka and move the user's champion.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console

from stream_app.errors import Stop
from stream_app.settings import PREFIX, Settings, load_settings

HOME = Path(".fraudstream") / "demo"


def title(console: Console, text: str) -> None:
    """Say what comes next."""
    console.print(f"\n[bold cyan]── {text}[/]")


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, and the end of the terminal, end the demo as Ctrl-C does: what it started is stopped."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # nohup's wish
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Be the only demo of this folder: a second one would end the servers of the first.

    Raises:
        Stop: another runs.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(f"Another demo runs in {HOME}. Wait for its end, or end it.") from None
        yield


def emptied(home: Path) -> None:
    """End what a killed demo left, servers and worker, then delete its data."""
    import_module("stream_app.local.stack").LocalStack(home).reset()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Nobody's settings, here and in every child: none of the environment, and a current directory without `.env`."""
    kept = dict(os.environ)
    for name in kept:
        if name.upper().startswith(PREFIX):
            del os.environ[name]
    try:
        with contextlib.chdir(home):
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


@contextlib.contextmanager
def servers(console: Console, home: Path) -> Iterator[Settings]:
    """Kafka, Redis and MLflow in `home`, told of by the environment; ended at the end. What is done is said.

    Raises:
        Stop, Unavailable: as `LocalStack.up`.
    """
    title(console, "Start Kafka, Redis and MLflow")
    stack: Any = import_module("stream_app.local.stack")
    local = stack.LocalStack(home)
    with import_module("stream_app.local.commands").download_bar() as progress:
        addresses = local.up(on_progress=progress)
    try:
        variables = {
            "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka,
            "REDIS_URL": addresses.redis,
            "MLFLOW_TRACKING_URI": addresses.mlflow,
            "MODEL_CACHE": str(home / "models"),
            "METRICS_PORT": str(stack.free_ports(1)[0]),
        }
        os.environ.update({PREFIX + name: value for name, value in variables.items()} | local.marked())
        console.print(f"Kafka {addresses.kafka}, Redis {addresses.redis}, MLflow {addresses.mlflow}", soft_wrap=True)
        yield load_settings()
    finally:
        title(console, "Stop what was started")
        local.down()
        console.print(f"Stopped. Data and logs stay in {HOME} until the next demo.")
