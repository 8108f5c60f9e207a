"""What cards and terminals did, to be looked at and never changed. Adapters implement this for the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stream_app.features.entities import KeptEntities
from stream_app.scoring.ports import Ids, WorkingSet


class StateQuery(NamedTuple):
    """What is asked for one payment, card or terminal.

    Attributes:
        ids: distinct, of each entity.
        at_ms: event time of the payment that they are read for: `degraded` tells where windows are not full then.
    """

    ids: Ids
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """State as it was at one moment, of each query in turn.

    Attributes:
        work: private copies of the rows, an id that two queries name twice: what is counted in them stays here, and is seen by no other query.
        holders: for each card, the partition that holds it; None where none does.
        parts: for each entity and id, how many partitions know it.
    """

    work: WorkingSet
    holders: tuple[int | None, ...]
    parts: tuple[tuple[int, ...], ...]


class StateReader(Protocol):
    """Reads state as the workers see it."""

    @property
    def entities(self) -> KeptEntities:
        """The entities that state is kept of, as for the workers: of others nothing need be asked."""

    async def read(self, asked: Sequence[StateQuery]) -> StateSnapshot:
        """The state of these cards, terminals …, whichever partitions hold them, as of one moment.

        Raises:
            Unavailable: if the store does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
