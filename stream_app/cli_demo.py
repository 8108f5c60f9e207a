"""`fraudstream demo`: the whole path once, on real servers, with a summary. Everything it starts, it stops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from stream_app.cli_alerts import describe, read_alerts
from stream_app.errors import Stop, Unavailable
from stream_app.settings import PREFIX, Settings, load_settings

HOME = Path(".fraudstream") / "demo"
LIVE_DAYS = 7
HISTORY_DAYS = 38
"""What every window needs before the live part: 30 days, 7 days of delay, one tile."""
_DAY_MS = 86_400_000
_SHOWN = 12
_DEADLINE_S = 180.0


def demo_command(
    data: Annotated[Path | None, typer.Option(help="Your own transactions with labels; without it, simulated ones.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Transactions a second in the live part.")] = 1500.0,
    most: Annotated[int, typer.Option(min=100, help="At most so many transactions in the live part.")] = 40_000,
) -> None:
    """The whole path once: servers, data, training, worker, live alerts, figures; then everything it started is stopped."""
    console = Console(highlight=False)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(_servers(console))
        file = data or _simulated(console)
        plan = _plan(file)
        _title(console, "Train a model on what came before the live part, register it")
        _run("train", "--data", str(file), "--until", _day(plan.live_ms - _DAY_MS))
        _title(console, "Start a worker")
        _run("topics")
        url = stack.enter_context(_worker(console, settings))
        _title(console, f"Let it read the {HISTORY_DAYS} days before, then {LIVE_DAYS} days live at {rate:,.0f}/s")
        history = _backfill(console, url, file, plan)
        live = asyncio.run(_live(console, settings, url, file, plan, (rate, most)))
        _summary(console, plan, live, history)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the live part begins, and the truth about it."""

    first_ms: int
    live_ms: int
    frauds: frozenset[str]
    live_ids: np.ndarray[tuple[int], np.dtype[np.object_]]


@dataclass(slots=True)
class _Live:
    alerts: dict[str, float] = field(default_factory=dict)
    scored: int = 0
    seconds: float = 0.0


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
def _servers(console: Console) -> Iterator[Settings]:
    _title(console, "Start Kafka, Redis and MLflow")
    commands: Any = import_module("stream_app.local.commands")
    local: Any = import_module("stream_app.local.stack").LocalStack(HOME)
    with commands.download_bar() as progress:
        addresses = local.up(on_progress=progress)
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": addresses.kafka,
        "REDIS_URL": addresses.redis,
        "MLFLOW_TRACKING_URI": addresses.mlflow,
        "MODEL_CACHE": str(HOME / "models"),
        "METRICS_PORT": str(_free_port()),
    }
    os.environ.update({PREFIX + name: value for name, value in variables.items()})
    try:
        console.print(f"Kafka {addresses.kafka}, Redis {addresses.redis}, MLflow {addresses.mlflow}")
        yield load_settings()
    finally:
        _title(console, "Stop what was started")
        local.down()
        console.print(f"Stopped. Data and logs stay in {HOME} until the next demo.")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _simulated(console: Console) -> Path:
    _title(console, "Simulate card payments with known frauds")
    file = HOME / "transactions.parquet"
    size = {"customers": 2000, "terminals": 4000, "days": 100, "compromised-terminals": 0.8, "compromised-customers": 1.2}
    _run("simulate", "--out", str(file), *[word for name, value in size.items() for word in (f"--{name}", str(value))])
    return file


def _plan(file: Path) -> _Plan:
    frame: Any = import_module("training.dataset").read_transactions(file)
    times = frame["event_time"].to_numpy()
    live_ms = int(times[-1]) // _DAY_MS * _DAY_MS - (LIVE_DAYS - 1) * _DAY_MS
    live = frame[times >= live_ms]
    frauds = frozenset(live.loc[live["is_fraud"].to_numpy(dtype=bool), "transaction_id"]) if "is_fraud" in frame else frozenset()
    return _Plan(live_ms - HISTORY_DAYS * _DAY_MS, live_ms, frauds, live["transaction_id"].to_numpy(dtype=object))


@contextlib.contextmanager
def _worker(console: Console, settings: Settings) -> Iterator[str]:
    url = f"http://127.0.0.1:{settings.metrics_port}"
    log = HOME / "worker.log"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "stream_app.cli", "worker"], stdout=output, stderr=output)
    try:
        _wait(lambda: _ready(process, url, log), f"The worker did not become ready; see {log}.")
        console.print(f"Ready after {time.monotonic() - began:.1f} s; metrics on {url}/metrics, log in {log}")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _ready(process: subprocess.Popen[bytes], url: str, log: Path) -> bool:
    if process.poll() is not None:
        raise Stop(f"The worker ended with {process.returncode}: {log.read_text().strip().splitlines()[-1]}")
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz").is_success
    return False


