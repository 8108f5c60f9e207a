"""A real schema registry, Apicurio, by its release in Maven Central: Confluent's API at `/apis/ccompat/v7`, schemas in memory.

It has no look-up by GUID; Confluent's own, which has, is in no package index. What rests on that is held against the documented contract alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
from jgo.maven import MavenContext, PythonResolver

from stream_app.local import packages
from stream_app.local.jars import REMOTE_REPOS, _system_trust
from stream_app.local.record import locked
from stream_app.local.stack import free_ports
from tests.waiting import until

_VERSION = "2.6.13.Final"
_TIMEOUT_S = 120


class NoSchemaRegistryError(Exception):
    """It cannot be downloaded here; the text says why."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry that answers."""

    url: str
    port: int

    def register(self, subject: str, schema: object, kind: str = "AVRO", references: Mapping[str, str] | None = None) -> int:
        """The id of a schema, registered where it was not.

        Args:
            subject: of it.
            schema: as text, or to be written as such.
            kind: AVRO, JSON or PROTOBUF.
            references: the subjects, in their first version, of the types that it names.
        """
        text = schema if isinstance(schema, str) else json.dumps(schema)
        others = [{"name": name, "subject": of, "version": 1} for name, of in (references or {}).items()]
        body = {"schema": text, "schemaType": kind, "references": others}
        answer = httpx.post(f"{self.url}/subjects/{quote(subject, safe='')}/versions", json=body, timeout=30)
        assert answer.is_success, answer.text
        return int(answer.json()["id"])


@contextmanager
def schema_registry(port: int | None = None) -> Iterator[Registry]:
    """A registry of its own, at this port or a free one, ended on leaving.

    Raises:
        NoSchemaRegistryError: it cannot be downloaded.
    """
    home, port = _release(), port or free_ports(1)[0]
    command = [str(packages.java()), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", f"apicurio-registry-app-{_VERSION}-runner.jar"]
    variables = {**os.environ, "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)}
    with subprocess.Popen(command, cwd=home, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        registry = Registry(f"http://127.0.0.1:{port}/apis/ccompat/v7", port)
        try:
            until(lambda: process.poll() is not None or _answers(registry), "the schema registry to answer")
            assert process.poll() is None, "the schema registry ended"
            yield registry
        finally:
            process.kill()


def _answers(registry: Registry) -> bool:
    try:
        return httpx.get(f"{registry.url}/subjects", timeout=5).is_success
    except httpx.HTTPError:
        return False


def _release() -> Path:
    """The folder of the release, in the user's cache, where the jars of Kafka are too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fraudstream"
    home = cache / f"apicurio-{_VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "apicurio.lock"):
        if not home.is_dir():
            partial = cache / f"apicurio-{_VERSION}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            with tarfile.open(_downloaded(partial / "maven")) as release:
                release.extractall(partial / "release", filter="data")
            (partial / "release").rename(home)
            shutil.rmtree(partial)
    return home


def _downloaded(maven: Path) -> Path:
    context = MavenContext(PythonResolver(), repo_cache=maven, remote_repos=REMOTE_REPOS, timeout=_TIMEOUT_S)
    try:
        with _system_trust():
            component = context.project("io.apicurio", "apicurio-registry-app").at_version(_VERSION)
            return Path(component.artifact("all", "tar.gz").resolve())
    except (OSError, RuntimeError, ValueError) as error:
        raise NoSchemaRegistryError(f"Apicurio {_VERSION} could not be downloaded: {' '.join(str(error).split())[:200]}") from error
