"""What goes wrong, as problem details (RFC 9457): one sentence that names the field, and where it stands. Never a stack trace."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from stream_app.errors import AlreadyCounted, FraudstreamError, NotFound, RecordError, Refused, RuleError, Unavailable
from stream_app.messages.refusals import shown
from stream_app.messages.transaction import Label, Transaction
from stream_app.scoring.online_scoring import RowError

MEDIA_TYPE = "application/problem+json"
_AT = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"(?:field|key) `([^`]+)`")
_RETRY_AFTER_S = "1"
_AWAY = "A server behind the API does not answer or refuses, or no model is loaded yet; its log says which. Try again."
_TOLD: dict[type[FraudstreamError], tuple[HTTPStatus, str, str]] = {
    AlreadyCounted: (HTTPStatus.CONFLICT, "already-counted", "#/transaction_id"),
    RuleError: (HTTPStatus.UNPROCESSABLE_ENTITY, "rule", "#"),
    NotFound: (HTTPStatus.NOT_FOUND, "not-found", ""),
}
"""Status, word and place of those that the caller is told as they are."""
_FIELDS = frozenset(Transaction.__struct_fields__) | frozenset(Label.__struct_fields__)


class Fault(msgspec.Struct, frozen=True):
    """One thing that is wrong: where (a JSON pointer, or `query`/`path` and a name), and why."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details; `type` is a URN whose last part is a fixed word."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = ()


class Refusal(Exception):  # noqa: N818 - an answer
    """A request that gets a problem in place of an answer."""

    def __init__(self, status: HTTPStatus, word: str, detail: str, pointer: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Args: `word` ends the type; `pointer` is where the fault stands; `headers` go with the answer."""
        super().__init__(detail)
        errors = (Fault(pointer, detail),) if pointer else ()
        self.problem = Problem(f"urn:fraudstream:problem:{word}", status.phrase, int(status), detail, errors)
        self.headers = dict(headers or {})


def answer_of(refusal: Refusal) -> Response:
    """The answer that a refusal is."""
    content = msgspec.json.encode(refusal.problem)
    return Response(content, status_code=refusal.problem.status, media_type=MEDIA_TYPE, headers=refusal.headers)


def of_json(error: Exception, shape: str, within: Sequence[str] = ()) -> Refusal:
    """A body that is not JSON, or JSON of another shape.

    Args:
        error: of msgspec.
        shape: what the body must be, for the text.
        within: path to the fault, where the caller knows it better than msgspec, which names no key of a map.
    """
    text = str(error)
    if isinstance(error, UnicodeDecodeError):
        return Refusal(HTTPStatus.BAD_REQUEST, "not-utf8", f"The body is not UTF-8: byte {error.start} cannot be read.")
    if isinstance(error, RecursionError):
        return Refusal(HTTPStatus.BAD_REQUEST, "too-deep", "The JSON is nested too deeply.")
    if not isinstance(error, msgspec.ValidationError):
        return Refusal(HTTPStatus.BAD_REQUEST, "not-json", f"The body is not JSON: {shown(text)}. It must be {shape}.")
    at = _AT.search(text)
    pointer = pointer_to([shown(part)[:64] for part in within]) if within else _pointer(at[1] if at else "", _NAMED.search(text))
    why = shown(_AT.sub("", text))
    field = pointer.rpartition("/")[2]
    named = why if not field or field in why else f"{field}: {why}"
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"{named}.", pointer or "#")


def _pointer(path: str, named: re.Match[str] | None) -> str:
    """A JSON pointer from msgspec's path: `rows[...].amount` → `#/rows/amount`; a missing or unknown field is named in its text."""
    parts = [p for p in re.split(r"[.\[\]]+", path) if p and p != "..."]
    if named:
        parts.append(named[1][:64])
    return pointer_to(parts) if parts else ""


def pointer_to(parts: Sequence[str]) -> str:
    """A JSON pointer (RFC 6901) into the body, as a fragment."""
    return "#/" + "/".join(p.replace("~", "~0").replace("/", "~1") for p in parts)


def of_error(error: FraudstreamError) -> Refusal:
    """The one mapping from our errors to HTTP."""
    text = str(error)
    if isinstance(error, RowError):
        at = pointer_to(["rows", str(error.row), error.feature])
        return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", f"Row {error.row}: {error.message}", at)
    if isinstance(error, RecordError):
        return of_record(error)
    for kind, (status, word, pointer) in _TOLD.items():
        if isinstance(error, kind):
            return Refusal(status, word, text, pointer)
    if isinstance(error, Unavailable | Refused):
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", _AWAY, headers={"Retry-After": _RETRY_AFTER_S})
    return unexpected()


def of_record(error: RecordError) -> Refusal:
    """What the worker would refuse of a payment or a label, in its words; they begin with the field."""
    field = error.message.partition(" ")[0].partition(".")[0]
    pointer = f"#/{field}" if field in _FIELDS else "#"
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, str(error.code).replace("_", "-"), error.message, pointer)


def is_unknown_field(error: msgspec.ValidationError) -> bool:
    """Whether a body holds a field that its kind has not."""
    return str(error).startswith("Object contains unknown field")


def unexpected() -> Refusal:
    """A fault of ours: the log has it, the caller does not."""
    return Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The API failed on this request. Its log says why.")
