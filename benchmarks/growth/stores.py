"""What Redis and Kafka of a benchmark hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from stream_app.adapters.redis.namespace import prefix_of
from stream_app.features.entities import Entity
from stream_app.features.plan import catalogue_plan

_SAMPLE = 2_000


def keys_read(url: str) -> int:
    """Keys that were asked for since the server started."""
    with redis.Redis.from_url(url) as client:
        told: Any = client.info("stats")
    return int(told["keyspace_hits"] + told["keyspace_misses"])


def redis_keys(url: str, group: str) -> dict[Entity, tuple[int, int]]:
    """Of each entity of a consumer group: how many keys there are, and the bytes of one with its value, mean of a sample."""
    with redis.Redis.from_url(url) as client:
        return {entity.entity: _keys(client, f"{{{group}:*}}{prefix_of(entity.entity)}*") for entity in catalogue_plan().entities}


def _keys(client: redis.Redis, pattern: str) -> tuple[int, int]:
    keys = [*client.scan_iter(match=pattern, count=1000)]
    sizes = [int(client.memory_usage(key, samples=0) or 0) for key in keys[:: len(keys) // _SAMPLE + 1]]
    return len(keys), round(sum(sizes) / max(1, len(sizes)))


def kafka_bytes(folder: Path, topic: str) -> int:
    """Bytes of a topic's records in a broker's folder, as they lie there: compressed where the producer does."""
    return sum(file.stat().st_size for file in folder.rglob("*.log") if file.parent.name.rpartition("-")[0] == topic)
