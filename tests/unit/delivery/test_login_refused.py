"""A login that is refused: at a start it is the end, while a worker runs a new password may be on its way."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.delivery.retry import with_retries
from stream_app.errors import NoAccess


def test_a_login_that_is_refused_ends_a_start_and_is_tried_again_by_a_worker_that_runs() -> None:
    """The password is changed with the third time it is asked for."""
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise NoAccess("Redis refused the login.")
        return "well"

    with pytest.raises(NoAccess):
        asyncio.run(with_retries(ask, "Start", lambda: None, at_start=True))
    assert asked == 1
    assert asyncio.run(with_retries(ask, "Partition 0", lambda: None)) == "well"
