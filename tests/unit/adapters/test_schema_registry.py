"""The schema registry: whatever answers in its place is told by its cause, and no record is a dead letter for it.

Held against the documented contract, by a small server on loopback: GUIDs, and all that a registry that is well does not do. What a real one
does: tests/integration/test_schema_registry.py.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loguru import logger

from stream_app.adapters.schema_registry import client as client_module
from stream_app.adapters.schema_registry.client import MOST_ANSWER_BYTES, RegistryTls, SchemaRegistry
from stream_app.adapters.schema_registry.copies import MOST_COPIES, SchemaCopies
from stream_app.adapters.schema_registry.fetcher import SchemaFetcher
from stream_app.errors import FraudstreamError, NoAccess, RecordError, SettingsError, Unavailable
from stream_app.messages.refusals import DeadLetterCode
from stream_app.wire.framing import SchemaId
from stream_app.wire.schemas import KnownSchema, SchemaBook
from tests.web import Page, web

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
AVRO = KnownSchema("AVRO", '"string"')
ANSWER = Page(json.dumps({"schema": AVRO.text}).encode())
NONE = Page(b'{"error_code": 40403, "message": "Schema 7 not found"}', 404)
MIB = 2**20


def fetch(url: str, schema: SchemaId = 7) -> KnownSchema | RecordError:
    """What the registry says."""
    return asyncio.run(SchemaRegistry(url, RegistryTls()).fetch(schema))


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What is logged."""
    told: list[str] = []
    handler = logger.add(told.append, format="{message}", level="WARNING")
    yield told
    logger.remove(handler)


@contextmanager
def silent() -> Iterator[str]:
    """The URL of a server that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_schema_is_found_by_id_and_by_guid() -> None:
    """Avro's answer names no kind; others do, and may have references and a GUID."""
    of_json = Page(json.dumps({"schema": "{}", "schemaType": "JSON", "references": [], "guid": GUID}).encode())
    with web({"7": ANSWER, GUID: of_json}) as url:
        assert fetch(url) == AVRO
        assert fetch(url + "/", GUID) == KnownSchema("JSON", "{}")


def test_an_id_that_the_registry_does_not_know_is_a_dead_letter() -> None:
    """By its own code of the error; any other 404 is a wrong path, for which no record is to blame."""
    with web({"7": NONE, GUID: NONE}) as url:
        for schema in (7, GUID):
            found = fetch(url, schema)
            assert isinstance(found, RecordError)
            assert (found.code, str(schema) in found.message) == (DeadLetterCode.UNKNOWN_SCHEMA, True)


def test_a_schema_of_five_megabytes_is_refused_and_not_read() -> None:
    """Too large is never tried again; what is no JSON is no schema, however large."""
    large = json.dumps({"schema": '"' + "x" * 5 * MIB + '"'}).encode()
    with web({"7": Page(large, kind="application/vnd.schemaregistry.v1+json"), "8": Page(b"<html>" * MIB, kind="text/html")}) as url:
        found = fetch(url)
        assert isinstance(found, RecordError)
        assert (found.code, "larger than 1048576 bytes" in found.message) == (DeadLetterCode.SCHEMA_REFUSED, True)
        with pytest.raises(Unavailable, match=f"is no schema registry: it gave 200 and more than {MOST_ANSWER_BYTES} bytes"):
            fetch(url, 8)


def referring(*versions: int, text: str = '"int"') -> Page:
    """An answer that refers to versions of subjects, each of a number of its own."""
    references = [{"name": f"of.T{n}", "subject": f"shared/t{n}", "version": n} for n in versions]
    return Page(json.dumps({"schema": text, "schemaType": "AVRO", "references": references}).encode())


def test_what_a_schema_refers_to_is_fetched_with_it_each_once() -> None:
    """What those refer to as well; two that refer to a third, and back to one another."""
    pages = {"7": referring(1, 2), "1": referring(2, 3, text="1"), "2": referring(3, 1, text="2"), "3": referring(text="3")}
    with web(pages) as url:
        found = fetch(url)
    assert isinstance(found, KnownSchema)
    assert (found.text, sorted(found.references)) == ('"int"', ["1", "2", "3"])


