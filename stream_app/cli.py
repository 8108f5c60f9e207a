"""The command `fraudstream`. Each command's code is imported when it is called: a worker does not wait for pandas."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import Any, NamedTuple

import typer
import typer.core
import typer.main

from stream_app.errors import FraudstreamError


class _CommandEntry(NamedTuple):
    module: str
    attribute: str
    help: str


COMMANDS = {
    "local": _CommandEntry("stream_app.local.commands", "app", "Kafka, Redis and MLflow on this machine: up, down, status, reset; watch."),
    "topics": _CommandEntry("stream_app.commands.operate", "topics_command", "Create the topics that are missing."),
    "simulate": _CommandEntry("training.data.simulate_command", "simulate_command", "Make a file of card payments with known frauds."),
    "inspect": _CommandEntry(
        "stream_app.commands.inspect", "inspect_command", "What is in a file or a topic, what would be refused, and a mapping to edit."
    ),
    "produce": _CommandEntry(
        "stream_app.commands.produce", "produce_command", "Publish a file of transactions, and its labels at their delay."
    ),
    "labels": _CommandEntry(
        "stream_app.commands.labels", "labels_command", "Join the labels of a topic of their own to their payments, and publish each once."
    ),
    "train": _CommandEntry("training.train", "train_command", "Train a model and register it; the same as `python -m training.train`."),
    "promote": _CommandEntry(
        "training.registry.promote", "promote_command", "Make a version the one that workers follow, if its gates pass."
    ),
    "rollback": _CommandEntry("training.registry.promote", "rollback_command", "Go back to the version that was served before."),
    "evaluate": _CommandEntry(
        "training.book.evaluate_command", "evaluate_command", "Run the tables of the Fraud Detection Handbook; the published beside."
    ),
    "worker": _CommandEntry("stream_app.commands.operate", "worker_command", "Score transactions until told to stop."),
    "api": _CommandEntry("stream_app.commands.api", "api_command", "Answer requests over HTTP: scores, cards, terminals, labels."),
    "api-key": _CommandEntry("stream_app.commands.api", "key_command", "Make a key for the API; shown once, kept hashed."),
    "compare": _CommandEntry("stream_app.commands.compare", "compare_command", "Champion against challenger: agreement, money, quality."),
    "answers": _CommandEntry(
        "stream_app.commands.answers",
        "answers_command",
        "What the API answered, beside what the stream decided: agreed, different and why.",
    ),
    "alerts": _CommandEntry("stream_app.commands.alerts", "alerts_command", "Show alerts as they come."),
    "dlq": _CommandEntry("stream_app.commands.dlq", "app", "Dead letters: look at them, and send mended ones back, each once."),
    "explain": _CommandEntry(
        "stream_app.commands.explain", "explain_command", "Why a transaction got its score, alerted or not, feature by feature."
    ),
    "verify": _CommandEntry(
        "stream_app.commands.verify", "verify_command", "Compute served features and scores again, offline, and compare."
    ),
    "rules": _CommandEntry("stream_app.commands.rules", "app", "Rules: check, backtest, put, approve, release, roll back; apply a folder."),
    "lists": _CommandEntry(
        "stream_app.commands.lists", "app", "Lists that rules ask, or that block and allow: create, add, import, export."
    ),
    "doctor": _CommandEntry("stream_app.commands.operate", "doctor_command", "Check servers, topics, model and clock, with remedies."),
    "repartition": _CommandEntry(
        "stream_app.commands.repartition", "repartition_command", "Take every card's state along after partitions were added."
    ),
    "demo": _CommandEntry(
        "stream_app.commands.demo", "demo_command", "The whole path once: servers, data, model, worker, alerts, figures."
    ),
}


class _Lazy(typer.core.TyperGroup):
    """Knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Names, in the order of a first day."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """The command, imported now."""
        found = COMMANDS.get(cmd_name)
        return _load(found) if found else None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Names and one line each, without importing any."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in COMMANDS.items()])


def _load(command: _CommandEntry) -> Any:
    found: Any = getattr(import_module(command.module), command.attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_group(found)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command()(found)
    return typer.main.get_command(single)


cli = typer.Typer(cls=_Lazy, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)


@cli.callback()
def fraudstream() -> None:
    """Scores card payments for fraud while they happen."""


def main() -> None:
    """Entry point: errors of ours are one line and an exit code, never a traceback, and no library's log beside it."""
    logging.getLogger().addHandler(logging.NullHandler())  # a worker sets its logs up by itself
    try:
        cli()
    except ImportError as error:
        sys.exit(f"fraudstream: {error.name or error} is not installed. Install all extras: pip install 'fraudstream[api,local,training]'.")
    except FraudstreamError as error:
        print(f"fraudstream: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 1))


if __name__ == "__main__":
    main()
