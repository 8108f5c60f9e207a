"""`fraudstream demo`: the whole path once, on real servers, with a summary. Everything it starts, it stops.

1. `DemoPlan`: what of the file is history, and what is the live part.
2. Servers, a model trained on what came before, a worker: in the sandbox.
3. `play_history` publishes the history at once, `play_live` the live part on schedule, and shows alerts as they come.
4. `summary`: the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from stream_app.commands.alerts import describe, read_alerts
from stream_app.commands.demo_sandbox import HOME, alone, emptied, ended_by_signals, only_one, servers, title
from stream_app.commands.demo_worker import POLL_S, Counts, DemoWorker, started
from stream_app.errors import Stop, Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.transaction import PaymentKey
from stream_app.settings import Settings

LIVE_DAYS = 7
HISTORY_DAYS = 38
"""What every window needs before the live part: 30 days, 7 days of delay, one tile."""
SHOWN = 12
REST_S = 2.0
"""How long nothing may move for the labels to be through too; how many of them are due is not known here."""
STANDSTILL_S = 60.0
ALERTS_S = 15.0
_SIZE = {"customers": 2000, "terminals": 4000, "days": 100}


def demo_command(
    data: Annotated[Path | None, typer.Option(help="Your own transactions with labels; without it, simulated ones.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML: what the columns of --data are, as `train --mapping` takes it.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Transactions a second in the live part.")] = 1500.0,
    most: Annotated[int, typer.Option(min=100, help="At most so many transactions in the live part.")] = 40_000,
) -> None:
    """The whole path once: data, servers, training, worker, live alerts, figures; then everything it started is stopped."""
    if mapping and not data:
        raise typer.BadParameter("it says what the columns of a file are: give that as --data.", param_hint="--mapping")
    console, home = Console(highlight=False), HOME.absolute()
    file = data.absolute() if data else home / "transactions.parquet"
    if data and file.resolve().is_relative_to(home.resolve()):
        raise Stop(f"{data} lies in {HOME}, which every demo empties. Move it elsewhere.")
    with contextlib.ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        stack.enter_context(only_one(home))
        plan = _plan(file, mapping and mapping.absolute()) if data else None  # what cannot be used is told before anything is started
        emptied(home)
        stack.enter_context(alone(home))
        if plan is None:
            title(console, "Simulate card payments with known frauds")
            _run("simulate", "--out", str(file), *[word for name, value in _SIZE.items() for word in (f"--{name}", str(value))])
            plan = _plan(file)
        settings = stack.enter_context(servers(console, home))
        title(console, "Train a model on what came before the live part, register it")
        _run("train", "--data", str(file), *plan.read_by, "--until", _day(plan.live_ms - DAY_MS), "--alias", "champion")
        history, live = _played(console, settings, home, plan, LivePace(rate, most))
        console.print(summary(plan, history, live))


class LivePace(NamedTuple):
    """Transactions a second in the live part, and at most how many."""

    per_s: float
    most: int


def _played(console: Console, settings: Settings, home: Path, plan: DemoPlan, pace: LivePace) -> tuple[Played, Played]:
    """The worker's part: the history at once, then the live part on schedule."""
    title(console, "Start a worker")
    _run("topics")
    with started(f"http://127.0.0.1:{settings.metrics_port}", home / "worker.log") as worker:
        console.print(f"Ready; metrics on {worker.url}/metrics, log in {HOME / 'worker.log'}", soft_wrap=True)
        title(console, f"Let it read the {HISTORY_DAYS} days before, then {LIVE_DAYS} days live at {pace.per_s:,.0f}/s")
        history = asyncio.run(play_history(console, worker, plan))
        return history, asyncio.run(play_live(console, settings, worker, plan, pace))


def _run(*arguments: str) -> None:
    """Run one of our own commands as a user would; it prints for itself."""
    ended = subprocess.run([sys.executable, "-m", "stream_app.cli", *arguments], check=False)  # noqa: S603 - our own command
    if ended.returncode:
        raise Stop(f"`fraudstream {' '.join(arguments)}` ended with {ended.returncode}; see above.")


def _day(ms: int) -> str:
    return str(np.datetime64(ms, "ms").astype("datetime64[D]"))


