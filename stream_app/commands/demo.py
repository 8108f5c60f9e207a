"""`fraudstream demo`: the whole path once, on real servers, with a summary. Everything it starts, it stops.

It is alone: no `FRAUDSTREAM_*` variable and no `.env` of the user reaches it or what it starts. Else it would publish simulated
payments to the user's Kafka and move the user's champion.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from stream_app.commands.demo_replay import DemoPart, DemoPlan, Played, play_history, play_live, summary
from stream_app.commands.demo_worker import started
from stream_app.errors import Stop
from stream_app.settings import PREFIX, Settings, load_settings

HOME = Path(".fraudstream") / "demo"
LIVE_DAYS = 7
HISTORY_DAYS = 38
"""What every window needs before the live part: 30 days, 7 days of delay, one tile."""
_DAY_MS = 86_400_000
_SIZE = {"customers": 2000, "terminals": 4000, "days": 100}


def demo_command(
    data: Annotated[Path | None, typer.Option(help="Your own transactions with labels; without it, simulated ones.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Transactions a second in the live part.")] = 1500.0,
    most: Annotated[int, typer.Option(min=100, help="At most so many transactions in the live part.")] = 40_000,
) -> None:
    """The whole path once: data, servers, training, worker, live alerts, figures; then everything it started is stopped."""
    console, home = Console(highlight=False), HOME.absolute()
    file = data.absolute() if data else home / "transactions.parquet"
    if data and file.resolve().is_relative_to(home.resolve()):
        raise Stop(f"{data} lies in {HOME}, which every demo empties. Move it elsewhere.")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ended_by_signals())
        stack.enter_context(_only_one(home))
        plan = _plan(file) if data else None  # what cannot be used is told before anything is started
        _emptied(home)
        stack.enter_context(_alone(home))
        if plan is None:
            _title(console, "Simulate card payments with known frauds")
            _run("simulate", "--out", str(file), *[word for name, value in _SIZE.items() for word in (f"--{name}", str(value))])
            plan = _plan(file)
        settings = stack.enter_context(_servers(console, home))
        _title(console, "Train a model on what came before the live part, register it")
        _run("train", "--data", str(file), "--until", _day(plan.live_ms - _DAY_MS), "--alias", "champion")
        history, live = _played(console, settings, home, plan, (rate, most))
        console.print(summary(plan, history, live))


def _played(console: Console, settings: Settings, home: Path, plan: DemoPlan, pace: tuple[float, int]) -> tuple[Played, Played]:
    """The worker's part: the history at once, then the live part on schedule."""
    _title(console, "Start a worker")
    _run("topics")
    with started(f"http://127.0.0.1:{settings.metrics_port}", home / "worker.log") as worker:
        console.print(f"Ready; metrics on {worker.url}/metrics, log in {HOME / 'worker.log'}", soft_wrap=True)
        _title(console, f"Let it read the {HISTORY_DAYS} days before, then {LIVE_DAYS} days live at {pace[0]:,.0f}/s")
        history = asyncio.run(play_history(console, worker, plan))
        return history, asyncio.run(play_live(console, settings, worker, plan, pace))


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold cyan]── {text}[/]")


def _run(*arguments: str) -> None:
    """Run one of our own commands as a user would; it prints for itself."""
    ended = subprocess.run([sys.executable, "-m", "stream_app.cli", *arguments], check=False)  # noqa: S603 - our own command
    if ended.returncode:
        raise Stop(f"`fraudstream {' '.join(arguments)}` ended with {ended.returncode}; see above.")


def _day(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[D]"))


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
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
def _only_one(home: Path) -> Iterator[None]:
    """A second demo of this folder would end the servers of the first."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Stop(f"Another demo runs in {HOME}. Wait for its end, or end it.") from None
        yield


def _emptied(home: Path) -> None:
    """End what a killed demo left, servers and worker, then delete its data."""
    import_module("stream_app.local.stack").LocalStack(home).reset()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)


@contextlib.contextmanager
def _alone(home: Path) -> Iterator[None]:
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
def _servers(console: Console, home: Path) -> Iterator[Settings]:
    _title(console, "Start Kafka, Redis and MLflow")
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
        _title(console, "Stop what was started")
        local.down()
        console.print(f"Stopped. Data and logs stay in {HOME} until the next demo.")


def _plan(file: Path) -> DemoPlan:
    """Where the live part begins, once the file is known to be one that can be trained on.

    Raises:
        DataError: it cannot.
    """
    dataset: Any = import_module("training.data.dataset")
    frame = dataset.read_transactions(file)
    dataset.check_for_training(frame, str(file))
    times = frame["event_time"].to_numpy()
    live_ms = int(times[-1]) // _DAY_MS * _DAY_MS - (LIVE_DAYS - 1) * _DAY_MS
    import_module("training.data.split").Split(until=_day(live_ms - _DAY_MS)).windows(int(times[0]), int(times[-1]))
    sent = frame["sent_at"].to_numpy() if "sent_at" in frame.columns else times  # the order and the window of publishing
    first_ms = live_ms - HISTORY_DAYS * _DAY_MS
    rows = np.flatnonzero(sent >= live_ms)
    rows = rows[np.argsort(sent[rows], kind="stable")]
    cards, ids = (frame[name].iloc[rows].astype(str).tolist() for name in ("card_id", "transaction_id"))
    names, frauds = list(zip(cards, ids, strict=True)), frame["is_fraud"].to_numpy(dtype=bool)[rows]
    return DemoPlan(file, first_ms, live_ms, int(((sent >= first_ms) & (sent < live_ms)).sum()), DemoPart(names, frauds))
