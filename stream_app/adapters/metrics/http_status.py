"""`/metrics`, `/livez` and `/readyz` of a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from errno import EADDRINUSE

from aiohttp import web

from stream_app.errors import SettingsError

AT_ONCE_S = 0.005
"""So long metrics are rendered before others have their turn."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class StatusServer:
    """A small HTTP server in the worker's own loop: if the loop hangs, `/livez` does too. No page asks a server or waits for one."""

    def __init__(self, metrics: Callable[[Sequence[str]], Iterable[bytes]], not_ready: Callable[[], str | None]) -> None:
        """Args: `metrics` renders those of these names, of none all, piece by piece; `not_ready` says why the worker is not ready, or None."""
        self._metrics = metrics
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            SettingsError: if the port is taken, or the host is no address of this machine.
        """
        app = web.Application()
        app.add_routes([web.get(path, self._get_live) for path in ("/livez", "/healthz")])  # the second is its older name
        app.add_routes([web.get("/metrics", self._get_metrics), web.get("/readyz", self._get_ready)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except (OSError, ValueError) as error:  # ValueError: of a name that is none
            if getattr(error, "errno", None) != EADDRINUSE:
                told = f"FRAUDSTREAM_METRICS_HOST = {host!r} and FRAUDSTREAM_METRICS_PORT = {port} cannot be listened on: {error}"
                raise SettingsError(f"{told}. Set an address of this machine, as 127.0.0.1, and a port above 1023.") from None
            raise SettingsError(
                f"FRAUDSTREAM_METRICS_PORT = {port} is taken by another process. Set another port, or 0 for a free one."
            ) from None
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _get_metrics(self, request: web.Request) -> web.Response:
        """All metrics, or with `?name[]=` some; payments are decided meanwhile. Not after each piece: in a backlog every turn of theirs takes
        tens of milliseconds, and Prometheus does not wait for a hundred of them.
        """
        pieces, began = bytearray(), time.perf_counter()
        for piece in self._metrics(request.query.getall("name[]", [])):
            pieces += piece
            if time.perf_counter() - began >= AT_ONCE_S:
                await asyncio.sleep(0)
                began = time.perf_counter()
        return web.Response(body=bytes(pieces), headers={"Content-Type": CONTENT_TYPE})

    async def _get_live(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _get_ready(self, _: web.Request) -> web.Response:
        why = self._not_ready()
        return web.Response(text=f"{why}\n", status=503) if why else web.Response(text="ready\n")
