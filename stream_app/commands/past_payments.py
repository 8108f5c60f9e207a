"""Past payments that rules are tried on: of a file, or the newest ones of the topics, with the labels that came since."""

from __future__ import annotations

import asyncio
import importlib
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from msgspec import structs

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.delivery.ports import Log
from stream_app.errors import DataError, TopologyError
from stream_app.messages.records import Place
from stream_app.messages.transaction import ATTRIBUTE, Label, PaymentKey, Transaction
from stream_app.scoring.intake import Decoded, decode_all
from stream_app.settings import Settings
from stream_app.wire.inputs import Inputs, Reads, some_ready

if TYPE_CHECKING:
    import pandas as pd

DataFile = Annotated[Path | None, typer.Option("--data", help="Past transactions: Parquet, CSV or JSON Lines, as `produce` takes them.")]
FromTopics = Annotated[bool, typer.Option("--topics", help="The newest payments of the topics, with the labels that came since.")]
MOST_PAYMENTS = 1_000_000
"""Of the topics: about half a gigabyte as a table."""
MOST_LABELS = 1_000_000
"""Of the topics, of that time: some hundred bytes of memory each."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PastPayments:
    """Where they are.

    Attributes:
        file: of transactions; None: the topics.
        most: newest payments of the topics that are read.
    """

    settings: Settings
    file: Path | None
    most: int = MOST_PAYMENTS

    @classmethod
    def given(cls, settings: Settings, file: Path | None, *, topics: bool) -> PastPayments | None:
        """As options say it; None where they name neither.

        Raises:
            typer.BadParameter: they name both.
        """
        if file is not None and topics:
            raise typer.BadParameter("give --data or --topics, not both", param_hint="--topics")
        return cls(settings, file) if file is not None or topics else None

    def frame(self) -> pd.DataFrame:
        """As `training.data.dataset.read_transactions` gives them.

        Raises:
            DataError: the file cannot be read, or the topics hold no payment.
            TopologyError: a topic is missing.
            Unavailable, NoAccess, Refused: Kafka does not answer, or refuses.
        """
        read: Any = importlib.import_module("training.data.dataset").read_transactions
        if self.file is not None:
            return read(self.file)  # type: ignore[no-any-return]
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as spooled:
            refused = asyncio.run(spool(self.settings, self.most, spooled))
            if refused:
                typer.echo(f"{refused:,} records of the topics cannot be read, and are left out; their dead letters say why.", err=True)
            spooled.flush()
            return read(Path(spooled.name))  # type: ignore[no-any-return]


async def spool(settings: Settings, most: int, into: IO[str]) -> int:
    """Write the newest payments of the topics, a line each; how many records could not be read. One batch is in memory, and the labels since.

    Without any label the lines say nothing of fraud; else a payment without one counts as genuine.

    Raises:
        DataError: the topics hold no payment, or more labels of that time than are held.
    """
    from stream_app.bootstrap_inputs import inputs_of  # noqa: PLC0415 - Redis and MLflow load only where topics are read

    names = (settings.transactions_topic, settings.labels_topic)
    counts = await partition_counts(client_options(settings), names)
    if missing := [name for name in names if name not in counts]:
        raise TopologyError(f"Topic {missing[0]!r} does not exist. Create all that are missing: `fraudstream topics --partitions 4`.")
    log, (inputs, _) = KafkaLog(client_options(settings), settings.consumer_group), inputs_of(settings)
    starts = await newest(log, names[0], counts[names[0]], most)
    labels, refused = await labels_since(log, starts, (names[1], counts[names[1]]), inputs)
    written = 0
    async for of_payments in _decoded(log, starts, inputs, inputs.payments):
        for payment in of_payments.messages:
            known = {"is_fraud": labels.get(PaymentKey.of(payment), False)} if labels else {}
            into.write(json.dumps(_row(payment) | known) + "\n")
        written += len(of_payments.messages)
        refused += len(of_payments.refused)
    if not written:
        raise DataError(f"Topic {names[0]!r} holds no payment that can be read. Give a file with --data.")
    return refused


async def newest(log: Log, topic: str, partitions: int, most: int) -> Mapping[Place, int]:
    """Where to begin in each partition."""
    bounds = await log.bounds([(topic, number) for number in range(partitions)])
    return {place: max(begin, end - most // partitions) for place, (begin, end) in bounds.items()}


async def labels_since(
    log: Log, starts: Mapping[Place, int], topic: tuple[str, int], inputs: Inputs, most: int = MOST_LABELS
) -> tuple[dict[PaymentKey, bool], int]:
    """Each payment's newest label, and how many could not be read: of all that were published since these payments were, for none comes before its own.

    Args:
        log: of the topics.
        starts: where the payments begin.
        topic: of the labels, and its partitions.
        inputs: how records are read.
        most: labels that are held; leaving some out would count frauds as genuine.

    Raises:
        DataError: there are more.
    """
    name, partitions = topic
    begun = [at for place, start in starts.items() if (at := await log.timestamp(place, start)) is not None]
    since_ms = min(begun, default=0) - _DAY_MS  # clocks of producers differ
    of_labels = await log.from_time({(name, number): max(0, since_ms) for number in range(partitions)})
    labels: dict[PaymentKey, bool] = {}
    refused = 0
    async for decoded in _decoded(log, of_labels, inputs, inputs.labels):
        labels |= {PaymentKey.of(label): label.is_fraud for label in decoded.messages}
        refused += len(decoded.refused)
        if len(labels) > most:
            raise DataError(
                f"Topic {name!r} holds labels of more than {most:,} payments of the time of those that are tried, which is more than fits. "
                "Try on fewer: write some into a file, and give it with --data."
            )
    return labels, refused


async def _decoded[T: (Transaction, Label)](
    log: Log, starts: Mapping[Place, int], inputs: Inputs, decoder: Reads[T]
) -> AsyncIterator[Decoded[T]]:
    async for _, records in log.walk(starts):
        async for ready in some_ready(records, decoder, inputs):
            yield decode_all(ready, decoder, None)


def _row(payment: Transaction) -> dict[str, Any]:
    told = {name: value for name, value in structs.asdict(payment).items() if value is not None}
    attributes = told.pop("attributes", None) or {}
    return told | {f"{ATTRIBUTE}{name}": value for name, value in attributes.items()}
