"""A schema registry over Confluent's REST API: Confluent's own, Karapace, Apicurio (`/apis/ccompat/v7`), Redpanda's.

What it answers is read within bounds, and believed only where it is an answer of a registry: a proxy's page, a path of something else and a
redirection are told as what they are. A redirection is never followed: the login would go along.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from stream_app.errors import NoAccess, RecordError, SettingsError, Unavailable
from stream_app.messages.addresses import without_password, without_passwords
from stream_app.messages.certificates import why_no_tls
from stream_app.messages.refusals import DeadLetterCode, shown
from stream_app.wire.avro import MOST_SCHEMA_BYTES
from stream_app.wire.framing import SchemaId
from stream_app.wire.schemas import KnownSchema

ANSWER_WITHIN_S = 5.0
MOST_ANSWER_BYTES = 2 * MOST_SCHEMA_BYTES
"""A schema stands in the answer as a text of JSON, its quotes escaped."""
MOST_REFERENCES = 64
REFERENCES_WITHIN_S = 30.0
"""One after the other, each within `ANSWER_WITHIN_S`."""
_BY_ID, _BY_GUID = "/schemas/ids", "/schemas/guids"
_NO_SUCH_SUBJECT, _NO_SUCH_VERSION, _NO_SUCH_SCHEMA = 40_401, 40_402, 40_403
_ACCEPT = "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json"
_URL = "FRAUDSTREAM_SCHEMA_REGISTRY_URL"


class _Reference(msgspec.Struct, frozen=True):
    """A schema that another one refers to: a version of a subject."""

    subject: str
    version: int


class _Schema(msgspec.Struct, frozen=True):
    """The answer to `schemas/ids/ID`, and to `subjects/SUBJECT/versions/VERSION`. Avro is not named."""

    schema: str
    schemaType: str = "AVRO"  # noqa: N815 - the registry's name
    references: list[_Reference] | None = None


class _RegistryFault(msgspec.Struct, frozen=True):
    """The answer where it does not do what it is asked."""

    error_code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class RegistryTls:
    """Files of TLS; empty: the system's authorities, no certificate of ours."""

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""

    def context(self) -> ssl.SSLContext:
        """What TLS is agreed on with.

        Raises:
            SettingsError: a file cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.cafile or None)
            if self.certfile:
                context.load_cert_chain(self.certfile, self.keyfile or None)
        except (OSError, ssl.SSLError) as error:
            told = f"A file of FRAUDSTREAM_SCHEMA_REGISTRY_SSL_* cannot be used: {error}. Name PEM files that this user may read."
            raise SettingsError(told) from None
        return context


class SchemaRegistry:
    """Asks for schemas."""

    def __init__(self, url: str, tls: RegistryTls) -> None:
        """Of the registry at this URL; nothing is connected yet."""
        self._url = url.rstrip("/")
        self.shown = without_password(self._url)
        self._tls = tls

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        """Made once: reading the authorities of TLS takes tens of milliseconds of CPU. No connection is kept: schemas are asked for once."""
        return httpx.AsyncClient(
            headers={"Accept": _ACCEPT, "Accept-Encoding": "identity"},
            timeout=ANSWER_WITHIN_S,
            limits=httpx.Limits(max_keepalive_connections=0),
            verify=self._tls.context(),
            follow_redirects=False,
        )

    async def fetch(self, schema: SchemaId) -> KnownSchema | RecordError:
        """A schema with those that it refers to, or why there is none of this id that could be used.

        Raises:
            NoAccess: the login is refused, or TLS is not agreed on.
            Unavailable: it is not known: no answer, not in time, or none of a registry.
        """
        folder = _BY_ID if isinstance(schema, int) else _BY_GUID
        found = await self._schema(f"{folder}/{schema}", f"The schema of the record ({schema})")
        if isinstance(found, RecordError):
            return found
        if found is None:
            told = f"The schema registry knows no schema {schema}. Look at which registry the producer registers its schemas in."
            return RecordError(DeadLetterCode.UNKNOWN_SCHEMA, told)
        if found.schemaType != "AVRO" or not found.references:
            return KnownSchema(found.schemaType, found.schema)
        try:
            async with asyncio.timeout(REFERENCES_WITHIN_S):
                texts = await self._referred_to(schema, found)
        except TimeoutError:
            told = f"The schema registry at {self.shown} did not give all that schema {schema} refers to within {REFERENCES_WITHIN_S:g} s."
            raise Unavailable(told) from None
        return texts if isinstance(texts, RecordError) else KnownSchema(found.schemaType, found.schema, texts)

    async def _referred_to(self, schema: SchemaId, found: _Schema) -> tuple[str, ...] | RecordError:
        """The texts of all that a schema refers to, each once."""
        texts: dict[_Reference, str] = {}
        size, left = len(found.schema), dict.fromkeys(found.references or ())
        while left and len(texts) + len(left) <= MOST_REFERENCES and size <= MOST_SCHEMA_BYTES:
            one, _ = left.popitem()
            what = f"Version {one.version} of subject {shown(one.subject)!r}, which schema {schema} of the record refers to,"
            other = await self._schema(f"/subjects/{quote(one.subject, safe='')}/versions/{one.version}", what)
            if isinstance(other, RecordError):
                return other
            if other is None:
                return RecordError(DeadLetterCode.UNKNOWN_SCHEMA, f"{what} is not in the schema registry. Register it there again.")
            texts[one] = other.schema
            size += len(other.schema)
            left.update(dict.fromkeys(each for each in other.references or () if each not in texts))
        if not left and size <= MOST_SCHEMA_BYTES:
            return tuple(texts.values())
        told = f"it refers to more than {MOST_REFERENCES} others, or has with them more than {MOST_SCHEMA_BYTES} bytes"
        return RecordError(DeadLetterCode.SCHEMA_REFUSED, f"The schema of the record ({schema}) cannot be used: {told}.")

    async def _schema(self, path: str, what: str) -> _Schema | RecordError | None:
        """What stands at a path; why it cannot be used, where it is too large; None where the registry says that there is none."""
        answer, content = await self._get(path)
        if answer.is_success:
            if content is None and _is_json(answer):
                return RecordError(DeadLetterCode.SCHEMA_REFUSED, f"{what} cannot be used: it is larger than {MOST_SCHEMA_BYTES} bytes.")
            return self._decoded(_Schema, answer, content)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            raise self._refused(answer, content)
        fault = self._decoded(_RegistryFault, answer, content)
        if fault.error_code in {_NO_SUCH_SUBJECT, _NO_SUCH_VERSION, _NO_SUCH_SCHEMA}:
            return None
        raise Unavailable(self._no_such_path(path))

    async def ping(self) -> None:
        """Answer as a registry does, or raise what `fetch` raises."""
        answer, content = await self._get("/schemas/types")
        if not answer.is_success:
            raise self._refused(answer, content)
        self._decoded(list[str], answer, content)

    async def _get(self, path: str) -> tuple[httpx.Response, bytes | None]:
        """An answer and its content; None where that is larger than is read."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), self._client.stream("GET", self._url + path) as answer:
                content = bytearray()
                async for part in answer.aiter_raw():
                    content += part
                    if len(content) > MOST_ANSWER_BYTES:
                        return answer, None
                return answer, bytes(content)
        except (TimeoutError, httpx.TimeoutException):
            raise Unavailable(f"The schema registry at {self.shown} did not answer within {ANSWER_WITHIN_S:g} s.") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise self._unreached(error) from None

    def _unreached(self, error: Exception) -> Unavailable:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLError):
            cause = cause.__cause__ or cause.__context__
        if isinstance(cause, ssl.SSLError):
            settings = "FRAUDSTREAM_SCHEMA_REGISTRY_SSL_CAFILE, …_CERTFILE and …_KEYFILE"
            return NoAccess(f"The schema registry at {self.shown}: {why_no_tls(cause)}. The settings are {settings}.")
        why = without_passwords(str(error)) or type(error).__name__
        return Unavailable(f"The schema registry at {self.shown} did not answer ({why}). Check {_URL} and the server.")

    def _decoded[T](self, kind: type[T], answer: httpx.Response, content: bytes | None) -> T:
        if content is None:
            raise self._no_registry(f"{answer.status_code} and more than {MOST_ANSWER_BYTES} bytes")
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            of = answer.headers.get("content-type", "").partition(";")[0][:40] or "unnamed content"
            raise self._no_registry(f"{answer.status_code} and {of} that is no answer of one") from None

    def _no_registry(self, what: str) -> Unavailable:
        return Unavailable(
            f"What answers at {self.shown} is no schema registry: it gave {what}. Is a login page or a proxy before it? "
            f"Set {_URL} to the registry itself, with its path (Apicurio: /apis/ccompat/v7)."
        )

    def _no_such_path(self, path: str) -> str:
        folder, _, last = path.rpartition("/")
        if folder != _BY_GUID:
            return f"The schema registry at {self.shown} has no {folder} there. Set {_URL} with its path (Apicurio: /apis/ccompat/v7)."
        return (
            f"The schema registry at {self.shown} finds no schemas by GUID, and a record names its schema by one ({last}). Have producers write the "
            "id before the content, as Confluent's serializers do by default, or deploy a registry that has /schemas/guids."
        )

    def _refused(self, answer: httpx.Response, content: bytes | None) -> Unavailable:
        status = answer.status_code
        if answer.is_redirect:
            to = urlsplit(answer.headers.get("location", "")).hostname or "another path of its own"
            return Unavailable(
                f"The schema registry at {self.shown} redirects to {to} ({status}), which is not followed: the login would go along. Set {_URL} to where it is."
            )
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return NoAccess(
                f"The schema registry at {self.shown} refuses the login ({status}). Put user and password into {_URL} (https://user:password@host)."
            )
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return Unavailable(f"The schema registry at {self.shown}, or a proxy before it, takes no more requests now ({status}).")
        if answer.is_server_error:
            return Unavailable(f"The schema registry at {self.shown} answered {status}: it is broken, or not up yet. Look at its log.")
        said = " ".join((content or b"")[:200].decode(errors="replace").split())
        return Unavailable(f"The schema registry at {self.shown} answered {status} ({without_passwords(said)}). Check {_URL}.")


def _is_json(answer: httpx.Response) -> bool:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    return bool(kind == "application/json" or kind.endswith("+json"))
