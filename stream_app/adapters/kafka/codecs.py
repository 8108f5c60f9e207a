"""Whether what producers and brokers compress can be unpacked here: each codec is tried, and the newest records of each topic are read."""

from __future__ import annotations

from aiokafka.errors import UnsupportedCodecError

from stream_app.adapters.kafka.errors import CODECS, INSTALL
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import partition_counts
from stream_app.adapters.kafka.unfolding import UnfoldingError, unfolding
from stream_app.errors import UnpackError
from stream_app.settings import Settings

_TRIED = b"a payment, and a payment, and a payment"
_FOLDED = {
    "gzip": "1f8b08000000000002034b542848accc4dcd2bd15148cc4b5148c4c10500527554a327000000",
    "snappy": "273861207061796d656e742c20616e64205e0f00",
    "lz4": "04224d186040821a000000ff0061207061796d656e742c20616e64200f000050796d656e7400000000",
    "zstd": "28b52ffd2027ad00007861207061796d656e742c20616e6420010002ce3a",
}
"""The same by each codec."""


async def readable(settings: Settings) -> str:
    """What can be read here.

    Raises:
        UnpackError: if the newest records of a topic cannot be unpacked, or a codec of Kafka does not work; one line with the remedy.
        Unavailable: if Kafka does not answer.
    """
    topics = settings.topics() + settings.rule_topics()
    log = KafkaLog(client_options(settings), settings.consumer_group, topics)
    counts = await partition_counts(client_options(settings), topics)
    unread: dict[str, UnpackError] = {}
    for topic in (name for name in topics if name in counts):
        try:
            await _read_newest(log, topic, counts[topic])
        except UnpackError as error:
            unread[topic] = error
    if unread:
        first, *others = unread
        raise UnpackError(f"{unread[first]}{f' (also: topics {", ".join(others)})' if others else ''}")
    if lacking := [name for name in _FOLDED if not _works(name)]:
        raise UnpackError(
            f"{', '.join(lacking)} cannot be unpacked here; any producer or topic may come to use them. Install them: {INSTALL}"
        )
    return f"{', '.join(_FOLDED)} work; the newest records of {len(counts)} topics can be read"


async def _read_newest(log: KafkaLog, topic: str, count: int) -> None:
    bounds = await log.bounds([(topic, number) for number in range(count)])
    async for _ in log.walk({place: end - 1 for place, (begin, end) in bounds.items() if begin < end}):
        pass


def _works(name: str) -> bool:
    try:
        return unfolding(CODECS.index(name), memoryview(bytes.fromhex(_FOLDED[name])))(len(_TRIED)) == _TRIED
    except (UnsupportedCodecError, UnfoldingError):
        return False
