"""The real API while its Redis hangs and more requests wait than it takes: alive, measured, not ready and why; and well again, the same process."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import psutil
import pytest

from stream_app.api.limits import MOST_AT_ONCE
from stream_app.local.stack import LocalStack
from tests.e2e.api_server import api_server
from tests.faults import model as rule
from tests.servers import Servers
from tests.waiting import DEADLINE_S, until
from tests.watch import model

pytestmark = pytest.mark.servers

CALLERS = 2 * MOST_AT_ONCE
AGAIN_AFTER_S = 0.1


class Caller:
    """Asks the API."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def page(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and text."""
        async with self._session.request(method, self._url + path) as answer:
            return answer.status, await answer.text()

    async def is_busy(self) -> bool:
        """Whether a request that needs no server is refused because of the others."""
        status, text = await self.page("/v1/model")
        return status == 503 and f"{MOST_AT_ONCE} requests are under way" in text

    async def ask_for_ever(self) -> None:
        """Ask for a card again and again, whatever the answer; where all is busy, after a moment."""
        while True:
            async with self._session.get(f"{self._url}/v1/cards/C1") as answer:
                busy = "busy" in await answer.text()
            await asyncio.sleep(AGAIN_AFTER_S if busy else 0)


@asynccontextmanager
async def callers(url: str) -> AsyncIterator[Caller]:
    """Twice as many callers as are answered at once, and one beside them."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(DEADLINE_S)) as session:
        caller = Caller(session, url)
        asking = [asyncio.create_task(caller.ask_for_ever()) for _ in range(CALLERS)]
        try:
            yield caller
        finally:
            for task in asking:
                task.cancel()
            ended = await asyncio.gather(*asking, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), "a caller was left without an answer"


async def outage(url: str) -> None:
    """Life and metrics as ever, from the first moment on; in the end all places are taken, and readiness says why."""
    deadline = time.monotonic() + DEADLINE_S
    async with callers(url) as caller:
        while True:
            assert time.monotonic() < deadline, "waited for all places to be taken and for readiness to end"
            busy_before = await caller.is_busy()
            assert await caller.page("/livez") == (200, "alive\n")
            assert await caller.page("/livez", "HEAD") == (200, "")
            status, metrics = await caller.page("/metrics")
            assert (status, "fraudstream_api_request_seconds_count{" in metrics) == (200, True)
            assert (await caller.page("/startupz"))[0] == 200
            status, said = await caller.page("/readyz")
            assert (status, said) == await caller.page("/health") or status == 200
            if busy_before and await caller.is_busy() and status != 200:
                assert (status, msgspec.json.decode(said)) == (503, {"ready": False, "why": "Redis does not answer; the log says more."})
                return


def test_an_api_whose_redis_hangs_lives_shows_its_metrics_and_is_well_again(stack: Servers, port: int, tmp_path: Path) -> None:
    """The Redis stands still (SIGSTOP) and goes on; the process is the same, and answers of Redis again."""
    home = LocalStack(tmp_path / "redis")
    own = home.up(("redis",))
    try:
        redis = psutil.Process(next(s.pid for s in home.status() if s.service == "redis"))
        model.place(tmp_path / "models", int(time.time() * 1000))
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": stack.kafka,
            "REDIS_URL": own.redis,
            "MODEL_CACHE": str(tmp_path / "models"),
            "MLFLOW_TRACKING_URI": rule.NO_REGISTRY,
        }
        env |= {"MODEL_NAME": rule.NAME, "MODEL_ALIAS": rule.ALIAS}
        with api_server(env, port, tmp_path) as running:
            assert running.status("startupz")[0] == 200
            redis.send_signal(signal.SIGSTOP)
            try:
                asyncio.run(outage(running.url))
            finally:
                redis.send_signal(signal.SIGCONT)
            until(running.ready, "the API to be ready again")
            until(lambda: running.status("v1/cards/C1")[0] == 404, "Redis to be asked for a card")
            assert running.stop() == 0
            log = running.log.read_text()
    finally:
        home.reset()
    assert "Redis answers again" in log
    assert "Traceback" not in log
