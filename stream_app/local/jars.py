"""The jars of Apache Kafka: resolved and downloaded from Maven Central once, by jgo, then kept in the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import ssl
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_app.errors import Unavailable
from stream_app.local import packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    type OnDownload = Callable[[int, int], None]
    """Called with bytes done and bytes in total."""

KAFKA_VERSION = "4.1.2"
# "!" keeps jgo from taking a coordinate's dependencyManagement for everybody's: that of log4j would replace kafka-clients by 3.9.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}!", "org.apache.logging.log4j:log4j-slf4j-impl:2.25.2!")
DOWNLOAD_BYTES = 45_585_134  # jars and POMs of these very versions
REMOTE_REPOS: dict[str, str] | None = None  # jgo's own: Maven Central
TIMEOUT_S = 30
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where Debian, Red Hat and others keep the certificates that the system trusts."""


def kafka_jars(on_progress: OnDownload | None = None) -> Path:
    """Folder with all jars of Kafka, complete or not there at all. Without network after the first time.

    1. Under a lock, so that two stacks download once;
    2. download into a folder of its own, left from a killed start or not;
    3. rename it to the final name, which therefore never holds half a download.

    Raises:
        Unavailable: Maven Central did not answer.
        Stop: jgo is not installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fraudstream"
    done = cache / f"kafka-{KAFKA_VERSION}"
    if done.is_dir():
        return done
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            partial = cache / f"kafka-{KAFKA_VERSION}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            _download(partial, on_progress or (lambda _done, _total: None))
            (partial / "jars").rename(done)
            shutil.rmtree(partial)
    return done


def _download(partial: Path, on_progress: OnDownload) -> None:
    packages.folder("jgo")
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - needed once in the life of a cache

    resolver = PythonResolver(progress_callback=_DownloadBar(on_progress).file)
    context = MavenContext(resolver, repo_cache=partial / "maven", remote_repos=REMOTE_REPOS, timeout=TIMEOUT_S)
    try:
        with _system_trust():
            wanted, needed = resolver.resolve([context.create_dependency(c) for c in COORDINATES])
            jars: list[Path] = [dependency.artifact.resolve() for dependency in (*wanted, *needed)]
    except (OSError, RuntimeError, ValueError) as error:  # those of requests are OSErrors
        why = " ".join(str(error).split())[:200]
        raise Unavailable(
            f"Apache Kafka could not be downloaded: Maven Central did not give it: {why}. "
            "The first start needs the network once: check the connection, HTTPS_PROXY and REQUESTS_CA_BUNDLE, then repeat"
        ) from error
    flat = partial / "jars"
    flat.mkdir()
    for jar in jars:
        if not zipfile.is_zipfile(jar):
            raise Unavailable(
                f"{jar.name} from Maven Central is not a jar: a proxy may have answered in its place; repeat once it is reachable"
            )
        jar.rename(flat / jar.name)


@contextmanager
def _system_trust() -> Iterator[None]:
    """Let requests, which jgo downloads with, trust what the system trusts: a company's proxy is in that list, not in certifi's.

    Whoever names a bundle in REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE keeps it.
    """
    bundle = next((b for b in (ssl.get_default_verify_paths().cafile, *SYSTEM_BUNDLES) if b and Path(b).is_file()), None)
    if bundle is None or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE"):
        yield
        return
    os.environ["REQUESTS_CA_BUNDLE"] = bundle
    try:
        yield
    finally:
        del os.environ["REQUESTS_CA_BUNDLE"]


class _DownloadBar:
    """Adds up what jgo reports file by file."""

    def __init__(self, on_progress: OnDownload) -> None:
        self._on_progress = on_progress
        self._done = 0

    @contextmanager
    def file(self, _name: str, _size: int) -> Iterator[Any]:
        yield self._more

    def _more(self, count: int) -> None:
        self._done = min(self._done + count, DOWNLOAD_BYTES)
        self._on_progress(self._done, DOWNLOAD_BYTES)