def test_of_json_nothing_that_it_refers_to_is_fetched() -> None:
    """Its schema says no more than our checks."""
    with web({"7": Page(referring(1).content.replace(b"AVRO", b"JSON"))}) as url:
        assert fetch(url) == KnownSchema("JSON", '"int"')


@pytest.mark.parametrize(
    ("pages", "code", "says"),
    [
        ({"7": referring(1), "1": Page(b'{"error_code": 40401}', 404)}, "unknown_schema", "Version 1 of subject 'shared/t1', which schema 7"),
        ({"7": referring(1), "1": Page(b'{"error_code": 40402}', 404)}, "unknown_schema", "is not in the schema registry"),
        ({"7": referring(*range(8, 80))}, "schema_refused", "more than 64 others"),
        ({"7": referring(1), "1": referring(2, text="1" * MIB), "2": referring()}, "schema_refused", "more than 1048576 bytes"),
        ({str(n): referring(n + 1) for n in range(7, 90)}, "schema_refused", "more than 64 others"),
        (
            {"7": referring(1), "1": Page(b'{"schema": "' + b"1" * 3 * MIB + b'"}', kind="application/json")},
            "schema_refused",
            "Version 1 of subject 'shared/t1', which schema 7 of the record refers to, cannot be used: it is larger",
        ),
    ],
    ids=["no subject", "no version", "many", "large", "a long line of them", "one too large"],
)  # fmt: skip
def test_what_cannot_be_had_of_what_a_schema_refers_to_is_named(pages: dict[str, Page], code: str, says: str) -> None:
    """A dead letter with its code; the rest is not asked for."""
    with web(pages) as url:
        found = fetch(url)
    assert isinstance(found, RecordError)
    assert (found.code, says in found.message) == (code, True), found


def test_a_reference_that_the_registry_does_not_give_now_is_no_records_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken, no path of a registry, too slow for all of them together."""
    for page, says in (
        (Page(b"", 503), "answered 503"),
        (Page(b'{"error_code": 404}', 404), "has no /subjects/shared%2Ft1/versions there"),
    ):
        with web({"7": referring(1), "1": page}) as url, pytest.raises(Unavailable, match=says):
            fetch(url)
    monkeypatch.setattr(client_module, "REFERENCES_WITHIN_S", 0.0)
    with web({"7": referring(1), "1": referring()}) as url, pytest.raises(Unavailable, match="did not give all that schema 7 refers to"):
        fetch(url)


@pytest.mark.parametrize(
    ("page", "kind", "says"),
    [
        (Page(b"<html>Please log in</html>", kind="text/html"), Unavailable, "is no schema registry: it gave 200 and text/html"),
        (Page(b"{}"), Unavailable, "is no schema registry"),
        (Page(b'{"schema": 7}'), Unavailable, "is no schema registry"),
        (Page(b"<html>No such page</html>", 404), Unavailable, "is no schema registry: it gave 404"),
        (Page(b'{"error_code": 404, "message": "HTTP 404 Not Found"}', 404), Unavailable, "has no /schemas/ids there"),
        (Page(b"", 302, location="http://elsewhere.example/login"), Unavailable, "redirects to elsewhere.example (302), which is not followed"),
        (Page(b"", 401), NoAccess, "refuses the login (401)"),
        (Page(b"", 403), NoAccess, "refuses the login (403)"),
        (Page(b"", 429), Unavailable, "takes no more requests"),
        (Page(b"", 503), Unavailable, "answered 503"),
        (Page(b"teapot", 418), Unavailable, "answered 418 (teapot)"),
        (Page(b"x" * 65_536, endless=True), Unavailable, "is no schema registry: it gave 200 and more than"),
        (Page(b"x", length="9"), Unavailable, "did not answer (peer closed"),
    ],
)  # fmt: skip
def test_what_answers_in_its_place_is_told_by_its_cause(page: Page, kind: type[Unavailable], says: str) -> None:
    """And nothing of the login."""
    with web({}, page) as url, pytest.raises(kind) as raised:
        fetch(url.replace("//", "//user:s3cret@"))
    assert says in str(raised.value)
    assert "s3cret" not in str(raised.value)


def test_a_guid_that_the_registry_has_no_way_to_look_up_is_told_as_that() -> None:
    """As Apicurio and older registries answer: the id before the content is the remedy."""
    with (
        web({}, Page(b'{"error_code": 0, "message": "RESTEASY003210: Could not find resource"}', 404)) as url,
        pytest.raises(Unavailable, match=GUID) as raised,
    ):
        fetch(url, GUID)
    assert "finds no schemas by GUID" in str(raised.value)


def test_a_registry_that_is_silent_or_away_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As two causes."""
    with silent() as url, monkeypatch.context() as patch:
        patch.setattr(client_module, "ANSWER_WITHIN_S", 0.2)
        with pytest.raises(Unavailable, match=r"did not answer within 0\.2 s"):
            fetch(url)
    with pytest.raises(Unavailable, match=r"did not answer \(.*connect"):
        fetch(url)


