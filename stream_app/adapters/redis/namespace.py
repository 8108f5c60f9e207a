"""The keys of one partition in Redis, and the notes that lie under them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from stream_app.features.entities import KINDS, Entity
from stream_app.scoring.outcomes import KEPT_S, NoteKey, Notes

CURSOR, DAMAGED = "cursor", "damaged"
"""What a partition's record of its position, and a reader's mark, are called in its space."""


def space_of(group: str, partition: int) -> str:
    """What the keys of a partition begin with; in braces, so that a cluster has them on one server."""
    return f"{{{group}:{partition}}}"


def prefix_of(entity: Entity) -> str:
    """What the keys of an entity begin with, behind that."""
    return f"{KINDS[entity].key}:"


class Namespace:
    """The keys of one partition, and of the parts that other partitions have."""

    def __init__(self, group: str, partition: int, partitions: int) -> None:
        self.partition = partition
        self.own = space_of(group, partition)
        self.cursor = self.own + CURSOR
        self.damaged = self.own + DAMAGED
        self.all = {p: space_of(group, p) for p in range(partitions)}

    @property
    def pattern(self) -> str:
        """Matches every key of the partition."""
        return re.sub(r"([*?\[\]\\])", r"\\\1", self.own) + "*"

    def notes_wanted(self, days: Mapping[int, Sequence[str]]) -> list[tuple[Any, ...]]:
        """Commands that read these notes, one for each day."""
        return [("HMGET", self._day(day), *names) for day, names in days.items()]

    def notes_written(self, notes: Notes) -> list[tuple[Any, ...]]:
        """Commands that write these notes; each day is kept for the label horizon from now on."""
        commands: list[tuple[Any, ...]] = []
        for day, names in by_day(notes).items():
            pairs = [part for name in names for part in (name, notes[day, name])]
            commands += [("HSET", self._day(day), *pairs), ("EXPIRE", self._day(day), KEPT_S)]
        return commands

    def _day(self, day: int) -> str:
        return f"{self.own}n:{day}"


def by_day(noted: Collection[NoteKey]) -> dict[int, list[str]]:
    """The names of notes, by their day."""
    days: dict[int, list[str]] = {}
    for day, name in noted:
        days.setdefault(day, []).append(name)
    return days


def found_notes(days: Mapping[int, Sequence[str]], answers: Iterator[Sequence[bytes | None]]) -> dict[NoteKey, bytes]:
    """The notes that there are, from the answers to `Namespace.notes_wanted`."""
    found: dict[NoteKey, bytes] = {}
    for day, names in days.items():
        found.update(((day, name), value) for name, value in zip(names, next(answers), strict=True) if value is not None)
    return found
