"""The one place where consumers are made: they read within bounds. Faust makes the worker's, and reads by the same."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer

from stream_app.adapters.kafka.record_batches import read_within_bounds

COMMITTED = "read_committed"
"""The isolation level of whoever reads inputs."""
MOST_FETCHED_BYTES = 16 * 2**20
"""Of one answer of a broker, for all partitions together; a batch that is larger comes whole."""


def new_consumer(client_options: dict[str, Any], *topics: str, committed: bool = False, **options: Any) -> AIOKafkaConsumer:
    """A consumer that commits nothing by itself, not started yet.

    Args:
        client_options: how to reach the brokers.
        topics: to subscribe to, for a member of a group.
        committed: whether a transaction's records are read only once it is committed, and nothing from the first open one on: so inputs are
            read. Outputs are not: what stands there stands, whoever has a transaction open beside it.
        options: more of aiokafka's.
    """
    read_within_bounds()
    level = COMMITTED if committed else "read_uncommitted"
    return AIOKafkaConsumer(
        *topics, **client_options, enable_auto_commit=False, fetch_max_bytes=MOST_FETCHED_BYTES, isolation_level=level, **options
    )
