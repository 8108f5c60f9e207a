"""Whether a producer's partitioner is the one we take it for: told from where the newest records stand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from stream_app.errors import TopologyError

type Partitioner = Callable[[bytes, int], int]
"""The partition of a key among so many."""

ENOUGH_KEYS = 20
"""Fewer distinct keys than this tell nothing."""
_NEARLY_ALL = 0.99


def verified(sample: Sequence[tuple[bytes, int]], counts: Collection[int], chosen: str, known: Mapping[str, Partitioner]) -> bool:
    """Whether the sample shows that the chosen partitioner is the producers'; False where it cannot tell.

    Args:
        sample: distinct keys and the partitions that they were found in.
        counts: how many partitions there are, and were when the oldest of the sample was published.
        chosen: name of the partitioner.
        known: all that there are.

    Raises:
        TopologyError: if the sample shows another.
    """
    if len(sample) < ENOUGH_KEYS:
        return False
    at_home = {name: sum(_explained(key, place, counts, of) for key, place in sample) / len(sample) for name, of in known.items()}
    if at_home[chosen] < _NEARLY_ALL:
        fitting = [name for name, share in at_home.items() if share >= _NEARLY_ALL]
        remedy = (
            f"Give `--partitioner {fitting[0]}`, which fits."
            if fitting
            else f"None of {', '.join(known)} fits: have all producers use one of these, and wait until each card was seen where it belongs."
        )
        raise TopologyError(
            f"The partitioner is not {chosen}: of the {len(sample)} newest keys {1 - at_home[chosen]:.0%} stand in another partition. {remedy}"
        )
    return all(share < _NEARLY_ALL for name, share in at_home.items() if name != chosen)


def _explained(key: bytes, place: int, counts: Collection[int], of: Partitioner) -> bool:
    return any(of(key, count) == place for count in counts)
