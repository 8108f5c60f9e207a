"""Whether what producers and brokers compress can be unpacked here: each codec is tried, and the newest records of each topic are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiokafka import codec

from stream_app.adapters.kafka_errors import INSTALL
from stream_app.adapters.kafka_log import KafkaLog
from stream_app.adapters.kafka_options import client_options
from stream_app.adapters.topics import partition_counts
from stream_app.errors import UnpackError
from stream_app.settings import Settings

_TRIED = b"a payment, and a payment, and a payment"
_BOTH_WAYS: Mapping[str, tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]] = {
    "gzip": (codec.gzip_encode, codec.gzip_decode),
    "snappy": (codec.snappy_encode, codec.snappy_decode),
    "lz4": (codec.lz4_encode, codec.lz4_decode),
    "zstd": (codec.zstd_encode, codec.zstd_decode),
}


async def readable(settings: Settings) -> str:
    """What can be read here.

    Raises:
        UnpackError: if the newest records of a topic cannot be unpacked, or a codec of Kafka does not work; one line with the remedy.
        Unavailable: if Kafka does not answer.
    """
    log = KafkaLog(client_options(settings), settings.consumer_group)
    counts = await partition_counts(client_options(settings), settings.topics())
    unread: dict[str, UnpackError] = {}
    for topic in (name for name in settings.topics() if name in counts):
        try:
            await _read_newest(log, topic, counts[topic])
        except UnpackError as error:
            unread[topic] = error
    if unread:
        first, *others = unread
        raise UnpackError(f"{unread[first]}{f' (also: topics {", ".join(others)})' if others else ''}")
    if lacking := [name for name in _BOTH_WAYS if not _works(name)]:
        raise UnpackError(
            f"{', '.join(lacking)} cannot be unpacked here; any producer or topic may come to use them. Install them: {INSTALL}"
        )
    return f"{', '.join(_BOTH_WAYS)} work; the newest records of {len(counts)} topics can be read"


async def _read_newest(log: KafkaLog, topic: str, count: int) -> None:
    bounds = await log.bounds([(topic, number) for number in range(count)])
    await log.read({place: end - 1 for place, (begin, end) in bounds.items() if begin < end})


def _works(name: str) -> bool:
    pack, unpack = _BOTH_WAYS[name]
    try:
        return unpack(pack(_TRIED)) == _TRIED
    except Exception:  # noqa: BLE001 - whatever a broken installation raises
        return False
