"""Without keys the API answers this machine alone, and so only by a name of it."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from stream_app.api.keys import is_loopback
from stream_app.api.problems import Refusal, answer_of
from stream_app.messages.refusals import shown


class ByItsOwnName:
    """Refuses who asks this machine by another name than its own: a web page in a browser here, whose name was made to lead to loopback.

    Such a page could else read answers and send labels: the browser takes the API for the page's own server. Keys, which it lacks, keep it out
    by themselves.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Args: the application behind it, as Starlette gives it."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and (name := _name_asked(scope)) and not is_loopback(name):
            told = (
                f"Header Host: {shown(name)[:64]!r} is no name of this machine, and no keys are asked for. Ask 127.0.0.1 or localhost; for other "
                "names make a key (`fraudstream api-key`) and set FRAUDSTREAM_API_KEYS_FILE."
            )
            await answer_of(Refusal(HTTPStatus.MISDIRECTED_REQUEST, "not-by-this-name", told))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _name_asked(scope: Scope) -> str:
    """The host of the header `Host`, without port and brackets; empty where there is none: browsers always send it."""
    host = Headers(scope=scope).get("host", "")
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
