"""The least rights that docs/rights.md tells, on the real Redis: enough for the component, and no more."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from stream_app.adapters.redis.state_reader import RedisStateReader
from stream_app.scoring.state_reader import StateQuery
from tests.conftest import ROOT
from tests.integration.test_history import bank, transaction
from tests.named_ids import ids_of
from tests.servers import Servers

GROUP = "rights"


def rules(user: str) -> list[str]:
    """As the document has them, for the group of this test."""
    told = re.search(rf"^\| {user}.*\| `(.*)` \|$", ROOT.joinpath("docs", "rights.md").read_text(), re.MULTILINE)
    assert told
    return told[1].replace("GROUP", GROUP).split()


@asynccontextmanager
async def user_of(admin: Any, url: str, name: str) -> AsyncIterator[str]:
    """URL of a user with the rules of the document; removed at the end."""
    await admin.execute_command("ACL", "SETUSER", name, "reset", "on", ">secret", *rules(name))
    at = urlsplit(url)
    try:
        yield f"redis://{name}:secret@{at.hostname}:{at.port}{at.path}"
    finally:
        await admin.execute_command("ACL", "DELUSER", name)


def test_the_rights_of_the_document_are_enough_and_no_more(stack: Servers) -> None:
    """A worker takes over, counts, begins anew and sweeps; the API reads; neither may empty Redis, nor the API write."""

    async def whole() -> None:
        admin: Any = Redis.from_url(stack.redis)
        async with user_of(admin, stack.redis, "worker") as worker, user_of(admin, stack.redis, "API") as api:
            reader = RedisStateReader(api, GROUP)
            async with bank(worker, GROUP) as there:
                await there.count(0, [transaction("T1", "C1", "M1", 0)])
                state, cursor = there.states[0]
                await state.begin(cursor)
                await state.sweep(0)
                await there.count(0, [transaction("T2", "C1", "M1", 1)])
                assert (await reader.read([StateQuery(ids_of(["C1"], ["M1"], []))])).holders == (0,)
            await reader.close()
            for url, forbidden in ((worker, ("FLUSHALL",)), (worker, ("GET", "other")), (api, ("SET", f"{{{GROUP}:0}}cursor", "x"))):
                client: Any = Redis.from_url(url)
                with pytest.raises(NoPermissionError):
                    await client.execute_command(*forbidden)
                await client.aclose()
        await admin.aclose()

    asyncio.run(whole())
