"""Record batches made byte by byte, as any producer may make them; and a way to have a broker take one as it is."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import lz4.frame
import zstandard
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record._crc32c import crc as crc32c
from cramjam import snappy

_HEADER = struct.Struct(">qiibIhiqqqhii")

type Header = tuple[bytes, bytes | None]
type Row = tuple[int, bytes | None, bytes | None, list[Header]]
"""Timestamp delta, key, value, headers."""


def varint(number: int) -> bytes:
    """In zigzag, as Kafka writes it."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def sized(content: bytes | None) -> bytes:
    """With its length before it."""
    return varint(-1) if content is None else varint(len(content)) + content


def record(offset: int, row: Row) -> bytes:
    """A record, as a broker keeps it."""
    delta, key, value, headers = row
    body = b"\0" + varint(delta) + varint(offset) + sized(key) + sized(value) + varint(len(headers))
    return sized(body + b"".join(sized(name) + sized(content) for name, content in headers))


def _xerial(content: bytes) -> bytes:
    blocks = [bytes(snappy.compress_raw(content[i : i + 1000])) for i in range(0, len(content), 1000)]
    return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush()


def _wide(content: bytes) -> bytes:
    """A frame of zstd with a window of 128 MB, that does not say how much it holds."""
    packer = zstandard.ZstdCompressor(compression_params=zstandard.ZstdCompressionParameters(window_log=27)).compressobj()
    return packer.compress(content) + packer.flush()


FOLDED: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (0, bytes),
    "gzip": (1, _gzip),
    "gzip in two members": (1, lambda c: _gzip(c[: len(c) // 2]) + _gzip(c[len(c) // 2 :])),
    "snappy": (2, lambda c: bytes(snappy.compress_raw(c))),
    "snappy of Java": (2, _xerial),
    "lz4": (3, lz4.frame.compress),
    "lz4 in two frames": (3, lambda c: lz4.frame.compress(c[: len(c) // 2]) + lz4.frame.compress(c[len(c) // 2 :])),
    "zstd": (4, zstandard.compress),
    "zstd in two frames": (4, lambda c: zstandard.compress(c[: len(c) // 2]) + zstandard.compress(c[len(c) // 2 :])),
    "zstd with a window of 128 MB": (4, _wide),
}


def batch(folding: str, content: bytes, count: int, *, appended: bool = False, at_ms: int = 5_000) -> bytes:
    """A batch that begins at offset 100."""
    codec, fold = FOLDED[folding]
    return folded_as(codec, fold(content), count, appended=appended, at_ms=at_ms)


def folded_as(codec: int, folded: bytes, count: int, *, appended: bool = False, at_ms: int = 5_000) -> bytes:
    """A batch of what was folded, whatever it is."""
    attributes = codec | (0x08 if appended else 0)
    head = _HEADER.pack(100, _HEADER.size - 12 + len(folded), 1, 2, 0, attributes, count - 1, at_ms, at_ms + 4_000, -1, -1, -1, count)
    checked = head[21:] + folded
    return head[:17] + struct.pack(">I", crc32c(checked)) + checked


def batch_of(folding: str, rows: list[Row], *, appended: bool = False, at_ms: int = 5_000) -> bytes:
    """A batch of these records."""
    return batch(folding, b"".join(record(n, row) for n, row in enumerate(rows)), len(rows), appended=appended, at_ms=at_ms)


async def send_batch(servers: str, topic: str, content: bytes) -> int:
    """Have partition 0 take a batch as it is, but for its first offset, which is returned."""
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        await client.add_topic(topic)
        leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
        request = ProduceRequest(required_acks=-1, timeout=10_000, topics=[(topic, [(0, bytes(8) + content[8:])])], transactional_id=None)
        answer = await client.send(leader, request)
        ((_, ((_, code, offset, *_),)),) = answer.topics
        if code:
            raise for_code(code)
        return int(offset)
    finally:
        await client.close()
