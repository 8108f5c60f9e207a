"""`fraudstream produce`: a file of past transactions, published to Kafka when each is due.

The records' Kafka timestamp is the wall clock's *now*, not `event_time`: latency can then be measured, topics do not delete a history of
2018 at once by their retention, and nothing is "ahead of its record".
"""

from __future__ import annotations

import asyncio
import importlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from stream_app.adapters.kafka.bulk_publisher import bulk_publisher
from stream_app.adapters.kafka.options import client_options
from stream_app.commands.replay import Pace, Replay, Tally, label_records, replay_of, transaction_records
from stream_app.commands.times import moment_ms
from stream_app.errors import DataError, Refused, Unavailable
from stream_app.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from stream_app.commands.replay import KeyValue

CHUNK = 1_000
IDLE_S = 0.2
INTERRUPTED = 130
LATE_S = 0.5


def produce_command(  # noqa: PLR0913 - the command's options
    file: Annotated[Path, typer.Argument(help="Transactions: whatever `train` reads.")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="Transactions a second, on a fixed schedule.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Times faster than it happened: 3600 replays an hour each second.")] = None,
    start: Annotated[str | None, typer.Option(help="From this event time on: 2018-07-01, 2018-07-01T12:00:00 (UTC), or ms.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to, not including, this event time.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many transactions, and the labels due by then.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="What is known of them, in a file of its own (chargebacks, scheme reports), in the place of the file's own labels."
        ),
    ] = None,
    labels_mapping: Annotated[Path | None, typer.Option(help="YAML: what the columns of --labels are.")] = None,
    *,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="Publish no label. Else each goes out when the replay reaches its time.")
    ] = False,
    label_delay_days: Annotated[float, typer.Option(min=0, help="When frauds became known, where the file does not say.")] = 7.0,
    mapping: Annotated[Path | None, typer.Option(help="YAML: what the file's columns are, as `train --mapping` takes it.")] = None,
) -> None:
    """Replay past transactions, and their labels when due, into Kafka: at a rate, a speed, or at once."""
    if rate is not None and speed is not None:
        raise typer.BadParameter("give --rate or --speed, not both", param_hint="--speed")
    if labels and no_labels:
        raise typer.BadParameter("give --labels or --no-labels, not both", param_hint="--labels")
    window = (moment_ms(start, "--start"), moment_ms(end, "--end"))
    settings, console = load_settings(), Console(stderr=True)
    client = client_options(settings)
    reading = _FileReading(label_delay_days, settings.refuse_card_numbers)
    frame = reading.transactions(file, mapping)
    if labels:
        frame = reading.with_labels(frame, labels, labels_mapping, console)
    replay = replay_of(frame, labels=not no_labels, window=window, limit=limit)
    if not len(replay):
        raise DataError(
            f"{importlib.import_module('training.data.sources').shown(file)} has no transactions between --start and --end (it has {_span(frame)}). Widen them."
        )
    ahead = int((replay.order()[1] > time.time() * 1000 + settings.max_ahead_s * 1000).sum())
    if ahead:
        console.print(f"[yellow]{ahead:,} records are dated later than now: workers refuse such (code 'future'). --end leaves them out.")
    _published(replay, client, ReplayTopics(settings.transactions_topic, settings.labels_topic), Pace(rate, speed), console)


class _FileReading(NamedTuple):
    """How files of transactions and of what is known of them are read."""

    label_delay_days: float
    refuse_card_numbers: bool

    def transactions(self, file: Path, mapping: Path | None) -> pd.DataFrame:
        """What `train` reads of the file."""
        frame: pd.DataFrame = importlib.import_module("training.data.dataset").read_transactions(file, mapping=mapping, **self._asdict())
        return frame

    def with_labels(self, frame: pd.DataFrame, labels: Path, mapping: Path | None, console: Console) -> pd.DataFrame:
        """The transactions with what a file of its own knows of them; how many were joined is told."""
        joined: pd.DataFrame
        joined, report = importlib.import_module("training.data.dataset").with_labels(frame, labels, mapping=mapping, **self._asdict())
        for line in report.lines():
            console.print(line, highlight=False, soft_wrap=True)
        return joined


