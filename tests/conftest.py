"""What every test has: settings of nobody, a folder of its own, repeatable random data, and real servers when it asks for them.

- No `FRAUDSTREAM_*` variable, `.env` or `.fraudstream/local.env` of the developer reaches a test: the variables are removed for
  the session, and each test runs in an empty current directory. Files of the project are named from `ROOT`.
- `stack`: Kafka, Redis and MLflow, started once a session by the first test that asks, ended with it. `FRAUDSTREAM_TEST_BACKEND`
  picks where from: `local` (default) or `docker`. Such tests carry the marker `servers` by themselves.
- `unique`: a suffix for topics, groups and models, so that tests share the servers without meeting.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from stream_app.settings import PREFIX
from tests.servers import BACKENDS, Servers, start_servers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
BACKEND = os.environ.get("FRAUDSTREAM_TEST_BACKEND") or "local"

# `HYPOTHESIS_PROFILE=search` looks for new failures; the default finds the same ones on every machine.
set_hypothesis_home_dir(ROOT / ".hypothesis")
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or "repeatable")


def pytest_configure() -> None:
    """Refuse an unknown backend before anything runs."""
    if BACKEND not in BACKENDS:
        raise pytest.UsageError(f"FRAUDSTREAM_TEST_BACKEND = {BACKEND!r} is unknown; choose from {', '.join(BACKENDS)}")


def pytest_report_header() -> str:
    """Where the servers come from."""
    return f"servers: {BACKEND} (FRAUDSTREAM_TEST_BACKEND={' | '.join(BACKENDS)}), started by the first test that needs them"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use the servers."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")


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
def stack(_nobodys_settings: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Real Kafka, Redis and MLflow, one set for the session."""
    servers = start_servers(BACKEND, tmp_path_factory.mktemp("servers") / "stack")
    try:
        yield servers
    finally:
        servers.stop()


@pytest.fixture
def unique() -> str:
    """A short suffix that nobody else uses."""
    return uuid4().hex[:8]
