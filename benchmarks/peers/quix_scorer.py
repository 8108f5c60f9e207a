"""The peer in Quix Streams: state of card and terminal in RocksDB with changelogs, regrouped by terminal, at least once (its default).

Runs in an environment of its own, of quix-requirements.lock.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from quixstreams import Application, State

from benchmarks.peers.progress import Progress

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
WINDOWS_MS = ((HOUR_MS, 300_000), (DAY_MS, HOUR_MS), (7 * DAY_MS, 6 * HOUR_MS), (30 * DAY_MS, DAY_MS))
"""Length and hop."""

type Tile = list[int]
"""Number, count of payments, cents."""


def counted(state: State, payment: Mapping[str, Any]) -> list[float]:
    """Count the payment; count and mean amount over every window."""
    windows: list[list[Tile]] = state.get("tiles") or [[] for _ in WINDOWS_MS]
    cents, now_ms = round(payment["amount"] * 100), payment["event_time"]
    features: list[float] = []
    for n, (length, hop) in enumerate(WINDOWS_MS):
        tile, span = now_ms // hop, length // hop
        newest = max([tile, *(t for t, *_ in windows[n][-1:])])
        held = [t for t in windows[n] if t[0] > newest - span]
        if tile > newest - span:
            _add(held, tile, cents)
        windows[n] = held
        within = [t for t in held if tile - span < t[0] <= tile]
        count, total = sum(t[1] for t in within), sum(t[2] for t in within)
        features += (count, total / (100 * count) if count else 0.0)
    state.set("tiles", windows)
    return features


def _add(tiles: list[Tile], tile: int, cents: int) -> None:
    """Into a list of tiles, oldest first; payments are nearly in order."""
    at = len(tiles)
    while at and tiles[at - 1][0] >= tile:
        at -= 1
    if at < len(tiles) and tiles[at][0] == tile:
        tiles[at][1] += 1
        tiles[at][2] += cents
    else:
        tiles.insert(at, [tile, 1, cents])


def main() -> None:
    """Run until told to end."""
    given, progress = os.environ, Progress()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(given["PEER_MODEL"], options, providers=["CPUExecutionProvider"])
    threshold = float(given["PEER_THRESHOLD"])
    app = Application(
        broker_address=given["PEER_BROKERS"],
        consumer_group=given["PEER_GROUP"],
        state_dir=given["PEER_STATE"],
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        loglevel="WARNING",
    )

    def of_card(payment: dict[str, Any], state: State) -> dict[str, Any]:
        wanted = ("transaction_id", "card_id", "terminal_id", "event_time", "amount")
        return {**{name: payment[name] for name in wanted}, "card": counted(state, payment)}

    def scored(payment: dict[str, Any], state: State) -> dict[str, Any]:
        amount = round(payment["amount"] * 100) / 100
        vector = np.array([[amount, *payment["card"], *counted(state, payment)]], dtype=np.float32)
        score = float(session.run(["probabilities"], {"features": vector})[0][0, 1])
        progress.scored()
        return {"transaction_id": payment["transaction_id"], "card_id": payment["card_id"], "score": score}

    payments = app.dataframe(app.topic(given["PEER_TRANSACTIONS"], value_deserializer="json"))
    payments = payments.apply(of_card, stateful=True).group_by("terminal_id").apply(scored, stateful=True)
    payments = payments.filter(lambda alert: alert["score"] >= threshold)
    payments.to_topic(app.topic(given["PEER_ALERTS"], key_serializer="str", value_serializer="json"), key=lambda alert: alert["card_id"])
    app.run()


if __name__ == "__main__":
    main()
