"""What Kafka's client raises, as an error of ours: the one mapping for whatever reads topics or asks the brokers.

Two things must not be taken for each other: a Kafka that does not answer, which is asked again, and records that came and cannot be unpacked,
which would come again.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError, UnsupportedCodecError

from stream_app.adapters.kafka.refusals import refusal
from stream_app.errors import FraudstreamError, Unavailable, UnpackError

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""By the number that a batch of records has in its attributes."""
INSTALL = "pip install --force-reinstall cramjam lz4 zstandard"
"""The packages of all codecs but gzip. They have no needs of their own: nothing else moves, whether one is missing or broken."""
_CODEC_UNKNOWN_YET = -1
_LONGEST_WHY = 200
_CHECK = "Check FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS and the brokers."


@contextmanager
def answering(remedy: str = _CHECK, right: str = "READ") -> Iterator[None]:
    """Around all that waits for Kafka.

    Args:
        remedy: what to do where it does not answer, a sentence.
        right: what is asked of topics, by Kafka's word for it.

    Raises:
        UnpackError: if records came that cannot be unpacked.
        Refused: if a right is missing.
        NoAccess: if login, protocol or certificate does not fit.
        Unavailable: if Kafka does not answer.
    """
    try:
        yield
    except FraudstreamError:
        raise
    except Exception as error:
        if (unpacking := unpack_error(error)) is not None:
            raise unpacking from None
        if isinstance(error, (KafkaError, OSError, TimeoutError)):
            if (refused := refusal(error, right)) is not None:
                raise refused from None
            raise no_answer(error, remedy) from None
        raise


def no_answer(error: BaseException, remedy: str = _CHECK) -> Unavailable:
    """Kafka does not answer; `error` is how that was seen, `remedy` a sentence."""
    return Unavailable(f"Kafka did not answer ({str(error) or type(error).__name__}). {remedy}")


def unpack_error(error: BaseException) -> UnpackError | None:
    """The error of ours, if this one was raised while records were unpacked, whatever its type: codecs raise their own."""
    batch = _unpacked_when(error)
    return None if batch is None else UnpackError(_text(batch, error))


@dataclass(frozen=True, slots=True)
class _DamagedBatch:
    """A batch of records that could not be unpacked. `codec` is its number; below 0 where its head could not be read either."""

    topic: str
    partition: int
    offset: int
    codec: int


def _unpacked_when(error: BaseException) -> _DamagedBatch | None:
    """Which batch aiokafka was about to unpack. Its errors do not say, so the frame that was left by the error is looked at; pinned by a test."""
    left = (frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code is PartitionRecords._unpack_records.__code__)  # noqa: SLF001
    frame = next(left, None)
    if frame is None:
        return None
    at, reading, batch = frame.f_locals["tp"], frame.f_locals["self"].next_fetch_offset, frame.f_locals.get("next_batch")
    if batch is None or batch.next_offset <= reading:  # the one before, which was read
        return _DamagedBatch(at.topic, at.partition, reading, _CODEC_UNKNOWN_YET)
    return _DamagedBatch(at.topic, at.partition, max(reading, batch.base_offset), batch.compression_type)


def _text(batch: _DamagedBatch, error: BaseException) -> str:
    where = f"Topic {batch.topic!r}, partition {batch.partition}, offset {batch.offset}"
    known = 0 <= batch.codec < len(CODECS)
    if known and isinstance(error, UnsupportedCodecError):
        return f"{where}: the records are compressed with {CODECS[batch.codec]}, which is not installed here. Install it: {INSTALL}"
    if batch.codec >= len(CODECS):
        return (
            f"{where}: the records are compressed with codec {batch.codec}, which this version does not know. Let the producer, and "
            f"`compression.type` of the topic, use one of {', '.join(CODECS[1:])}; or install a newer version."
        )
    codec = f" ({CODECS[batch.codec]})" if known else ""
    why = " ".join(str(error).split())[:_LONGEST_WHY] or type(error).__name__
    tool = f"kafka-console-consumer.sh --topic {batch.topic} --partition {batch.partition} --offset {batch.offset} --max-messages 1"
    return (
        f"{where}: the records{codec} cannot be unpacked: {why}. Read them with Kafka's own {tool}: if that fails too, the brokers' copy is "
        f"damaged: bring it back from a replica. If not, install the codecs again: {INSTALL}"
    )
