"""Apache Kafka's own producer, in Java: the jars of the local stack, and a JDK of this machine that runs `ForeignProducer.java` as it stands."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stream_app.local.jars import kafka_jars
from tests.foreign import NoForeignClientError, Placed, Raw, record_line

_SEND_S = 300


@dataclass(frozen=True, slots=True)
class Lot:
    """Records that one producer sends.

    Attributes:
        codec: one of `tests.foreign.CODECS`, or none.
        end: empty, or how the transaction ends that they are sent in: commit or abort.
    """

    records: Sequence[Raw]
    codec: str = "none"
    end: str = ""


@dataclass(frozen=True, slots=True)
class JavaClient:
    """The producer; where a record names no partition, its key does, by murmur2."""

    java: str
    jars: Path = field(default_factory=kafka_jars)

    def placed(self, brokers: str, topic: str, lots: Sequence[Lot]) -> list[list[Placed]]:
        """Publish all lots, one after the other; where each record stands."""
        lines = [json.dumps(_line(brokers, topic, lot)) for lot in lots]
        command = [
            self.java,
            "-Xmx256m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            f"{self.jars}/*",
            str(Path(__file__).with_name("ForeignProducer.java")),
        ]
        ran = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, timeout=_SEND_S, check=False)
        assert ran.returncode == 0, ran.stderr[-2000:]
        return [[(partition, offset) for partition, offset in json.loads(line)] for line in ran.stdout.splitlines()]


def _line(brokers: str, topic: str, lot: Lot) -> dict[str, object]:
    settings = {"bootstrap.servers": brokers, "compression.type": lot.codec, "linger.ms": "100", "acks": "all"}
    if lot.end:
        settings["transactional.id"] = f"java-{topic}-{time.monotonic_ns()}"
    return {"settings": settings, "topic": topic, "end": lot.end, "records": [record_line(record) for record in lot.records]}


def java_client() -> JavaClient:
    """The client of this machine.

    Raises:
        NoForeignClientError: there is no JDK; a runtime alone does not compile.
    """
    compiler = shutil.which("javac")
    if compiler is None:
        raise NoForeignClientError("there is no JDK (javac) for Apache Kafka's own producer")
    return JavaClient(str(Path(compiler).with_name("java")))
