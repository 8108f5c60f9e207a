"""Where a file of rows lies: one file, a folder of parts, a pattern, here or behind `s3://`; and its bytes, unpacked.

    payments.csv  payments.csv.gz  payments.jsonl.zst     one file
    payments/                                             all files of a known format below it, in order of their names
    "payments/2026-*.parquet"                             those that fit, likewise
    s3://bucket/payments/  s3://bucket/2026-*.csv         the same in an object store that speaks S3

Which store and whose login: the environment of AWS's own programs (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
profiles, roles). All parts are of one format.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.fs as arrow_fs

from stream_app.errors import DataError
from training.data import object_store

KINDS = {".parquet": ".parquet", ".csv": ".csv", ".jsonl": ".jsonl", ".ndjson": ".jsonl", ".tsv": ".csv"}
PACKINGS = {".gz": "gzip", ".zst": "zstd"}
MOST_PARTS = 10_000
_S3 = re.compile(r"s3:/{1,2}(?=[^/])")
"""A path makes one stroke of two."""
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file.

    Attributes:
        files: where it lies.
        name: its path there.
        kind: `.parquet`, `.csv` or `.jsonl`.
        packing: `gzip`, `zstd`, or empty.
        size: in bytes, as it lies there.
    """

    files: Any
    name: str
    kind: str
    packing: str
    size: int

    def opened(self) -> Any:
        """Its bytes, unpacked; without the mark of UTF-8 that some programs write first."""
        raw = self.files.open_input_stream(self.name, compression=None)
        buffered = io.BufferedReader(pa.CompressedInputStream(raw, self.packing) if self.packing else raw)
        if buffered.peek(len(codecs.BOM_UTF8)).startswith(codecs.BOM_UTF8):
            buffered.read(len(codecs.BOM_UTF8))
        return buffered

    def at_random(self) -> Any:
        """Its bytes as they lie there, from any place: as Parquet is read."""
        return self.files.open_input_file(self.name)


def parts_of(path: Path) -> list[FilePart]:
    """The files that a path means, in order of their names.

    Raises:
        DataError: there are none, they are of no known format or of several, one is empty, or the store does not answer.
    """
    text = str(path)
    is_stored = _S3.match(text) is not None
    files, name = (object_store.store(), _S3.sub("", text)) if is_stored else (arrow_fs.LocalFileSystem(), os.path.abspath(text))  # noqa: PTH100 - links stay
    try:
        parts = _found(path, files, name)
    except (OSError, pa.ArrowException) as error:
        why = object_store.why_not(name, error) if is_stored else f"{' '.join(str(error).split())[:300]}. Check the path and its rights."
        raise DataError(f"{shown(path)} cannot be reached: {why}") from None
    if len({part.kind for part in parts}) > 1:
        kinds = ", ".join(sorted({part.kind for part in parts}))
        raise DataError(f"{shown(path)} has files of several formats ({kinds}). Give one format, as {shown(path)}/*{parts[0].kind}.")
    if empty := next((part.name for part in parts if not part.size), None):
        raise DataError(f"{empty} is empty (0 bytes). Give a file with transactions; `fraudstream simulate` makes one.")
    return parts


def shown(path: Path) -> str:
    """A path as its user wrote it."""
    return _S3.sub("s3://", str(path), count=1)


def digest_of(path: Path) -> str:
    """SHA-256 in hex: of a file its bytes', of several that of theirs in order."""
    parts, digests = parts_of(path), []
    for part in parts:
        with part.files.open_input_stream(part.name, compression=None) as stream:
            digest = hashlib.sha256()
            while piece := stream.read(2**20):
                digest.update(piece)
            digests.append(digest.hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def kind_of_name(name: str) -> tuple[str, str] | None:
    """Format and packing by a name's suffixes; None of any other."""
    plain = PurePosixPath(name)
    packing = PACKINGS.get(plain.suffix.lower(), "")
    kind = KINDS.get(plain.with_suffix("").suffix.lower() if packing else plain.suffix.lower())
    return None if kind is None or (kind == ".parquet" and packing) else (kind, packing)


def _found(path: Path, files: Any, name: str) -> list[FilePart]:
    info = files.get_file_info(name)
    kind = kind_of_name(name)
    is_one = info.type == arrow_fs.FileType.File
    if kind is None and not _PATTERN.search(name) and (is_one or (info.type == arrow_fs.FileType.NotFound and Path(name).suffix)):
        told = f"the suffix {Path(name).suffix!r} is of no known format. Convert or rename the file to {', '.join(KINDS)}"
        raise DataError(f"{shown(path)}: {told}; all but Parquet may be packed ({', '.join(PACKINGS)}).")
    if is_one and kind is not None:
        return [FilePart(files, name, *kind, info.size)]
    pattern = _PATTERN.search(name)
    folder = name if pattern is None else str(PurePosixPath(name[: pattern.start()] + "x").parent)
    below = files.get_file_info(arrow_fs.FileSelector(folder, recursive=True, allow_not_found=True))
    if pattern is None and info.type == arrow_fs.FileType.NotFound and not below:
        raise DataError(_not_there(path, name))
    fits = [
        one
        for one in below
        if one.type == arrow_fs.FileType.File and (pattern is None or fnmatchcase(one.path, name)) and not _hidden(one, folder)
    ]
    parts = [FilePart(files, one.path, *kind, one.size) for one in fits if (kind := kind_of_name(one.path)) is not None]
    if not parts:
        if not below and _S3.match(str(path)) and (why := object_store.why_not(name)):
            raise DataError(f"{shown(path)} cannot be reached: {why}")
        raise DataError(f"{shown(path)} has no file of a known format ({', '.join(KINDS)}). Check the path, or the suffixes.")
    if len(parts) > MOST_PARTS:
        raise DataError(
            f"{shown(path)} has {len(parts):,} files; {MOST_PARTS:,} are read at the most. Put them together, or give a pattern."
        )
    return sorted(parts, key=lambda part: part.name)


def _not_there(path: Path, name: str) -> str:
    """What is said of a path where nothing is: in a store the bucket, or the whole of it, may be what is not there."""
    if not _S3.match(str(path)):
        return f"{path} is not there. Check the path; `fraudstream simulate --out {path}` makes such a file."
    if why := object_store.why_not(name):
        return f"{shown(path)} cannot be reached: {why}"
    return f"{shown(path)} is not there, and its bucket is. Check the path."


def _hidden(one: Any, folder: str) -> bool:
    """What programs write beside the data: `_SUCCESS`, `_temporary/`, `.part-0.crc`."""
    return any(name.startswith(("_", ".")) for name in PurePosixPath(one.path).relative_to(folder).parts)
