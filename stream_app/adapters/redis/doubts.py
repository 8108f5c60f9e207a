"""What of the state could not be read, and the words of `degraded` for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from stream_app.scoring.degraded import being_rebuilt, lacking, of_later_version


@dataclass(slots=True)
class Unread:
    """What could not be read for a micro-batch.

    Attributes:
        damaged: why, by partition of another worker.
        newer: partitions of which a later version wrote a value or the cursor.
    """

    damaged: dict[int, str] = field(default_factory=dict)
    newer: set[int] = field(default_factory=set)

    def doubts(self, unfinished: Collection[int], without: Collection[int] = ()) -> str | None:
        """Why sums over all partitions are not whole; None where they are.

        Args:
            unfinished: partitions that are not there, or not rebuilt yet.
            without: partitions that lack an entity that is kept here.
        """
        rebuilt = (self.damaged.keys() | set(unfinished)) - self.newer
        why = [being_rebuilt(rebuilt)] if rebuilt else []
        why += [lacking(some)] if (some := set(without) - rebuilt - self.newer) else []
        why += [of_later_version(self.newer)] if self.newer else []
        return "; ".join(why) or None
