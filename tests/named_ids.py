"""What a round asks for, by the entities that most tests are about."""

from __future__ import annotations

from stream_app.features.entities import ENTITIES
from stream_app.scoring.ports import Ids


def ids_of(cards: list[str], terminals: list[str], devices: list[str]) -> Ids:
    """These, and nothing of any other entity."""
    assert ENTITIES[:3] == ("card", "terminal", "device")
    return (cards, terminals, devices, *([] for _ in ENTITIES[3:]))
