"""Running what reads from Kafka to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


def result_of[T](coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns; it may be large.

    In Python up to 3.12.1 `asyncio.run` puts the result of its task into words, twice, and throws them away (CPython issue 112559): minutes
    for some hundred thousand decisions. So the task returns nothing.
    """
    found: list[T] = []

    async def kept() -> None:
        found.append(await coroutine)

    asyncio.run(kept())
    return found[0]
