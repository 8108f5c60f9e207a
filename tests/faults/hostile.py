"""Records as any producer may send them and a broker takes them, each lot as one batch: they stop nobody, and move nobody's time."""

from __future__ import annotations

import time
from collections.abc import Sequence

from stream_app.features.aggregations import DAY_MS
from tests.faults.ledger import KINDS, Kind, Record
from tests.faults.scene import PARTITIONS, Scene
from tests.faults.sender import CHUNK

MB = 2**20
SHARES = (0.01, 0.1, 0.5, 1.0)

type Lot = tuple[str, Sequence[tuple[bytes | None, bytes | None]]]
"""How it is compressed; keys and values."""
KEYS: tuple[Lot, ...] = (
    ("gzip", ((b"k" * 5 * MB, b"{}"),)),
    ("zstd", ((b"k" * 3 * MB, b"v" * 3 * MB), (b"", b""))),
    ("none", ((b"k" * 400_000, b"v" * 400_000), (None, b"{}"), (None, b""))),
)
BYTES: tuple[Lot, ...] = (
    ("gzip", ((b"card-1", bytes(2 * MB)),) * 30),
    ("lz4", ((b"card-1", bytes(2 * MB)),) * 100),
    ("zstd", ((b"card-1", bytes(2 * MB)),) * 200),
)


async def _sent(scene: Scene, lots: Sequence[Lot]) -> None:
    """All lots on both topics; workers must decide what comes behind them, and none may end."""
    async with scene.nobody_ends():
        for kind in KINDS:
            for codec, rows in lots:
                records = [Record(kind, key, value, None) for key, value in rows]
                await scene.sender.send_batch((kind, scene.random.randrange(PARTITIONS)), records, codec)
        await scene.recovered("hostile records")


async def hostile_keys(scene: Scene) -> None:
    """Keys of megabytes, which gzip makes small, keys and values at the topic's limit, none at all."""
    await _sent(scene, KEYS)


async def hostile_bytes(scene: Scene) -> None:
    """Batches of some hundred kilobytes that unfold to hundreds of megabytes."""
    await _sent(scene, BYTES)


async def hostile_rates(scene: Scene) -> None:
    """One record in a hundred cannot be read, then one in ten, in two, and every one, beside the load."""
    async with scene.nobody_ends():
        for share in SHARES:
            for _ in range(5):
                await scene.sender.send(scene.traffic.spoilt(CHUNK, share))
            await scene.recovered(f"a share of {share} that cannot be read")


async def hostile_times(scene: Scene) -> None:
    """Payments and labels dated hours and months ahead, by their producer's clock too; and in seconds. Topics take any time, as others make them."""
    topics = (scene.settings.transactions_topic, scene.settings.labels_topic)
    await scene.ground.take_any_time(topics)
    now_ms = int(time.time() * 1000)
    for ahead_ms in (2 * 3_600_000, 129 * DAY_MS):
        for kind in KINDS:
            card = scene.random.choice(scene.traffic.cards)
            payment = scene.traffic.dated(card, now_ms + ahead_ms, kind)
            place: tuple[Kind, int] = (kind, scene.sender.partition_of(card))
            await scene.sender.send_batch(place, [payment], "none", now_ms + ahead_ms)
            await scene.sender.send_batch(place, [scene.traffic.dated(card, now_ms // 1000, kind)], "none")
    await scene.recovered("records dated otherwise")
