"""The wire between workers and a server is harmed, in a proxy: slow, cut, half-open, deaf in one direction. Nobody ends of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.faults.ground import SERVICES
from tests.faults.proxy import Proxy
from tests.faults.scene import Scene

DELAY_S = 0.5
SHORTEST_S, LONGEST_S = 5.0, 20.0
"""Also longer than a session with Kafka and than an answer of Redis is waited for, and less than the minute that a worker tries again."""


@asynccontextmanager
async def _harmed(scene: Scene, server: str) -> AsyncIterator[Proxy]:
    """Its proxy, healed again on leaving: then connections go on with what was held, or they are cut first."""
    proxy = scene.ground.proxies[server]
    async with scene.nobody_ends():
        try:
            yield proxy
        finally:
            if scene.random.random() < 0.5:
                proxy.cut()
            proxy.heal()
        await scene.recovered(f"{server} to be reached again")


async def slow(scene: Scene, server: str) -> None:
    """Half a second for each way."""
    async with _harmed(scene, server) as proxy:
        proxy.delay_s = DELAY_S
        await asyncio.sleep(scene.random.uniform(SHORTEST_S, LONGEST_S))


async def cuts(scene: Scene, server: str) -> None:
    """All connections are cut again and again, and for a moment there are no new ones."""
    async with _harmed(scene, server) as proxy:
        for _ in range(scene.random.randrange(3, 8)):
            proxy.refuses = scene.random.random() < 0.7
            proxy.cut()
            await asyncio.sleep(scene.random.uniform(0, 2))
            proxy.refuses = False
            await asyncio.sleep(scene.random.uniform(0.2, 2))


async def half_open(scene: Scene, server: str) -> None:
    """Connections are there and accepted, and nothing is forwarded."""
    async with _harmed(scene, server) as proxy:
        proxy.holds_requests = proxy.holds_answers = True
        await scene.stands_still(scene.random.uniform(SHORTEST_S, LONGEST_S))


async def requests_held(scene: Scene, server: str) -> None:
    """What workers send does not arrive; the server's answers do."""
    async with _harmed(scene, server) as proxy:
        proxy.holds_requests = True
        await scene.stands_still(scene.random.uniform(SHORTEST_S, LONGEST_S))


async def answers_held(scene: Scene, server: str) -> None:
    """What workers send arrives and is done; the answers do not come back."""
    async with _harmed(scene, server) as proxy:
        proxy.holds_answers = True
        await scene.stands_still(scene.random.uniform(SHORTEST_S, LONGEST_S))


def _between(harm: Callable[[Scene, str], Awaitable[None]], server: str) -> Callable[[Scene], Awaitable[None]]:
    async def between(scene: Scene) -> None:
        await harm(scene, server)

    between.__doc__ = f"Between workers and {server.capitalize()}: {(what := str(harm.__doc__))[0].lower()}{what[1:]}"
    return between


NETWORK_FAULTS = {
    f"{server}_{harm.__name__}": _between(harm, server)
    for harm in (half_open, slow, cuts, answers_held, requests_held)
    for server in SERVICES
}
"""In a lane with one of these, workers go through the proxies."""
