"""The commands `fraudstream local up|down|status|reset|watch`."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from stream_app.errors import FraudstreamError, Stop
from stream_app.settings import LOCAL_ENV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_app.local.stack import LocalStack, Status

ALL = "kafka,redis,mlflow"
app = typer.Typer(help="Kafka, Redis and MLflow on this machine, without Docker.", no_args_is_help=True)


@app.command()
def up(only: Annotated[str, typer.Option(help="Which servers, separated by commas.")] = ALL) -> None:
    """Start what does not run yet and wait until it answers; data of earlier starts is kept."""
    with _told(), download_bar() as on_progress:
        _stack().up([name.strip() for name in only.split(",") if name.strip()], on_progress)
    _show()


@app.command()
def down() -> None:
    """Stop the servers that `up` started; their data is kept."""
    with _told():
        stopped = _stack().down()
    typer.echo(f"Stopped {', '.join(stopped)}; data is kept in {LOCAL_ENV.parent}/." if stopped else "Nothing is running.")


@app.command()
def status() -> None:
    """Show each server: its state, address, process and log."""
    _show()


@app.command()
def reset(*, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop the servers and delete their data and logs."""
    if not yes:
        typer.confirm(f"Delete all topics, state, models and logs of the local stack in {LOCAL_ENV.parent.absolute()}?", abort=True)
    with _told():
        _stack().reset()
    typer.echo("The local stack's data is deleted.")


@app.command()
def watch(
    workers: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    rules: Annotated[Path, typer.Option(help="Prometheus' rules.")] = Path("docker/prometheus/rules.yml"),
) -> None:
    """Start the servers, the topics, workers, the API, and a Prometheus that watches them; end what is not a server with Ctrl-C."""
    from stream_app.local.watching import SupervisedProcess, free_port, told_to_end, watch  # noqa: PLC0415 - as in `_stack`

    with _told(), download_bar() as on_progress:
        _stack().up(on_progress=on_progress)
        if subprocess.run([sys.executable, "-m", "stream_app.cli", "topics"], check=False).returncode:
            raise Stop("The topics could not be made; see above.")
        processes = [SupervisedProcess(f"worker-{n}", "worker", free_port(), "METRICS_PORT") for n in range(1, workers + 1)]
        processes.append(SupervisedProcess("api", "api", free_port(), "API_PORT"))
        with told_to_end() as ended:
            watch(LOCAL_ENV.parent / "watch", rules, processes, typer.echo, ended)


def _stack() -> LocalStack:
    from stream_app.local.stack import LocalStack  # noqa: PLC0415 - psutil comes with the extra `local` only

    return LocalStack(LOCAL_ENV.parent)


def _show() -> None:
    with _told():
        rows = _stack().status()
    table = Table("service", "state", "address", "pid", "uptime", "log", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row.service, row.state, row.address or "-", str(row.pid or "-"), _uptime(row), str(row.log or "-"))
    # As wide as it needs, where nobody looks: a path that is cut helps no script.
    Console(width=None if sys.stdout.isatty() else 400, highlight=False).print(table)


def _uptime(row: Status) -> str:
    if row.uptime_s is None:
        return "-"
    minutes, seconds = divmod(int(row.uptime_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


@contextmanager
def _told() -> Iterator[None]:
    """Turn an error meant for the operator into its line and its exit code."""
    try:
        yield
    except FraudstreamError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(getattr(error, "exit_code", 1)) from None


@contextmanager
def download_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr that appears with the first byte; nothing is shown where nothing is downloaded."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=Console(stderr=True))
    task = progress.add_task("Apache Kafka, once", total=None)

    def on_progress(done: int, total: int) -> None:
        progress.start()
        progress.update(task, completed=done, total=total)

    try:
        yield on_progress
    finally:
        if progress.live.is_started:  # else it would print an empty line
            progress.stop()
