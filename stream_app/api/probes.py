"""What a supervisor, a load balancer and Prometheus ask: answered at once, without a key, also while everything else is refused.

    GET /livez      the process answers. It needs nothing: who ends what does not answer asks this, and nothing else
    GET /readyz     whether payments can be scored now; 503 and why not. It sends traffic elsewhere, and ends nobody
    GET /startupz   503 until payments could be scored once, then 200: for those that end what is not ready, as ECS does behind a load balancer
    GET /health     `/readyz` by its older name
    GET /metrics    in Prometheus' text format

A probe waits for nothing, asks no server and reads no body, so it holds no place among the requests under way, and however many come they cost
little more than refusing them would: most of either is reading the request and sending the answer. What is dear, rendering the metrics, is done
once a second at most. They run in the loop of all requests: where that hangs, `/livez` does too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Response

from stream_app.api.messages import Health

PROBES = frozenset({"/livez", "/readyz", "/startupz", "/health", "/metrics"})
"""Their paths; every other one counts among the requests under way, also one that nobody has thought of yet."""
RENDERED_FOR_S = 1.0


class Probes:
    """The routes of `PROBES`."""

    def __init__(
        self, not_ready: Callable[[], str | None], metrics: Callable[[], bytes], now: Callable[[], float] = time.monotonic
    ) -> None:
        """What they tell.

        Args:
            not_ready: says at once why payments cannot be scored now, or None.
            metrics: renders them.
            now: seconds of a clock that only goes forward.
        """
        self._not_ready = not_ready
        self._was_ready = False
        self._metrics = metrics
        self._now = now
        self._page, self._render_at = b"", now()

    def add_to(self, app: FastAPI) -> None:
        """Add them."""
        app.get("/livez")(self.live)
        app.get("/readyz")(self.ready)
        app.get("/startupz")(self.started)
        app.get("/health")(self.health)
        app.get("/metrics")(self.metrics)

    async def live(self) -> Response:
        """Whether the process answers: always 200. Needs no server, no model and no key."""
        return Response("alive\n", media_type="text/plain")

    async def ready(self) -> Response:
        """Whether payments can be scored now: rules and lists were read, a model is loaded, and Redis answered when it was last asked, each second."""
        return self._said(self._not_ready())

    async def started(self) -> Response:
        """Whether payments could be scored once since the process began: 200 from then on, whatever is away later."""
        why = None if self._was_ready else self._not_ready()
        self._was_ready = why is None
        return self._said(why)

    async def health(self) -> Response:
        """The same as `/readyz`, by its older name."""
        return await self.ready()

    async def metrics(self) -> Response:
        """Metrics in Prometheus' text format, a second old at most. They hold no id of a card."""
        if (now := self._now()) >= self._render_at:
            self._page, self._render_at = self._metrics(), now + RENDERED_FOR_S
        return Response(self._page, media_type="text/plain; version=0.0.4; charset=utf-8")

    @staticmethod
    def _said(why: str | None) -> Response:
        status = HTTPStatus.OK if why is None else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(msgspec.json.encode(Health(ready=why is None, why=why)), status, media_type="application/json")
