"""The one place where consumers are made: they read within bounds, outside any group unless they are Faust's."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer

from stream_app.adapters.record_batches import read_within_bounds

MOST_FETCHED_BYTES = 16 * 2**20
"""Of one answer of a broker, for all partitions together; a batch that is larger comes whole."""


def new_consumer(client_options: dict[str, Any], **options: Any) -> AIOKafkaConsumer:
    """A consumer that commits nothing, not started yet.

    Args:
        client_options: how to reach the brokers.
        options: more of aiokafka's.
    """
    read_within_bounds()
    return AIOKafkaConsumer(**client_options, enable_auto_commit=False, fetch_max_bytes=MOST_FETCHED_BYTES, **options)
