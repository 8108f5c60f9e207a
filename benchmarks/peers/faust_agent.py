"""The naive peer: a Faust agent that takes one payment at a time and keeps the windows as hashes in Redis.

A hash for each card and terminal; its fields are the counters of each window's tiles. One pipeline a payment counts it and reads both
hashes: one trip to Redis. Tiles that have left every window are deleted with the next payment's pipeline. Offsets are committed after the
agent is done with a payment; after a crash some payments are counted twice.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Mapping
from typing import Any

import faust
import numpy as np
import onnxruntime
from redis.asyncio import Redis

from benchmarks.peers.progress import Progress

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WINDOWS_MS = {"1h": (HOUR_MS, 300_000), "1d": (DAY_MS, HOUR_MS), "7d": (7 * DAY_MS, 6 * HOUR_MS), "30d": (30 * DAY_MS, DAY_MS)}
"""Length and hop by name."""
KEPT_S = 31 * 86_400


class Payment(faust.Record):  # type: ignore[misc]
    """A payment; other fields are passed over."""

    transaction_id: str
    card_id: str
    terminal_id: str
    event_time: int
    amount: float


class Windows:
    """Counters in Redis."""

    def __init__(self, url: str, prefix: str) -> None:
        self._redis, self._prefix = Redis.from_url(url, decode_responses=True), prefix
        self._stale: list[tuple[str, list[str]]] = []

    async def features(self, payment: Payment) -> list[float]:
        """Count the payment; count and mean amount of its card and its terminal over every window."""
        keys, cents = (
            (f"{self._prefix}:card:{payment.card_id}", f"{self._prefix}:terminal:{payment.terminal_id}"),
            round(payment.amount * 100),
        )
        tiles = {name: payment.event_time // hop for name, (_, hop) in WINDOWS_MS.items()}
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            for name, tile in tiles.items():
                pipeline.hincrby(key, f"{name}:{tile}:count", 1)
                pipeline.hincrby(key, f"{name}:{tile}:cents", cents)
            pipeline.expire(key, KEPT_S)
            pipeline.hgetall(key)
        stale, self._stale = self._stale, []
        for key, fields in stale:
            pipeline.hdel(key, *fields)
        answers = await pipeline.execute()
        each = 2 * len(tiles) + 2
        return [f for n, key in enumerate(keys) for f in self._of_hash(key, answers[each * (n + 1) - 1], tiles)]

    def _of_hash(self, key: str, counters: Mapping[str, str], now: Mapping[str, int]) -> list[float]:
        sums = {(name, kind): 0 for name in WINDOWS_MS for kind in ("count", "cents")}
        stale = []
        for field, value in counters.items():
            name, tile, kind = field.split(":")
            length, hop = WINDOWS_MS[name]
            if now[name] - length // hop < int(tile) <= now[name]:
                sums[name, kind] += int(value)
            elif int(tile) < now[name]:
                stale.append(field)
        if stale:
            self._stale.append((key, stale))
        return [f for name in WINDOWS_MS for f in (sums[name, "count"], sums[name, "cents"] / (100 * sums[name, "count"]))]


def application(given: Mapping[str, str]) -> faust.App:
    """The app: topics, the model, the agent."""
    app = faust.App(
        given["PEER_GROUP"],
        broker=f"kafka://{given['PEER_BROKERS']}",
        store="memory://",
        datadir=given["PEER_STATE"],
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
    )
    alerts = app.topic(given["PEER_ALERTS"], value_serializer="json")
    windows, progress, threshold = Windows(given["PEER_REDIS"], given["PEER_GROUP"]), Progress(), float(given["PEER_THRESHOLD"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(given["PEER_MODEL"], options, providers=["CPUExecutionProvider"])

    async def score(payments: AsyncIterable[Payment]) -> None:
        async for payment in payments:
            vector = np.array([[round(payment.amount * 100) / 100, *await windows.features(payment)]], dtype=np.float32)
            score = float(session.run(["probabilities"], {"features": vector})[0][0, 1])
            if score >= threshold:
                await alerts.send(
                    key=payment.card_id, value={"transaction_id": payment.transaction_id, "card_id": payment.card_id, "score": score}
                )
            progress.scored()

    app.agent(app.topic(given["PEER_TRANSACTIONS"], value_type=Payment))(score)
    return app


def main() -> None:
    """Run until told to end."""
    worker: Any = faust.Worker(application(os.environ), loglevel="WARNING", redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
