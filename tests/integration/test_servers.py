"""The fixtures that other tests stand on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream_app.local import health
from stream_app.settings import PREFIX, load_settings
from tests.conftest import ROOT
from tests.servers import Servers, servers


def test_the_three_servers_answer(stack: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the addresses that the settings then name."""
    for name, value in stack.environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert health.kafka_serves(settings.kafka_bootstrap_servers)
    assert health.redis_answers(settings.redis_url)
    assert health.mlflow_answers(settings.mlflow_tracking_uri)


def test_tests_that_use_the_servers_are_marked(stack: Servers, request: pytest.FixtureRequest) -> None:
    """`-m "not servers"` leaves out all of them."""
    del stack
    assert request.node.get_closest_marker("servers")


def test_no_setting_of_the_developer_reaches_a_test() -> None:
    """Neither variables nor files: the current directory is empty and not the project's."""
    assert [n for n in os.environ if n.startswith(PREFIX)] == []
    assert list(Path.cwd().iterdir()) == []
    assert not Path.cwd().is_relative_to(ROOT)


def test_an_unknown_backend_is_refused(tmp_path: Path) -> None:
    """The message names those there are."""
    with pytest.raises(ValueError, match="choose from local, docker"), servers("podman", tmp_path):
        pass
