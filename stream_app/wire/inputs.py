"""How records of both inputs are read: picked once at start, the same for worker, rebuild, repartition and `verify`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import batched

from stream_app.messages.records import Record
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.wire.decoder import WireDecoder

type Reads[T: (Transaction, Label)] = Decoder[T] | WireDecoder[T]
AT_ONCE = 400
"""Records whose schemas are fetched before they are read: fewer than half of the schemas that are kept, for a key may have its own."""


async def _nothing() -> None:
    """No schema is needed."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What reads payments and labels.

    Attributes:
        payments, labels: the decoders.
        fetched: returns when all schemas that were found lacking are here; raises Unavailable.
    """

    payments: Reads[Transaction]
    labels: Reads[Label]
    fetched: Callable[[], Awaitable[None]] = _nothing

    @classmethod
    def plain(cls, rules: IntakeRules) -> Inputs:
        """Our own JSON."""
        return cls(Decoder(Transaction, rules), Decoder(Label, rules))


def decode_one[T: (Transaction, Label)](decoder: Reads[T], record: Record, now_ms: int | None) -> T:
    """One record; raises what its decoder does."""
    if isinstance(decoder, Decoder):
        return decoder.decode(record.value, record.key, record.timestamp, now_ms)
    return decoder.decode_record(record, now_ms)


def lacking(decoder: Reads[Transaction] | Reads[Label]) -> Callable[[Record], bool] | None:
    """What tells of a record that a schema of it is missing; None where none ever is."""
    return decoder.lacks if isinstance(decoder, WireDecoder) and decoder.has_registry else None


async def some_ready(
    records: Sequence[Record], decoder: Reads[Transaction] | Reads[Label], inputs: Inputs
) -> AsyncIterator[Sequence[Record]]:
    """The records in runs that can be read, their schemas fetched.

    Raises:
        Unavailable: a schema could not be fetched.
    """
    lacks = lacking(decoder)
    if lacks is None:
        yield records
        return
    for run in batched(records, AT_ONCE):
        if sum(map(lacks, run)):  # every one is asked, so that all are fetched together
            await inputs.fetched()
        yield run
