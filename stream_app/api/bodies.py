"""Bodies and parameters of requests as they came, and answers as JSON."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from fastapi import Request, Response

from stream_app.api.problems import Refusal
from stream_app.messages.refusals import shown


class Json(Response):
    """An answer that is JSON already."""

    media_type = "application/json"


def json_of(value: msgspec.Struct, status: HTTPStatus = HTTPStatus.OK) -> Json:
    """An answer."""
    return Json(msgspec.json.encode(value), status_code=status)


async def body_of(request: Request) -> bytes:
    """The body of a request that says it is JSON, as it is.

    Raises:
        Refusal: 415; a browser's form would not ask before it is sent, and what is packed is not unpacked.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding != "identity":
        told = f"Content-Encoding {shown(coding)[:64]!r} is not taken. Send the body as it is, without that header."
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-json", told)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        told = "Header Content-Type: application/json is needed."
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not-json", told)
    return await request.body()


def takes_only(request: Request, parameter: str) -> None:
    """Refuse what a request asks beside its only parameter.

    Raises:
        Refusal: 422.
    """
    for name in request.query_params:
        if name != parameter:
            told = f"Parameter {shown(name)[:64]!r} is unknown; `{parameter}` is the only one."
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", told, f"query: {shown(name)[:64]}")
