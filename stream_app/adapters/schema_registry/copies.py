"""Copies of schemas on disk, for when the registry is away; each is checked when it is read back."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
from loguru import logger

from stream_app.wire.avro import MOST_SCHEMA_BYTES
from stream_app.wire.framing import SchemaId
from stream_app.wire.schemas import KnownSchema

MOST_COPIES = 10_000
_MOST_COPY_BYTES = 8 * MOST_SCHEMA_BYTES
"""A sign of a schema takes up to six bytes in JSON."""


class _Kept(msgspec.Struct, frozen=True):
    schema: SchemaId
    kind: str
    text: str
    sha256: str
    references: tuple[str, ...] = ()


class SchemaCopies:
    """The copies of one registry, a file each."""

    def __init__(self, folder: Path, registry: str) -> None:
        """Keep those of a registry in its own folder below `folder`."""
        self.folder = folder / hashlib.sha256(registry.encode()).hexdigest()[:16]
        self._count: int | None = None

    def read(self, schema: SchemaId) -> KnownSchema | None:
        """The copy of a schema; None where there is none that is whole."""
        file = self.file_of(schema)
        try:
            content = file.read_bytes() if file.stat().st_size <= _MOST_COPY_BYTES else b""
            kept = msgspec.json.decode(content, type=_Kept)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, msgspec.MsgspecError) as error:
            why = str(error)
        else:
            known = KnownSchema(kept.kind, kept.text, kept.references)
            if kept.schema == schema and kept.sha256 == _sum_of(schema, known):
                return known
            why = "its SHA-256 is another"
        logger.warning("The copy of schema {} in {} is damaged ({}): it is not used.", schema, file, why)
        return None

    def keep(self, schema: SchemaId, known: KnownSchema) -> None:
        """Keep a copy, moved into place whole; a disk that takes none is told of once, and does without."""
        file = self.file_of(schema)
        try:
            if self._count is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._count = sum(1 for _ in self.folder.glob("*.json"))
            if self._count >= MOST_COPIES:
                return
            unfinished = file.with_suffix(f".{os.getpid()}")
            unfinished.write_bytes(msgspec.json.encode(_Kept(schema, known.kind, known.text, _sum_of(schema, known), known.references)))
            unfinished.replace(file)
            self._count += 1
        except OSError as error:
            if self._count != MOST_COPIES:
                logger.warning(
                    "No copies of schemas are kept in {}: {}. Without one this worker waits for the registry at a start: make the folder "
                    "writable, or set FRAUDSTREAM_MODEL_CACHE to one that is.",
                    self.folder,
                    error,
                )
            self._count = MOST_COPIES

    def file_of(self, schema: SchemaId) -> Path:
        """Where its copy is, or would be."""
        return self.folder / f"{schema}.json"


def _sum_of(schema: SchemaId, known: KnownSchema) -> str:
    texts = (str(schema), known.kind, known.text, *known.references)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()
