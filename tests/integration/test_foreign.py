"""The foreign client by itself: what other tests say of a producer that is not ours stands on it."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.kafka import make_topic, read
from tests.foreign import CODECS, Client, Raw
from tests.servers import Servers
from tests.stored import Stored, batches


@pytest.mark.parametrize("codec", ["none", *CODECS])
def test_a_foreign_record_is_stored_byte_for_byte_in_its_codec(stack: Servers, foreign: Client, unique: str, codec: str) -> None:
    """Key, value, headers, time and partition are the caller's; the records of a partition are one batch."""
    topic = f"foreign-{unique}"
    asyncio.run(make_topic(stack.kafka, topic, 2, {"message.timestamp.type": "CreateTime"}))
    headers = [("kind", b"\xff"), ("kind", None)]
    records = [Raw(b"v" * 500, b"k", headers=headers, timestamp_ms=1_700_000_000_000 + i) for i in range(20)]
    offsets = foreign.send(stack.kafka, topic, [Raw(None, None, partition=1), *records], codec)
    assert offsets == [0, *range(20)]
    kept = asyncio.run(read(stack.kafka, topic, 20))
    assert [(r.offset, r.key, r.value, list(r.headers), r.timestamp) for r in kept] == [
        (i, r.key, r.value, headers, r.timestamp_ms) for i, r in enumerate(records)
    ]
    assert asyncio.run(batches(stack.kafka, topic)) == [Stored(0, codec, 20)]
