"""Bounds of every request, around the routes: size of the body, time, how many at once, probes aside. Plain ASGI."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec
from loguru import logger

from stream_app.api.probes import PROBES
from stream_app.api.problems import MEDIA_TYPE, Refusal, unexpected

type AsgiScope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[AsgiScope, Receive, Send], Awaitable[None]]
type Observe = Callable[[str, str, int, float], None]

MOST_AT_ONCE = 128
"""Requests under way that do work; with bodies of 2 MB that is 256 MB at the very worst."""


class Limits:
    """Takes a request to the routes within its bounds, and tells of each: method, path of the route, status, seconds."""

    def __init__(self, app: App, most_bytes: int, longest_s: float, observe: Observe) -> None:
        self._app = app
        self._most_bytes = most_bytes
        self._longest_s = longest_s
        self._observe = observe
        self._under_way = 0

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, answer = time.perf_counter(), _Answer(send)
        place = int(scope["path"] not in PROBES)
        self._under_way += place
        try:
            await self._bounded(scope, _BoundedBody(receive, self._most_bytes), answer)
        finally:
            self._under_way -= place
            self._observe(str(scope["method"]), _route(scope), answer.status, time.perf_counter() - began)

    async def _bounded(self, scope: AsgiScope, body: _BoundedBody, answer: _Answer) -> None:
        if (beyond := self._beyond(scope)) is not None:
            await answer.refuse(beyond)
            return
        try:
            async with asyncio.timeout(self._longest_s):
                await self._app(scope, body.receive, answer.send)
        except TimeoutError:
            await answer.refuse(_too_slow(self._longest_s, of_body=body.is_awaited))
        except Exception as error:  # noqa: BLE001 - whatever it is: no trace leaves the process, the log has it
            logger.opt(exception=error).error("{} {} failed", scope["method"], _route(scope))
            await answer.refuse(unexpected())

    def _beyond(self, scope: AsgiScope) -> Refusal | None:
        """What is over a limit before anything is read."""
        if self._under_way > MOST_AT_ONCE and scope["path"] not in PROBES:
            return _busy()
        length = dict(scope["headers"]).get(b"content-length", b"")
        return _too_large(self._most_bytes) if length.isdigit() and int(length) > self._most_bytes else None


def _route(scope: AsgiScope) -> str:
    """The route's path, as `/v1/cards/{card_id}`: the path itself would tell a card's token to logs and metrics."""
    return str(getattr(scope.get("route"), "path_format", "none"))


class _BoundedBody:
    """Counts what comes in."""

    def __init__(self, receive: Receive, most_bytes: int) -> None:
        self._receive = receive
        self._most = most_bytes
        self._seen = 0
        self._asked = self._whole = False

    @property
    def is_awaited(self) -> bool:
        """Whether a part of it is still to come: a route that takes none never asks for it."""
        return self._asked and not self._whole

    async def receive(self) -> Message:
        """ASGI."""
        self._asked = True
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._seen > self._most:
                raise _too_large(self._most)
        return message


class _Answer:
    """Knows whether an answer has begun, and its status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def send(self, message: Message) -> None:
        """ASGI."""
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
        await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem, where no answer has begun."""
        if self.status:
            return
        content = msgspec.json.encode(refusal.problem)
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(content)), **refusal.headers}
        pairs = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.problem.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": content})


def _too_large(most_bytes: int) -> Refusal:
    """A body over the limit."""
    told = f"The body is larger than {most_bytes} bytes (FRAUDSTREAM_API_MAX_BODY_BYTES). Send less, or in several requests."
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", told, "#")


def _too_slow(longest_s: float, *, of_body: bool) -> Refusal:
    if of_body:
        told = f"The body did not arrive within {longest_s:g} s (FRAUDSTREAM_API_TIMEOUT_S)."
        return Refusal(HTTPStatus.REQUEST_TIMEOUT, "body-too-slow", told, headers={"Connection": "close"})
    told = f"No answer within {longest_s:g} s (FRAUDSTREAM_API_TIMEOUT_S). Try again."
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too-slow", told, headers={"Retry-After": "1"})


def _busy() -> Refusal:
    told = f"{MOST_AT_ONCE} requests are under way. Try again."
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "busy", told, headers={"Retry-After": "1"})