def _wait(condition: Any, otherwise: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(otherwise)
        time.sleep(0.1)


def _metric(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


def _decided(url: str) -> int:
    names = ("transactions_scored", "transactions_duplicate", "transactions_credit", "dead_letters")
    return int(sum(_metric(url, f"fraudstream_{name}_total") for name in names))


def _backfill(console: Console, url: str, file: Path, plan: _Plan) -> tuple[int, float]:
    """Publish the history at once and wait until all of it is decided; the time runs from the first to the last decision."""
    arguments = ("produce", str(file), "--start", str(plan.first_ms), "--end", str(plan.live_ms))
    producer = subprocess.Popen([sys.executable, "-m", "stream_app.cli", *arguments])  # noqa: S603 - our own command
    began, first, before, same_since = time.monotonic(), 0.0, 0, time.monotonic()
    while True:
        decided = _decided(url)
        if decided != before:
            before, same_since = decided, time.monotonic()
            first = first or same_since
        elif producer.poll() is not None and time.monotonic() - same_since > 3.0:  # noqa: PLR2004 - the log is at rest
            break
        if time.monotonic() - began > _DEADLINE_S:
            raise Unavailable(f"The worker did not get through the history; see {HOME / 'worker.log'}.")
        time.sleep(0.1)
    if producer.returncode:
        raise Stop(f"`fraudstream {' '.join(arguments)}` ended with {producer.returncode}; see above.")
    console.print(f"{decided:,} transactions of history scored")
    return decided, same_since - first


async def _live(console: Console, settings: Settings, url: str, file: Path, plan: _Plan, pace: tuple[float, int]) -> _Live:
    """Publish the live part on schedule; show the first alerts as they come."""
    live, before = _Live(), _decided(url)
    wanted = min(pace[1], len(plan.live_ids))
    reader = asyncio.create_task(_follow(console, settings, live))
    await asyncio.sleep(1.0)  # the reader starts at the topic's end: it must stand there before the first alert
    arguments = ("produce", str(file), "--start", str(plan.live_ms), "--rate", f"{pace[0]:g}", "--limit", str(wanted))
    began = time.monotonic()
    producer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "stream_app.cli", *arguments, stderr=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    if await producer.wait():
        raise Stop(f"`fraudstream {' '.join(arguments)}` ended with {producer.returncode}.")
    while _decided(url) - before < wanted and time.monotonic() - began < _DEADLINE_S:  # noqa: ASYNC110 - the worker is another process
        await asyncio.sleep(0.1)
    live.scored, live.seconds = _decided(url) - before, time.monotonic() - began
    await asyncio.sleep(1.0)
    reader.cancel()
    return live


async def _follow(console: Console, settings: Settings, live: _Live) -> None:
    async for alert, seconds in read_alerts(settings, follow=True):
        if alert.alert_id in live.alerts:
            continue
        live.alerts[alert.alert_id] = seconds
        if len(live.alerts) <= _SHOWN:
            for line in describe(alert):
                console.print(line, soft_wrap=True)
        elif len(live.alerts) == _SHOWN + 1:
            console.print("[dim]…[/]")


def _summary(console: Console, plan: _Plan, live: _Live, history: tuple[int, float]) -> None:
    sent = set(plan.live_ids[: live.scored])
    frauds, found = plan.frauds & sent, plan.frauds & live.alerts.keys()
    table = Table("what", "figure", title="Summary")
    table.add_row("history scored", f"{history[0]:,} in {history[1]:.1f} s: {history[0] / max(history[1], 0.1):,.0f} transactions/s")
    table.add_row("live: scored", f"{live.scored:,} in {live.seconds:.1f} s")
    table.add_row("live: alerts", f"{len(live.alerts):,}")
    if frauds:
        table.add_row("frauds among them", f"{len(frauds):,}")
        table.add_row("precision", f"{len(found) / max(len(live.alerts), 1):.1%} of the alerts are frauds")
        table.add_row("recall", f"{len(found) / len(frauds):.1%} of the frauds are alerted")
    if live.alerts:
        p50, p99 = np.percentile([s * 1000 for s in live.alerts.values()], [50, 99])
        table.add_row("transaction sent → alert read", f"p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    console.print(table)