def _published(replay: Replay, client: Mapping[str, Any], topics: ReplayTopics, pace: Pace, console: Console) -> None:
    """Publish the replay, and say what became of it, however it ends.

    Raises:
        Refused, Unavailable: Kafka did not take all of it.
        Exit: it was interrupted.
    """
    tally = Tally()
    try:
        with _progress(console) as progress:
            bar = _Bar(progress, len(replay))
            asyncio.run(produce_to_kafka(replay, client, topics, pace, tally, bar.show))
    except KeyboardInterrupt:
        console.print(summary(tally, topics), soft_wrap=True, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    console.print(summary(tally, topics), soft_wrap=True, highlight=False)
    if tally.failed:
        remedy = "Look at the broker, then go on with --start at the last event time that arrived: transactions seen twice are counted once"
        kind = Refused if tally.refused else Unavailable
        raise kind(f"Kafka did not take {tally.failed:,} records ({tally.error}). {remedy}.")


class ReplaySink(Protocol):
    """Where records go. `publish` may wait: back-pressure."""

    async def publish(self, topic: str, records: Sequence[KeyValue]) -> None:
        """Hand over records; those of one key keep their order."""

    async def flush(self) -> None:
        """Wait for the outcome of all."""


class ReplayTopics(NamedTuple):
    """Where transactions and labels go."""

    transactions: str
    labels: str


async def produce(
    replay: Replay,
    sink: ReplaySink,
    topics: ReplayTopics,
    pace: Pace,
    tally: Tally,
    *,
    on_chunk: Callable[[Tally], None] = lambda _tally: None,
) -> None:
    """Publish the replay in runs of at most `CHUNK` transactions, or labels; ends early once a record has failed."""
    is_transaction, times_ms = replay.order()
    due_s = pace.due_s(is_transaction, times_ms)
    runs = np.append(np.flatnonzero(np.diff(is_transaction)) + 1, len(due_s))
    start, position = time.monotonic(), 0
    while position < len(due_s) and not tally.failed:
        tally.seconds = time.monotonic() - start
        due = int(np.searchsorted(due_s, tally.seconds, side="right"))
        if due <= position:
            await asyncio.sleep(min(float(due_s[position]) - tally.seconds, IDLE_S))
            continue
        tally.late_s = tally.seconds - float(due_s[position]) if pace.is_set else 0.0
        end = min(due, position + CHUNK, int(runs[np.searchsorted(runs, position, side="right")]))
        if is_transaction[position]:
            from_, tally.transactions = tally.transactions, tally.transactions + end - position
            await sink.publish(topics.transactions, transaction_records(replay.transactions, from_, tally.transactions))
        else:
            from_, tally.labels = tally.labels, tally.labels + end - position
            await sink.publish(topics.labels, label_records(replay.labels, from_, tally.labels))
        position = end
        on_chunk(tally)
    await sink.flush()
    tally.seconds = time.monotonic() - start
    on_chunk(tally)


async def produce_to_kafka(
    replay: Replay, client: Mapping[str, Any], topics: ReplayTopics, pace: Pace, tally: Tally, on_chunk: Callable[[Tally], None]
) -> None:
    """`produce` to a real Kafka; errors as those of `bulk_publisher`."""
    async with bulk_publisher(client, topics, tally) as publisher:
        await produce(replay, publisher, topics, pace, tally, on_chunk=on_chunk)


def summary(tally: Tally, topics: ReplayTopics) -> str:
    """What was done, for the person at the terminal."""
    sent = f"{tally.transactions:,} transactions to {topics.transactions!r}, {tally.labels:,} labels to {topics.labels!r}"
    outcome = f"{tally.acknowledged:,} acknowledged, {tally.failed:,} failed"
    lines = [f"{sent}, in {tally.seconds:.1f} s: {tally.rate:,.0f} transactions/s; {outcome}."]
    if tally.late_s > LATE_S:
        lines.append(f"Could not keep up: the last records left {tally.late_s:.1f} s after their time. Lower --rate or --speed.")
    return "\n".join(lines)


def _span(frame: pd.DataFrame) -> str:
    ends = (datetime.fromtimestamp(int(ms) / 1000, UTC).isoformat() for ms in (frame["event_time"].min(), frame["event_time"].max()))
    return " to ".join(ends)


def _progress(console: Console) -> Progress:
    columns = (BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)  # else an empty line


class _Bar:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task: TaskID = progress.add_task("", total=total)

    def show(self, tally: Tally) -> None:
        late = f", [red]{tally.late_s:.1f} s late[/]" if tally.late_s > LATE_S else ""
        self._progress.update(self._task, completed=tally.transactions + tally.labels, description=f"{tally.rate:,.0f}/s{late}")
