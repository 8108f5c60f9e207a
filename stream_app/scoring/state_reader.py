"""What cards and terminals did, to be looked at and never changed. Adapters implement this for the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from stream_app.scoring.ports import Ids, WorkingSet


@dataclass(frozen=True, slots=True)
class StateSnapshot:
    """State as it was at one moment.

    Attributes:
        work: private copies of the rows: what is counted in them stays here.
        holders: for each card, the partition that holds it; None where none does.
        parts: for each entity and id, how many partitions know it.
    """

    work: WorkingSet
    holders: tuple[int | None, ...]
    parts: tuple[tuple[int, ...], ...]


class StateReader(Protocol):
    """Reads state as the workers see it."""

    async def read(self, ids: Ids, at_ms: int | None = None) -> StateSnapshot:
        """The state of these cards, terminals …, whichever partitions hold them, as of one moment.

        Args:
            ids: distinct, of each entity.
            at_ms: event time of the payment that it is read for: `degraded` tells where windows are not full then.

        Raises:
            Unavailable: if the store does not answer.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...