@dataclass(frozen=True, slots=True)
class DemoPart:
    """Payments in the order in which they are published, and which of them are frauds."""

    payments: list[PaymentKey]
    frauds: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What of the file is published.

    Attributes:
        file: the transactions.
        mapping: what its columns are; None: it is known by them.
        first_ms: where the history begins.
        live_ms: where the live part begins.
        history: how many transactions the history has.
        live: those of the live part.
    """

    file: Path
    mapping: Path | None
    first_ms: int
    live_ms: int
    history: int
    live: DemoPart

    @property
    def read_by(self) -> tuple[str, ...]:
        """The option of our commands with which they read the file."""
        return ("--mapping", str(self.mapping)) if self.mapping else ()


def _plan(file: Path, mapping: Path | None = None) -> DemoPlan:
    """Where the live part begins, once the file is known to be one that can be trained on.

    Raises:
        DataError: it cannot.
    """
    dataset: Any = import_module("training.data.dataset")
    frame = dataset.read_transactions(file, mapping=mapping)
    dataset.check_for_training(frame, str(file))
    times = frame["event_time"].to_numpy()
    live_ms = int(times[-1]) // DAY_MS * DAY_MS - (LIVE_DAYS - 1) * DAY_MS
    import_module("training.data.split").Split(until=_day(live_ms - DAY_MS)).windows(int(times[0]), int(times[-1]))
    sent = frame["sent_at"].to_numpy() if "sent_at" in frame.columns else times  # the order and the window of publishing
    first_ms = live_ms - HISTORY_DAYS * DAY_MS
    rows = np.flatnonzero(sent >= live_ms)
    rows = rows[np.argsort(sent[rows], kind="stable")]
    cards, ids = (frame[name].iloc[rows].astype(str).tolist() for name in ("card_id", "transaction_id"))
    keys, frauds = list(map(PaymentKey, cards, ids)), frame["is_fraud"].to_numpy(dtype=bool)[rows]
    return DemoPlan(file, mapping, first_ms, live_ms, int(((sent >= first_ms) & (sent < live_ms)).sum()), DemoPart(keys, frauds))


@dataclass(frozen=True, slots=True)
class Played:
    """What came of one part.

    Attributes:
        sent: transactions published.
        counts: what the worker did with them.
        seconds: of the history, from the first to the last decision; of the live part, from its start to its last decision.
        alerts: seconds from each transaction until its alert was read, by payment.
    """

    sent: int
    counts: Counts
    seconds: float
    alerts: dict[PaymentKey, float]


async def play_history(console: Console, worker: DemoWorker, plan: DemoPlan) -> Played:
    """Publish the history at once and wait until all of it is decided, its labels counted.

    Raises:
        Stop: most of it was refused, the worker ended, or the file could not be published.
        Unavailable: the worker stands still.
    """
    if not plan.history:
        raise Stop(f"{plan.file} has no transactions before its last days. Give a longer history.")
    before = worker.counts()
    async with _producer(plan, "--start", str(plan.first_ms), "--end", str(plan.live_ms), shown=True) as check:
        counts, seconds = await _settled(worker, check, before, plan.history, rest_s=REST_S)
    _refuse_refusals(worker, counts)
    console.print(f"{counts.scored:,} transactions of history scored")
    return Played(plan.history, counts, seconds, {})


async def play_live(console: Console, settings: Settings, worker: DemoWorker, plan: DemoPlan, pace: LivePace) -> Played:
    """Publish the live part at this pace; show the first alerts as they come.

    Raises:
        Stop, Unavailable: as for the history; or Kafka went away.
    """
    sent = min(pace.most, len(plan.live.payments))
    before, alerts, positioned = worker.counts(), dict[PaymentKey, float](), asyncio.Event()
    reader = asyncio.create_task(_follow(console, settings, alerts, positioned))
    await asyncio.wait([reader, asyncio.create_task(positioned.wait())], return_when=asyncio.FIRST_COMPLETED)
    began = time.monotonic()
    arguments = ("--start", str(plan.live_ms), "--rate", f"{pace.per_s:g}", "--limit", str(sent))
    async with _producer(plan, *arguments, shown=False) as check:
        counts, _ = await _settled(worker, check, before, sent)
    seconds = time.monotonic() - began
    _refuse_refusals(worker, counts)
    deadline = time.monotonic() + ALERTS_S
    while len(alerts) < counts.alerts and not reader.done() and time.monotonic() < deadline:  # noqa: ASYNC110 - the reader is not ours to wake
        await asyncio.sleep(POLL_S)
    if reader.done():
        await reader
    reader.cancel()
    return Played(sent, counts, seconds, alerts)


@contextlib.asynccontextmanager
async def _producer(plan: DemoPlan, *arguments: str, shown: bool) -> AsyncIterator[Callable[[], None]]:
    """`fraudstream produce` beside the caller, which it never outlives; yields a check that raises Stop once it has failed."""
    command = ("-m", "stream_app.cli", "produce", str(plan.file), *plan.read_by, *arguments)
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stderr=None if shown else asyncio.subprocess.PIPE)
    told = asyncio.create_task(process.communicate())

    def check() -> None:
        if told.done() and process.returncode:
            why = "see above" if shown else (told.result()[1].decode().strip().splitlines() or ["it said nothing"])[-1]
            raise Stop(f"`fraudstream produce {plan.file}` ended with {process.returncode}: {why}")

    try:
        yield check
    finally:
        if process.returncode is None:
            process.kill()
        await told


async def _settled(
    worker: DemoWorker, check: Callable[[], None], before: Counts, expected: int, *, rest_s: float = 0.0
) -> tuple[Counts, float]:
    """Wait until so many transactions are decided, and nothing moves for `rest_s`; the counts, and seconds from first to last decision."""
    now = before
    first = last = time.monotonic()
    while now.since(before).decided < expected or time.monotonic() - last < rest_s:
        await asyncio.sleep(POLL_S)
        check()
        found = worker.counts()
        if found != now:
            last = time.monotonic()
            first = first if now != before else last
            now = found
        elif time.monotonic() - last > STANDSTILL_S:
            done = now.since(before).decided
            raise Unavailable(
                f"The worker stands still: {done:,} of {expected:,} decided, nothing for {STANDSTILL_S:.0f} s; see {worker.log}."
            )
    return now.since(before), last - first


def _refuse_refusals(worker: DemoWorker, counts: Counts) -> None:
    """Figures over a file of which most was refused would say nothing."""
    if counts.refused * 2 > counts.decided:
        raise Stop(
            f"The worker refused {counts.refused:,} of {counts.decided:,} records ({worker.refusals()}): see the README's table of bad input. "
            "Mend the file, then repeat."
        )


async def _follow(console: Console, settings: Settings, alerts: dict[PaymentKey, float], positioned: asyncio.Event) -> None:
    async for alert, seconds in read_alerts(settings, follow=True, positioned=positioned):
        key = PaymentKey.of(alert)
        if key in alerts:
            continue
        alerts[key] = seconds
        if len(alerts) <= SHOWN:
            for line in describe(alert):
                console.print(line, soft_wrap=True)
        elif len(alerts) == SHOWN + 1:
            console.print("[dim]…[/]")


def summary(plan: DemoPlan, history: Played, live: Played) -> Table:
    """The figures; those that are nought and should be are left out."""
    table = Table("what", "figure", title="Summary")
    seconds = max(history.seconds, 0.1)
    table.add_row(
        "history: scored", f"{history.counts.scored:,} in {seconds:.1f} s: {history.counts.decided / seconds:,.0f} transactions/s"
    )
    _others(table, "history", history.counts)
    table.add_row("live: scored", f"{live.counts.scored:,} of {live.sent:,} sent, in {live.seconds:.1f} s")
    _others(table, "live", live.counts)
    table.add_row("live: alerts", f"{len(live.alerts):,}")
    frauds = {name for name, fraud in zip(plan.live.payments[: live.sent], plan.live.frauds[: live.sent].tolist(), strict=True) if fraud}
    if frauds:
        found = frauds & live.alerts.keys()
        table.add_row("frauds among the sent", f"{len(frauds):,}")
        table.add_row("precision", f"{len(found) / max(len(live.alerts), 1):.1%} of the alerts are frauds")
        table.add_row("recall", f"{len(found) / len(frauds):.1%} of the frauds are alerted")
    if live.alerts:
        p50, p99 = np.percentile([s * 1000 for s in live.alerts.values()], [50, 99])
        table.add_row("transaction sent → alert read", f"p50 {p50:.0f} ms, p99 {p99:.0f} ms")
    return table


def _others(table: Table, part: str, counts: Counts) -> None:
    rows = (
        ("refused, in the dead letters", counts.refused),
        ("repeated, not scored", counts.repeated),
        ("refunds, not scored", counts.credits),
    )
    for what, count in rows:
        if count:
            table.add_row(f"{part}: {what}", f"{count:,}")