def test_tls_that_does_not_fit_is_told_with_its_settings(tmp_path: Path) -> None:
    """No TLS where there should be; a file that is none."""
    with web({}) as url, pytest.raises(NoAccess, match=r"TLS was not agreed on.*SCHEMA_REGISTRY_SSL_CAFILE"):
        fetch(url.replace("http:", "https:"))
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(SettingsError, match="SCHEMA_REGISTRY_SSL_"):
        RegistryTls(cafile=str(tmp_path / "ca.pem")).context()


class Fickle:
    """A registry that says what the test says."""

    shown = "http://registry"

    def __init__(self, says: KnownSchema | RecordError | Unavailable) -> None:
        self.says = says
        self.asked: list[SchemaId] = []

    async def fetch(self, schema: SchemaId) -> KnownSchema | RecordError:
        """See `FetchesSchemas`."""
        self.asked.append(schema)
        if isinstance(self.says, Unavailable):
            raise self.says
        return self.says


def wanted(registry: Fickle, folder: Path, schema: SchemaId = 7, give_up_after_s: float = 0.0) -> tuple[SchemaBook, SchemaFetcher]:
    """A fresh process: a book that wants one schema, and its fetcher."""
    book = SchemaBook()
    fetcher = SchemaFetcher(registry, SchemaCopies(folder, registry.shown), book, give_up_after_s)
    assert not book.has(schema)
    return book, fetcher


def test_a_schema_is_asked_for_once_and_its_copy_serves_while_the_registry_is_away(tmp_path: Path, warnings: list[str]) -> None:
    """A next process asks again, for the registry may have changed; that the copy is used is told."""
    registry = Fickle(AVRO)
    book, fetcher = wanted(registry, tmp_path)
    asyncio.run(fetcher.fetched())
    book.forget(7)
    assert not book.has(7)
    asyncio.run(fetcher.fetched())
    assert (book.of(7), registry.asked) == (AVRO, [7])
    registry.says = Unavailable("The registry is away.")
    book, fetcher = wanted(registry, tmp_path)
    asyncio.run(fetcher.fetched())
    assert (book.of(7), registry.asked) == (AVRO, [7, 7])
    assert "The registry is away. Copies of schemas in" in "".join(warnings)


def test_a_damaged_copy_is_not_used(tmp_path: Path, warnings: list[str]) -> None:
    """Cut, changed, of another id, too large: it is as if there were none, and is written anew."""
    registry = Fickle(AVRO)
    asyncio.run(wanted(registry, tmp_path)[1].fetched())
    file = SchemaCopies(tmp_path, registry.shown).file_of(7)
    good = file.read_bytes()
    for bad in (good[:-5], good.replace(b"string", b"double"), good.replace(b":7", b":8"), b" " * 9 * MIB, b""):
        file.write_bytes(bad)
        registry.says = Unavailable("away")
        with pytest.raises(Unavailable, match="away"):
            asyncio.run(wanted(registry, tmp_path)[1].fetched())
        registry.says = AVRO
        asyncio.run(wanted(registry, tmp_path)[1].fetched())
        assert file.read_bytes() == good
    assert len([line for line in warnings if "is damaged" in line]) >= 10


