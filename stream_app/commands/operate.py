"""Commands for operators: `worker`, `topics`, `doctor`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import BROKERS_DEFAULT, create_topics
from stream_app.adapters.kafka.topology import unequal
from stream_app.errors import TopologyError
from stream_app.settings import load_settings

NOT_SERVING = ("scipy", "coverage")
"""numba imports these where they are installed, as in a clone, for kernels of other people's: 18 MB of a worker. No image has them."""


def worker_command() -> None:
    """Score transactions until told to stop (SIGTERM, Ctrl-C)."""
    leave_out(NOT_SERVING)
    from stream_app.worker import run  # noqa: PLC0415 - Faust, numba and onnxruntime load only where they are used

    sys.exit(run())


def leave_out(libraries: Sequence[str]) -> None:
    """Have these libraries, where nobody imported them yet, taken for not installed in this process."""
    for library in libraries:
        vars(sys)["modules"].setdefault(library, None)


def topics_command(
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each, where no topic says otherwise yet.")] = 4,
    replication: Annotated[int | None, typer.Option(min=1, help="Copies of each partition; default: what the brokers are set to.")] = None,
) -> None:
    """Create the topics that are missing: all with the same number of partitions, kept for 40 days; rules and lists with one, without end."""
    settings = load_settings()
    created, all_counts = asyncio.run(create_topics(client_options(settings), settings, partitions, replication or BROKERS_DEFAULT))
    if created:
        print("Created " + ", ".join(created))
    counts = {name: all_counts[name] for name in settings.topics()}
    if len(set(counts.values())) > 1:
        raise TopologyError(unequal(settings, counts))
    if not created:
        print(f"All topics exist, with {counts[settings.transactions_topic]} partitions each; those of rules and lists with one.")


def doctor_command() -> None:
    """Check Kafka, Redis, MLflow, topics, model, feature hash and clock: one line each, with the remedy."""
    from stream_app.commands.doctor import examine  # noqa: PLC0415 - see worker_command

    console = Console(highlight=False, soft_wrap=True)
    findings = asyncio.run(examine(load_settings()))
    for finding in findings:
        mark = {True: "[green]ok  [/]", False: "[red]FAIL[/]", None: "[dim]-   [/]"}[finding.well]
        console.print(f"{mark} {finding.subject:<9} {finding.text}", markup=True)
    sys.exit(0 if all(f.well for f in findings) else 1)
