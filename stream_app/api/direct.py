"""The route that an authorisation waits for, answered ahead of FastAPI's routing: the rest of its stack was a fifth of what a request cost.

FastAPI still describes the route, and answers it for every other method; keys, bounds and errors are the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_app.api.problems import Refusal, answer_of
from stream_app.errors import FraudstreamError

type Endpoint = Callable[[Request], Awaitable[Response]]
type Refuses = Callable[[Any], Refusal]


class Direct:
    """Middleware that answers one route's POST by itself."""

    def __init__(self, app: ASGIApp, route: Route, endpoint: Endpoint, refuses: Refuses) -> None:
        """Answer one route.

        Args:
            app: who answers everything else.
            route: what is told as the request's route.
            endpoint: what the route does.
            refuses: what a caller is told of an error of ours.
        """
        self._app = app
        self._route = route
        self._endpoint = endpoint
        self._refuses = refuses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != self._route.path:
            await self._app(scope, receive, send)
            return
        scope["route"] = self._route  # as the router does; metrics and logs name a request by it
        try:
            answer = await self._endpoint(Request(scope, receive))
        except (Refusal, FraudstreamError) as error:
            answer = answer_of(self._refuses(error))
        await answer(scope, receive, send)
