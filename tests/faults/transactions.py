"""Faults of producers that write in Kafka transactions: what they abort never happened, and what they leave open stops no payment."""

from __future__ import annotations

from dataclasses import replace

from tests.faults.ledger import Kind, Record
from tests.faults.scene import PARTITIONS, Scene, Stuck

TIMEOUT_MS = 15_000
"""After which the broker aborts a transaction that was left open; it looks every ten seconds."""


async def transaction_aborted(scene: Scene) -> None:
    """Payments of every partition in a transaction that is aborted, twice: beside each other, and compressed."""
    for codec in ("none", "zstd"):
        payments = [
            scene.traffic.touch(scene.random.choice(scene.traffic.cards), scene.random.choice(scene.traffic.terminals)) for _ in range(40)
        ]
        async with scene.sender.transaction(_by_partition(scene, payments), codec):
            pass


async def labels_left_open(scene: Scene) -> None:
    """A producer of labels dies within a transaction; payments that come meanwhile are decided before the broker ends it."""
    card, terminal = scene.traffic.cards[0], scene.traffic.terminals[0]
    payment = scene.traffic.touch(card, terminal)
    label = Record("labels", b"card-of-nobody", b"{}", None, gone=True)
    places: dict[tuple[Kind, int], list[Record]] = {("labels", n): [label] for n in range(PARTITIONS)}
    async with scene.sender.transaction(places, "none", timeout_ms=TIMEOUT_MS) as write:
        await scene.decided("what came before labels that are left open")  # so no other label waits, beside which payments go on
        await write([payment])
        await scene.decided("a payment beside labels that are left open")
        if await scene.sender.unmarked(places) != places.keys():
            raise Stuck("a payment waited for labels that were left open, until the broker ended their transaction")


def _by_partition(scene: Scene, records: list[Record]) -> dict[tuple[Kind, int], list[Record]]:
    found: dict[tuple[Kind, int], list[Record]] = {}
    for record in records:
        place: tuple[Kind, int] = (record.kind, scene.sender.partition_of((record.key or b"").decode()))
        found.setdefault(place, []).append(replace(record, message=None, gone=True))
    return found
