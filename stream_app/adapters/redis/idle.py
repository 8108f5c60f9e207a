"""Which packed values contribute nothing any more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.adapters.redis.namespace import prefix_of
from stream_app.errors import StateError
from stream_app.features.packing import Packer, is_newer
from stream_app.features.plan import NEWEST, catalogue_plan


def idle_keys(names: Sequence[str], values: Sequence[bytes | None], before_ms: int, partition: int) -> list[str]:
    """Those whose newest payment or label is of a transaction older than `before_ms`; what a later version wrote is none of them.

    Args:
        names: keys below the partition's prefix; those that are no card, terminal … are passed over.
        values: theirs.
        before_ms: event time.
        partition: whose they are.

    Raises:
        StateError: if a value cannot be read.
    """
    found: list[str] = []
    for entity in catalogue_plan().entities:
        prefix = prefix_of(entity.entity)
        chosen = [(n, v) for n, v in zip(names, values, strict=True) if n.startswith(prefix) and v is not None and not is_newer(v)]
        if not chosen:
            continue
        ids, packed = zip(*chosen, strict=True)
        rows = np.empty((len(ids), entity.layout.width), dtype=np.int64)
        try:
            Packer(entity.layout).unpack(packed, ids, rows, np.arange(len(ids)))
        except StateError as error:
            raise StateError(str(error), partition) from None
        found += [ids[n] for n in np.flatnonzero(rows[:, NEWEST] < before_ms)]
    return found
