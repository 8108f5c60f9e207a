"""A client of Kafka that shares no code with ours: librdkafka, by confluent-kafka in an environment of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stream_app.local.record import locked

CODECS = ("gzip", "snappy", "lz4", "zstd")
_PACKAGE = "confluent-kafka[avro,json,schemaregistry]==2.16.1"
_INSTALL_S, _SEND_S = 180, 180
_NOW = 0


class NoForeignClientError(Exception):
    """It cannot be installed here; the text says why."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A record, byte for byte.

    Attributes:
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
        ours = {
            "bootstrap.servers": brokers,
            "compression.codec": codec,
            "linger.ms": 60_000,  # `flush` sends what waits, at once
            "message.max.bytes": 1_000_000_000,
            "batch.size": 1_000_000_000,
            "batch.num.messages": 1_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
        }
        lines = [{"settings": ours | dict(settings or {}), "topic": topic}, *map(_line, records)]
        offsets: list[int] = json.loads(self._ran("foreign_producer.py", lines))
        return offsets

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


def _line(record: Raw) -> dict[str, Any]:
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
            for command in (
                [sys.executable, "-m", "venv", str(home)],
                [str(client.python), "-m", "pip", "install", "--quiet", "--no-input", "--only-binary", ":all:", _PACKAGE],
            ):
                ran = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
                if ran.returncode:
                    failed.write_text(f"{_PACKAGE} could not be installed: {(ran.stderr or ran.stdout).strip().splitlines()[-1]}")
                    raise NoForeignClientError(failed.read_text())
            (home / "ready").touch()
    return client
