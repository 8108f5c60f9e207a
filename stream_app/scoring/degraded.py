"""Why a decision rests on less than the whole state: the words of the field `degraded`. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

from stream_app.messages.event_time import day_of

NO_STATE = "no worker has written state yet"


def being_rebuilt(partitions: Iterable[int]) -> str:
    """The state of these partitions is not whole: lost, damaged or being rebuilt."""
    return f"the state of partition {_named(partitions)} is being rebuilt"


def of_later_version(partitions: Iterable[int]) -> str:
    """The state of these partitions was written by a later version: it cannot be read, or would lose tiles if it were written."""
    return f"a later version wrote state of partition {_named(partitions)}, which this one cannot go on with"


def lacking(partitions: Iterable[int]) -> str:
    """These partitions are held by workers that keep state of fewer entities."""
    return f"the state of partition {_named(partitions)} has not all entities of FRAUDSTREAM_ENTITIES yet"


def full_from(at_ms: int) -> str:
    """Windows lack what came before: they are full from this event time on."""
    return f"state was lost and the topics keep less than the windows need: they are full from {day_of(at_ms)}"


def _named(partitions: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(partitions)))
