"""What every test has: settings of nobody, a folder of its own, repeatable random data, and real servers when it asks for them.

- No `FRAUDSTREAM_*` variable, `.env` or `.fraudstream/local.env` of the developer reaches a test: the variables are removed for
  the session, and each test runs in an empty current directory. Files of the project are named from `ROOT`.
- `stack`: Kafka, Redis and MLflow, started once a run by the first test that asks, ended with it. `FRAUDSTREAM_TEST_BACKEND`
  picks where from: `local` (default) or `docker`. Such tests carry the marker `servers` by themselves.
- `foreign`: a Kafka client that shares no code with ours; its tests are skipped, saying why, where it cannot be installed.
- `registry`: a schema registry; its tests are skipped likewise.
- `cluster`: a Redis Cluster of this machine; `redis_url`: one Redis and the cluster in turn.
- `unique`: a suffix for topics, groups and models, so that tests share the servers without meeting.

`make test` runs them in several processes (pytest-xdist), which share `RUN_FOLDER`: servers and trained models are made by the first that
asks. The tests of a file stay in one process, for what the file makes once; those of `e2e`, the longest, come first and go where there is room.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from stream_app.settings import PREFIX
from tests.foreign import Client, NoForeignClientError, foreign_client
from tests.redis_cluster import Cluster, redis_cluster
from tests.schema_registry import NoSchemaRegistryError, Registry, schema_registry
from tests.servers import BACKENDS, Servers, end_servers, servers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
BACKEND = os.environ.get("FRAUDSTREAM_TEST_BACKEND") or "local"
RUN_FOLDER = "TESTS_RUN_FOLDER"
LONGEST_FIRST = ("e2e", "integration", "contract")

# `HYPOTHESIS_PROFILE=thorough` looks for new failures, for long; the default finds the same ones on every machine.
set_hypothesis_home_dir(ROOT / ".hypothesis")
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown backend before anything runs. The first process makes what all share, and ends it after the last test."""
    if BACKEND not in BACKENDS:
        raise pytest.UsageError(f"FRAUDSTREAM_TEST_BACKEND = {BACKEND!r} is unknown; choose from {', '.join(BACKENDS)}")
    if RUN_FOLDER not in os.environ:
        os.environ[RUN_FOLDER] = tempfile.mkdtemp(prefix="fraudstream-tests-")
        config.add_cleanup(_end_run)


def _end_run() -> None:
    folder = Path(os.environ.pop(RUN_FOLDER))
    end_servers(folder / "servers")
    shutil.rmtree(folder)


def pytest_report_header() -> str:
    """Where the servers come from."""
    return f"servers: {BACKEND} (FRAUDSTREAM_TEST_BACKEND={' | '.join(BACKENDS)}), started by the first test that needs them"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use the servers; the longest come first."""
    items.sort(key=lambda item: _rank(item.path))
    for item in items:
        if {"stack", "cluster", "redis_url"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("servers")
        if "e2e" not in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(ROOT))))


def _rank(file: Path) -> int:
    return next((rank for rank, folder in enumerate(LONGEST_FIRST) if folder in file.parts), len(LONGEST_FIRST))


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the developer's, for the session: fixtures of any scope run after this one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.upper().startswith(PREFIX)]:
            patch.delenv(name)
        patch.chdir(tmp_path_factory.mktemp("session"))
        yield


@pytest.fixture(autouse=True)
def _own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current directory: what a program caches in it (models, a `.env`) is not there for the next test."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """A folder that all processes of this run share."""
    return Path(os.environ[RUN_FOLDER])


@pytest.fixture(scope="session")
def stack(_nobodys_settings: None, run_folder: Path) -> Iterator[Servers]:
    """Real Kafka, Redis and MLflow, one set for the run."""
    with servers(BACKEND, run_folder / "servers") as addresses:
        yield addresses


@pytest.fixture(scope="session")
def foreign(run_folder: Path) -> Client:
    """librdkafka, in an environment of its own, one for the run."""
    try:
        return foreign_client(run_folder)
    except NoForeignClientError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """A real schema registry, one for the tests of a file."""
    try:
        with schema_registry() as there:
            yield there
    except NoSchemaRegistryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster(_nobodys_settings: None) -> Iterator[Cluster]:
    """A real Redis Cluster, one for each process of the run."""
    with redis_cluster() as there:
        yield there


@pytest.fixture(params=["redis", "cluster"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """One Redis and a Redis Cluster in turn."""
    return str(request.getfixturevalue("stack").redis if request.param == "redis" else request.getfixturevalue("cluster").url)


@pytest.fixture
def unique() -> str:
    """A short suffix that nobody else uses."""
    return uuid4().hex[:8]
