"""A takeover that lasts longer than Faust waits for the positions of its partitions."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import faust
import pytest
from faust.tables.recovery import Recovery
from faust.types import TP

from stream_app.adapters.faust import batches as faust_batches
from stream_app.messages.records import Place
from tests.waiting import DEADLINE_S

TRANSACTIONS = TP("transactions", 0)


class SlowFlow:
    """Takes over when it is let, and seeks."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.sought: list[Place] = []
        self.given_up = 0

    async def assign(self, assigned: set[Place], seek: Any) -> dict[Place, int]:
        """See `batches.PartitionFlow`."""
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        await seek(dict.fromkeys(assigned, 7))
        return dict.fromkeys(assigned, 7)


def test_a_takeover_that_takes_longer_than_faust_waits_goes_on_and_seeks_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust would take the worker for stopped after its request timeout; the next assignment takes the place of one that is under way."""
    waits = " ".join(inspect.getsource(Recovery._resume_streams).split())
    assert "consumer.perform_seek(), timeout=self.app.conf.broker_request_timeout" in waits
    assert faust.App("pins").conf.broker_request_timeout > faust_batches._SEEK_WITHIN_S
    monkeypatch.setattr(faust_batches, "_SEEK_WITHIN_S", 0.01)

    async def body() -> None:
        consumer: Any = object.__new__(faust_batches.BatchConsumer)
        flow = SlowFlow()
        consumer.flow, consumer._late, consumer.assignment = flow, None, lambda: {TRANSACTIONS}
        sought = asyncio.Event()

        async def seek_to(positions: Any) -> None:
            flow.sought += positions
            sought.set()

        consumer.seek_to = seek_to
        assert await consumer.seek_to_committed() == {}
        assert await consumer.seek_to_committed() == {}
        assert (flow.given_up, flow.sought) == (1, [])
        flow.let.set()
        await asyncio.wait_for(sought.wait(), DEADLINE_S)
        assert flow.sought == [TRANSACTIONS]
        monkeypatch.setattr(faust_batches, "_SEEK_WITHIN_S", DEADLINE_S)
        assert await consumer.seek_to_committed() == {TRANSACTIONS: 7}

    asyncio.run(body())
