"""Servers that are there and cannot: full, frozen, with too few copies. Workers wait, none ends, and all goes on by itself afterwards."""

from __future__ import annotations

import asyncio

from tests.faults.scene import Scene

SHORTEST_S, LONGEST_S = 4.0, 15.0


def _a_while(scene: Scene) -> float:
    return scene.random.uniform(SHORTEST_S, LONGEST_S)


async def redis_full(scene: Scene) -> None:
    """Redis has no memory left and evicts nothing; then it has."""
    redis = scene.ground.redis
    async with scene.nobody_ends():
        await redis.config_set("maxmemory", "1")
        try:
            await scene.stands_still(_a_while(scene))
        finally:
            await redis.config_set("maxmemory", "0")
        await scene.recovered("Redis to have memory")


async def redis_unsaved(scene: Scene) -> None:
    """Redis cannot write its file, as on a full disk, and takes no writes; then it can."""
    async with scene.nobody_ends():
        async with scene.ground.redis_unsaved():
            await scene.stands_still(_a_while(scene))
        await scene.recovered("Redis to take writes")


async def redis_paused(scene: Scene) -> None:
    """Redis answers what is read, and writes wait."""
    redis = scene.ground.redis
    async with scene.nobody_ends():
        paused_s = _a_while(scene)
        await redis.client_pause(int(paused_s * 1000), all=False)
        await scene.stands_still(paused_s - 0.5)
        await scene.recovered("Redis' pause")


async def redis_frozen(scene: Scene) -> None:
    """Redis answers nothing, its connections stay."""
    async with scene.nobody_ends():
        async with scene.ground.frozen("redis"):
            await asyncio.sleep(_a_while(scene))
        await scene.recovered("Redis that stood still")


async def kafka_frozen(scene: Scene) -> None:
    """Kafka answers nothing, its connections stay."""
    async with scene.nobody_ends():
        async with scene.ground.frozen("kafka"):
            await scene.stands_still(_a_while(scene))
        await scene.recovered("Kafka that stood still")


async def kafka_disk_full(scene: Scene) -> None:
    """Kafka can write no more and ends; it is started again where there is room."""
    async with scene.nobody_ends():
        await scene.ground.fill_disk()
        await asyncio.sleep(scene.random.uniform(0, 5))
        await scene.ground.restart()
        await scene.recovered("Kafka's full disk")


async def below_min_insync(scene: Scene) -> None:
    """Fewer copies of the outputs are in step than must be: nothing can be published; then enough are."""
    inputs = {scene.settings.transactions_topic, scene.settings.labels_topic}
    outputs = [topic for topic in scene.settings.topics() if topic not in inputs]
    async with scene.nobody_ends():
        async with scene.ground.topic_config(outputs, min_insync_replicas="2"):
            await scene.stands_still(_a_while(scene))
        await scene.recovered("enough copies in step")


OUTAGES = {
    fault.__name__: fault
    for fault in (redis_full, redis_unsaved, kafka_frozen, redis_frozen, redis_paused, kafka_disk_full, below_min_insync)
}