def test_another_schema_for_an_id_is_believed_by_nobody(tmp_path: Path) -> None:
    """Registries that were made anew give ids again: decoded by the wrong schema a record would be wrong without a word."""
    registry = Fickle(AVRO)
    asyncio.run(wanted(registry, tmp_path)[1].fetched())
    for lie in (KnownSchema("AVRO", '"bytes"'), RecordError(DeadLetterCode.UNKNOWN_SCHEMA, "none")):
        registry.says = lie
        book, fetcher = wanted(registry, tmp_path)
        with pytest.raises(Unavailable, match=r"has another schema 7 than it had before.*remove that file"):
            asyncio.run(fetcher.fetched())
        with pytest.raises(Unavailable, match="another schema 7"):
            book.has(7)
    SchemaCopies(tmp_path, registry.shown).file_of(7).unlink()
    book, fetcher = wanted(registry, tmp_path)
    registry.says = KnownSchema("AVRO", '"bytes"')
    asyncio.run(fetcher.fetched())
    assert book.of(7) == registry.says


def test_copies_hold_what_a_schema_refers_to_and_one_of_a_version_that_did_not_is_no_lie(tmp_path: Path) -> None:
    """While the registry is away all of it is there; a former copy is written anew; another text of what is referred to is believed by nobody."""
    whole = AVRO._replace(references=('"int"', '"long"'))
    registry = Fickle(AVRO)
    asyncio.run(wanted(registry, tmp_path)[1].fetched())
    registry.says = whole
    asyncio.run(wanted(registry, tmp_path)[1].fetched())
    registry.says = Unavailable("away")
    book, fetcher = wanted(registry, tmp_path)
    asyncio.run(fetcher.fetched())
    assert book.of(7) == whole
    for lie in (AVRO, AVRO._replace(references=('"int"', '"string"'))):
        registry.says = lie
        with pytest.raises(Unavailable, match="has another schema 7"):
            asyncio.run(wanted(registry, tmp_path)[1].fetched())


async def told(fetcher: SchemaFetcher) -> FraudstreamError:
    """What the fetcher says first: the registry is asked when its turn comes, and what it answered is known a moment later."""
    while True:
        try:
            await fetcher.look()
        except FraudstreamError as error:
            return error
        await asyncio.sleep(0.01)


def test_what_waits_is_told_until_the_registry_is_back(tmp_path: Path) -> None:
    """Nothing is told while nobody waits, whatever the registry's state; then the cause, then nothing again."""
    registry = Fickle(NoAccess("refused"))

    async def tried() -> None:
        book, fetcher = wanted(registry, tmp_path, give_up_after_s=60.0)
        await fetcher.look()
        running = asyncio.create_task(fetcher.run())
        async with asyncio.timeout(30):
            assert isinstance(await told(fetcher), NoAccess)
            registry.says = Unavailable("It gave a page.")
            while "It gave a page" not in str(await told(fetcher)):  # noqa: ASYNC110 - the refusal of before may be told once more
                await asyncio.sleep(0.01)
            registry.says = AVRO
            while not book.has(7):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            await fetcher.look()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(tried())


def test_an_unknown_schema_is_asked_for_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry may be behind the one that the producer asked."""
    monkeypatch.setattr("stream_app.adapters.schema_registry.fetcher.ASK_AGAIN_S", 0.05)
    registry = Fickle(RecordError(DeadLetterCode.UNKNOWN_SCHEMA, "none"))

    async def tried() -> None:
        book, fetcher = wanted(registry, tmp_path)
        await fetcher.fetched()
        with pytest.raises(RecordError):
            book.of(7)
        registry.says = AVRO
        async with asyncio.timeout(30):
            while book.has(7) and not len(registry.asked) > 1:
                await asyncio.sleep(0.01)
                if not book.has(7):
                    await fetcher.fetched()
        assert book.of(7) == AVRO

    asyncio.run(tried())


def test_copies_on_disk_are_bounded_and_a_disk_that_takes_none_is_told_of_once(tmp_path: Path, warnings: list[str]) -> None:
    """Ten thousand files, and no more."""
    copies = SchemaCopies(tmp_path, "r")
    copies.folder.mkdir()
    for number in range(MOST_COPIES):
        copies.file_of(number).touch()
    copies.keep(MOST_COPIES, AVRO)
    assert not copies.file_of(MOST_COPIES).exists()
    (tmp_path / "file").touch()
    unwritable = SchemaCopies(tmp_path / "file", "r")
    for number in range(3):
        unwritable.keep(number, AVRO)
    assert len([line for line in warnings if "No copies of schemas are kept" in line]) == 1
