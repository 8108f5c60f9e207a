"""`fraudstream produce`: a file of past transactions, published to Kafka."""

from __future__ import annotations

import asyncio
import importlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from stream_app.commands.replay import ATTRIBUTE, Pace, Replay, ReplayTopics, Tally, produce_to_kafka
from stream_app.commands.times import moment_ms
from stream_app.errors import DataError, Unavailable
from stream_app.messages.transaction import Label, Transaction
from stream_app.settings import load_settings

if TYPE_CHECKING:
    import pandas as pd

INTERRUPTED = 130
LATE_S = 0.5


def produce_command(  # noqa: PLR0913 - the command's options
    file: Annotated[Path, typer.Argument(help="Transactions: Parquet, CSV or JSON Lines, our columns or the Fraud Detection Handbook's.")],
    rate: Annotated[float | None, typer.Option(min=0.001, help="Transactions a second, on a fixed schedule.")] = None,
    speed: Annotated[float | None, typer.Option(min=0.001, help="Times faster than it happened: 3600 replays an hour each second.")] = None,
    start: Annotated[str | None, typer.Option(help="From this event time on: 2018-07-01, 2018-07-01T12:00:00 (UTC), or ms.")] = None,
    end: Annotated[str | None, typer.Option(help="Up to, not including, this event time.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many transactions, and the labels due by then.")] = None,
    labels: Annotated[bool, typer.Option("--labels/--no-labels", help="Also publish each label when the replay reaches its time.")] = True,  # noqa: FBT002 - typer's way
    label_delay_days: Annotated[float, typer.Option(min=0, help="When frauds became known, where the file does not say.")] = 7.0,
) -> None:
    """Replay past transactions, and their labels when due, into Kafka: at a rate, a speed, or at once."""
    if rate is not None and speed is not None:
        raise typer.BadParameter("give --rate or --speed, not both", param_hint="--speed")
    window = (moment_ms(start, "--start"), moment_ms(end, "--end"))
    settings = load_settings()
    client = importlib.import_module("stream_app.adapters.kafka.options").client_options(settings)
    frame = importlib.import_module("training.data.dataset").read_transactions(file, label_delay_days=label_delay_days)
    replay = replay_of(frame, labels=labels, window=window, limit=limit)
    if not len(replay):
        raise DataError(f"{file} has no transactions between --start and --end (it has {_span(frame)}). Widen them.")
    console, tally = Console(stderr=True), Tally()
    ahead = int((replay.order()[1] > time.time() * 1000 + settings.max_ahead_s * 1000).sum())
    if ahead:
        console.print(f"[yellow]{ahead:,} records are dated later than now: workers refuse such (code 'future'). --end leaves them out.")
    topics = ReplayTopics(settings.transactions_topic, settings.labels_topic)
    try:
        with _progress(console) as progress:
            bar = _Bar(progress, len(replay))
            asyncio.run(produce_to_kafka(replay, client, topics, Pace(rate, speed), tally, bar.show))
    except KeyboardInterrupt:
        console.print(summary(tally, topics), soft_wrap=True, highlight=False)
        raise typer.Exit(INTERRUPTED) from None
    console.print(summary(tally, topics), soft_wrap=True, highlight=False)
    if tally.failed:
        remedy = "Look at the broker, then go on with --start at the last event time that arrived: transactions seen twice are counted once"
        raise Unavailable(f"Kafka did not take {tally.failed:,} records ({tally.error}). {remedy}.")


def replay_of(
    frame: pd.DataFrame, *, labels: bool = True, window: tuple[int | None, int | None] = (None, None), limit: int | None = None
) -> Replay:
    """What of the frame (`training.data.dataset`'s columns) is to be published.

    Args:
        frame: transactions in any order; where it has `sent_at`, that is the order of publishing.
        labels: also the labels due in the window, those of earlier transactions among them: adjoining windows replay the whole.
        window: ms, [from, to).
        limit: at most so many transactions; labels due after the last of them are left out.
    """
    times = frame["sent_at" if "sent_at" in frame.columns else "event_time"].to_numpy()
    first, end = (bound if bound is not None else default for bound, default in zip(window, (0, np.iinfo(np.int64).max), strict=True))
    chosen = np.flatnonzero((times >= first) & (times < end))
    chosen = chosen[np.argsort(times[chosen], kind="stable")][:limit]
    if limit is not None and len(chosen) == limit:
        end = min(end, int(times[chosen[-1]]) + 1)
    names = [name for name in frame.columns if name in Transaction.__struct_fields__ or name.startswith(ATTRIBUTE)]
    label_times, due = np.zeros(0, np.int64), np.zeros(0, np.int64)
    if labels and "labelled_at" in frame.columns:
        label_times = frame["labelled_at"].to_numpy(dtype=np.int64, na_value=-1)
        due = np.flatnonzero((label_times >= first) & (label_times < end))
        due = due[np.argsort(label_times[due], kind="stable")]
    return Replay(
        transactions=_columns(frame[names].iloc[chosen]),
        transaction_times_ms=times[chosen],
        labels=_columns(frame[[name for name in Label.__struct_fields__ if name in frame.columns]].iloc[due]),
        label_times_ms=label_times[due],
    )


def summary(tally: Tally, topics: ReplayTopics) -> str:
    """What was done, for the person at the terminal."""
    sent = f"{tally.transactions:,} transactions to {topics.transactions!r}, {tally.labels:,} labels to {topics.labels!r}"
    outcome = f"{tally.acknowledged:,} acknowledged, {tally.failed:,} failed"
    lines = [f"{sent}, in {tally.seconds:.1f} s: {tally.rate:,.0f} transactions/s; {outcome}."]
    if tally.late_s > LATE_S:
        lines.append(f"Could not keep up: the last records left {tally.late_s:.1f} s after their time. Lower --rate or --speed.")
    return "\n".join(lines)


def _columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Numbers as they are; the rest as Python objects, None or NaN where missing."""
    columns: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        kind = getattr(column.dtype, "kind", "O")
        plain = isinstance(column.dtype, np.dtype) and kind in "iufb"
        columns[str(name)] = column.to_numpy() if plain else column.astype(object).where(column.notna(), None).to_numpy()
    return columns


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
