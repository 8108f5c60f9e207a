"""Where peers run: a JVM's classes by Maven, an environment of Python of its own. Both lie outside the source tree and are made once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stream_app.local.record import locked

PROJECT = Path(__file__).parents[2]
BUILT = PROJECT / "build" / "peers"
_HERE = Path(__file__).parent
_MAKE_S = 1200  # ONNX Runtime for Java alone is a hundred megabytes
_LAST = 12


class NoPeerError(Exception):
    """A peer cannot be made here; the text says why, and what to install."""


def kafka_streams() -> list[str]:
    """What starts the scorer of Kafka Streams.

    Raises:
        NoPeerError: no Maven or JDK of 17 or later here, or its packages could not be fetched.
    """
    for program in ("mvn", "javac", "java"):
        if shutil.which(program) is None:
            raise NoPeerError(f"{program} is not on the PATH. Install Maven and a JDK, 17 or later.")
    home, project = BUILT / "kafka-streams", _HERE / "kafka_streams"
    pom, sources = project / "pom.xml", sorted(project.rglob("*.java"))
    build = ["mvn", "--batch-mode", "--quiet", "--no-transfer-progress", "--file", str(pom), f"-Dout={home}", "process-classes"]
    _make_once(home, [pom, *sources], [build])
    return [
        "java",
        "-Xms1g",
        "-Xmx1g",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{home / 'classes'}:{home / 'lib'}/*",
        "peers.Scorer",
    ]


def quix() -> list[str]:
    """What starts the scorer of Quix Streams.

    Raises:
        NoPeerError: its packages could not be installed.
    """
    home, lock = BUILT / "quix", _HERE / "quix-requirements.lock"
    python = str(home / "bin" / "python")
    packages = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    if (uv := _uv()) is None:
        commands = [[sys.executable, "-m", "venv", str(home)], [python, "-m", "pip", "install", "--quiet", "--no-input", *packages]]
    else:
        commands = [
            [sys.executable, "-m", "venv", "--without-pip", str(home)],
            [uv, "pip", "install", "--quiet", "--python", python, *packages],
        ]
    _make_once(home, [lock], commands)
    return [python, "-m", "benchmarks.peers.quix_scorer"]


def faust() -> list[str]:
    """What starts the naive agent: this environment has Faust."""
    return [sys.executable, "-m", "benchmarks.peers.faust_agent"]


def _uv() -> str | None:
    ours = PROJECT / ".tools" / "uv" / "bin" / "uv"
    return shutil.which("uv") or (str(ours) if ours.exists() else None)


def _make_once(home: Path, sources: Sequence[Path], commands: Sequence[Sequence[str]]) -> None:
    """Run the commands that fill a folder, where it was not yet filled from what the sources are now."""
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
    ready = home / "ready"
    home.parent.mkdir(parents=True, exist_ok=True)
    with locked(home.with_suffix(".lock")):
        if ready.exists() and ready.read_text() == digest:
            return
        shutil.rmtree(home, ignore_errors=True)
        for command in commands:
            _run(command)
        ready.write_text(digest)


def _run(command: Sequence[str]) -> None:
    try:
        ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_MAKE_S, check=False)
    except subprocess.TimeoutExpired:
        raise NoPeerError(f"`{' '.join(command[:4])} …` took more than {_MAKE_S} s. Look at the network, and run it again.") from None
    if ran.returncode:
        raise NoPeerError(f"`{' '.join(command[:4])} …` ended with {ran.returncode}: {' '.join(ran.stdout.strip().splitlines()[-_LAST:])}")
