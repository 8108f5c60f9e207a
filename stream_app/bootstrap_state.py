"""What the state of a deployment keeps, read for who does not score: a promotion."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stream_app.adapters.redis.state_reader import RedisStateReader
from stream_app.features.kept_tiles import KeptTiles, read_kept
from stream_app.scoring.positions import Cursor
from stream_app.settings import Settings


def state_kept(settings: Settings) -> Sequence[KeptTiles | None]:
    """Which tiles each partition keeps and since when, asked of Redis now.

    Returns:
        Of each partition of the settings' consumer group; None of one that does not say so in words of this version. Empty where no worker has written state yet.

    Raises:
        Unavailable: if Redis does not answer, or is not configured as it wants.
    """
    return asyncio.run(_read(settings))


async def _read(settings: Settings) -> Sequence[KeptTiles | None]:
    reader = RedisStateReader(settings.redis_url, settings.consumer_group)
    try:
        cursors = await reader.cursors()
    finally:
        await reader.close()
    if not any(cursors):
        return []
    return [read_kept(cursor.kept) or None if isinstance(cursor, Cursor) else None for cursor in cursors]
