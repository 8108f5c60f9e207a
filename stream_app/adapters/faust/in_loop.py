"""Faust's consumer in the worker's own loop.

Faust gives its consumer a thread with a loop of its own, and each call goes through a queue to it and back. In a worker that computes, the two
threads wait for each other's turn at the interpreter: measured, a fifth of what it scores a second.

`tests/unit/adapters/test_faust_pins.py` pins what is replaced here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread


class ConsumerInLoop(AIOKafkaConsumerThread):  # type: ignore[misc]
    """Faust's consumer "thread" as a service of the loop that makes it: started, called and stopped there."""

    def __init__(self, consumer: Any, loop: Any, beacon: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, beacon=beacon)

    async def start(self) -> None:
        """Start as any service does."""
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        """Stop what the thread would stop as it ends."""
        if not self._stopped.is_set():
            self._stopped.set()
            await self._shutdown_thread()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call it here."""
        result = fun(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result
