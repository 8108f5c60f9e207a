"""How the records of a process are read: payments, labels and reports, by the mapping and the schema registry of the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

from stream_app.adapters.schema_registry.client import RegistryTls, SchemaRegistry
from stream_app.adapters.schema_registry.copies import SchemaCopies
from stream_app.adapters.schema_registry.fetcher import SchemaFetcher
from stream_app.delivery.retry import RETRY_FOR_S
from stream_app.errors import SettingsError
from stream_app.labelling.report_reader import ReportReader, ReportRules
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.settings import Settings
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.inputs import Inputs
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping import MappingError, SourceMapping
from stream_app.wire.mapping_text import MOST_MAPPING_BYTES, mapping_of
from stream_app.wire.schemas import SchemaBook


def intake_rules(settings: Settings) -> IntakeRules:
    """What a record must keep beyond its schema."""
    mapping = mapping_of_settings(settings)
    of_mapping = () if mapping is None else (path[-1] for path in (mapping.path_of("card_id"), mapping.key) if path)
    return IntakeRules(
        card_fields=("card_id", *of_mapping),
        refuse_card_numbers=settings.refuse_card_numbers,
        max_ahead_s=settings.max_ahead_s,
        max_ahead_of_clock_s=settings.max_ahead_of_clock_s,
    )


def reports_of(settings: Settings, mapping: SourceMapping) -> tuple[ReportReader, Callable[[], Awaitable[None]]]:
    """What reads reports of labels by a mapping, and what returns when all schemas that it was found lacking are here.

    Raises:
        MappingError: the mapping cannot be used.
    """
    rules, url = ReportRules(ZoneInfo(mapping.zone or "UTC"), settings.refuse_card_numbers), settings.schema_registry_url
    if not url:
        return ReportReader(mapping, rules), _nothing_lacks
    book = SchemaBook()
    fetcher = SchemaFetcher(registry_of(settings), SchemaCopies(settings.model_cache / "schemas", url), book, RETRY_FOR_S)
    return ReportReader(mapping, rules, book), fetcher.fetched


async def _nothing_lacks() -> None:
    """No schema is needed."""


def inputs_of(settings: Settings) -> tuple[Inputs, SchemaFetcher | None]:
    """How records of both inputs are read, and what fetches the schemas of those that are framed, where there is a registry."""
    rules, mapping, url = intake_rules(settings), mapping_of_settings(settings), settings.schema_registry_url
    try:
        mapped = None if mapping is None else MappedReader(mapping)
    except MappingError as error:
        raise _unusable(settings.mapping_file, error) from None
    if not url:
        payments = Decoder(Transaction, rules) if mapped is None else WireDecoder(Transaction, rules, None, mapped)
        return Inputs(payments, Decoder(Label, rules)), None
    book, registry = SchemaBook(), registry_of(settings)
    fetcher = SchemaFetcher(registry, SchemaCopies(settings.model_cache / "schemas", url), book, RETRY_FOR_S)
    return Inputs(WireDecoder(Transaction, rules, book, mapped), WireDecoder(Label, rules, book), fetcher.fetched), fetcher


def mapping_of_settings(settings: Settings) -> SourceMapping | None:
    """The mapping of payments' records; None where none is set.

    Raises:
        SettingsError: it cannot be used; where and why.
    """
    if not (file := settings.mapping_file):
        return None
    try:
        return mapping_in(Path(file))
    except MappingError as error:
        raise _unusable(file, error) from None


def mapping_in(file: Path) -> SourceMapping:
    """The mapping in a file of YAML.

    Raises:
        MappingError: it cannot be used; where and why.
    """
    try:
        with file.open("rb") as opened:
            return mapping_of(opened.read(MOST_MAPPING_BYTES + 1).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"It cannot be read: {error}.") from None


def _unusable(file: str, why: Exception) -> SettingsError:
    return SettingsError(f"FRAUDSTREAM_MAPPING_FILE = {file!r} cannot be used. {why} docs/how-to/wire-formats.md shows one.")


def registry_of(settings: Settings) -> SchemaRegistry:
    """The schema registry of the settings; it is not connected to yet."""
    tls = RegistryTls(
        settings.schema_registry_ssl_cafile,
        settings.schema_registry_ssl_certfile,
        settings.schema_registry_ssl_keyfile,
    )
    return SchemaRegistry(settings.schema_registry_url, tls)
