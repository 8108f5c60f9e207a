"""A client of Kafka that shares no code with ours: librdkafka, by confluent-kafka in an environment of its own."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stream_app.local.record import locked

CODECS = ("gzip", "snappy", "lz4", "zstd")
_PACKAGE = "confluent-kafka[avro,json,schemaregistry]==2.16.1"
_INSTALL_S, _SEND_S = 180, 180
_UV = Path(__file__).parents[1] / ".tools" / "uv" / "bin" / "uv"
"""Where `make install` puts it, where there is none on PATH."""
_NOW = 0

type Placed = tuple[int, int]
"""Partition and offset of a record."""


class NoForeignClientError(Exception):
    """It cannot be installed here; the text says why."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A record, byte for byte.

    Attributes:
        partition: -1 for the one that the client's partitioner picks by the key.
        timestamp_ms: 0 for the time of sending.
    """

    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int = _NOW


@dataclass(frozen=True, slots=True)
class Serializer:
    """How a message is serialized.

    Attributes:
        topic: by which its subject is named.
        schema: its schema, as text.
        kind: AVRO or JSON.
        part: value or key.
        by_header: whether the schema's GUID goes into a header, and nothing before the content.
    """

    topic: str
    schema: str
    kind: str = "AVRO"
    part: str = "value"
    by_header: bool = False


@dataclass(frozen=True, slots=True)
class Serialized:
    """What a serializer made of a message."""

    content: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Client:
    """librdkafka's producer, in the environment of this Python."""

    python: Path

    def send(
        self, brokers: str, topic: str, records: Sequence[Raw], codec: str = "none", settings: Mapping[str, Any] | None = None
    ) -> list[int]:
        """Publish all, and wait until the broker has them. Records of one partition are sent as one batch.

        Args:
            brokers: host:port.
            topic: it exists.
            records: in their order.
            codec: one of `CODECS`, or none. librdkafka compresses a batch only where that makes it smaller.
            settings: of librdkafka, in place of ours.

        Returns:
            the offset of each.
        """
        return [offset for _, offset in self.placed(brokers, topic, records, codec, settings)]

    def placed(
        self, brokers: str, topic: str, records: Sequence[Raw], codec: str = "none", settings: Mapping[str, Any] | None = None
    ) -> list[Placed]:
        """As `send`: the partition and offset of each, for records that leave the partition to librdkafka's partitioner."""
        lines = [_head(brokers, topic, codec, settings or {}), *map(record_line, records)]
        return [(partition, offset) for partition, offset in json.loads(self._ran("foreign_producer.py", lines))]

    @contextmanager
    def transaction(self, brokers: str, topic: str, records: Sequence[Raw], codec: str, *, commit: bool) -> Iterator[list[Placed]]:
        """Publish all within a transaction that is open until the block ends, and then committed or aborted; where each record stands."""
        settings = {"transactional.id": f"{topic}-{time.monotonic_ns()}", "linger.ms": 1_000}
        lines = [_head(brokers, topic, codec, settings), *map(record_line, records)]
        command: list[str | Path] = [self.python, Path(__file__).with_name("foreign_producer.py")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            try:
                running.stdin.write("\n".join(map(json.dumps, lines)) + "\n\n")
                running.stdin.flush()
                yield [(partition, offset) for partition, offset in json.loads(running.stdout.readline())]
                running.communicate("commit\n" if commit else "abort\n", _SEND_S)
            finally:
                running.kill()
        assert running.returncode == 0, f"a transaction of {topic} did not end"

    def serialized(self, registry: str, form: Serializer, messages: Sequence[Any]) -> list[Serialized]:
        """Messages as Confluent's serializers write them, their schemas registered by them.

        Args:
            registry: its URL; `mock://` for one within the client, which alone has GUIDs.
            form: how.
            messages: values, or whole keys.
        """
        lines = [{"registry": registry, **asdict(form)}, *messages]
        return [
            Serialized(base64.b64decode(line["content"]), [(name, base64.b64decode(value)) for name, value in line["headers"]])
            for line in map(json.loads, self._ran("foreign_serializer.py", lines).splitlines())
        ]

    def _ran(self, script: str, lines: Sequence[Any]) -> str:
        """What a script of this folder prints that is given these lines, as JSON."""
        command: list[str | Path] = [self.python, Path(__file__).with_name(script)]
        ran = subprocess.run(command, input="\n".join(map(json.dumps, lines)), capture_output=True, text=True, timeout=_SEND_S, check=False)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def _head(brokers: str, topic: str, codec: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The first line of what `foreign_producer.py` is given."""
    ours = {
        "bootstrap.servers": brokers,
        "compression.codec": codec,
        "linger.ms": 60_000,  # `flush` sends what waits, at once
        "message.max.bytes": 1_000_000_000,
        "batch.size": 1_000_000_000,
        "batch.num.messages": 1_000_000,
        "queue.buffering.max.kbytes": 2_000_000,
    }
    return {"settings": ours | dict(settings), "topic": topic}


def record_line(record: Raw) -> dict[str, Any]:
    """A record as the foreign producers are given it."""
    return {
        "value": _text(record.value),
        "key": _text(record.key),
        "partition": record.partition,
        "headers": [(name, _text(value)) for name, value in record.headers],
        "timestamp_ms": record.timestamp_ms,
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def foreign_client(folder: Path) -> Client:
    """The client; its environment is made by the first who asks with this folder, which several processes may name.

    Raises:
        NoForeignClientError: there is no package index, or no wheel for this machine.
    """
    home, failed = folder / "foreign", folder / "foreign.failed"
    client = Client(home / "bin" / "python")
    with locked(folder / "foreign.lock"):
        if failed.exists():
            raise NoForeignClientError(failed.read_text())
        if not (home / "ready").exists():
            for command in _installing(home, client.python):
                ran = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
                if ran.returncode:
                    failed.write_text(f"{_PACKAGE} could not be installed: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}")
                    raise NoForeignClientError(failed.read_text())
            (home / "ready").touch()
    return client


def _installing(home: Path, python: Path) -> tuple[list[str], list[str]]:
    """The commands that make the environment: uv's, which are done in a second where it has the wheels, or Python's own."""
    uv, wheels = shutil.which("uv") or (str(_UV) if _UV.exists() else None), ["--quiet", "--only-binary", ":all:", _PACKAGE]
    if uv is None:
        return [sys.executable, "-m", "venv", str(home)], [str(python), "-m", "pip", "install", "--no-input", *wheels]
    return [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(home)], [
        uv,
        "pip",
        "install",
        "--python",
        str(python),
        *wheels,
    ]
