"""A worker that cannot start says why in one line and ends with the exit code of the cause."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stream_app.errors import SettingsError
from tests.e2e.workers import worker
from tests.servers import Servers
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.servers


def test_a_metrics_port_that_is_taken_ends_the_worker_with_one_line(stack: Servers, tmp_path: Path) -> None:
    """As the second worker of a machine meets it: exit 78, the setting and the remedy."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with worker({"KAFKA_BOOTSTRAP_SERVERS": stack.kafka, "REDIS_URL": stack.redis}, port, tmp_path) as running:
            assert running.process.wait(DEADLINE_S) == SettingsError.exit_code
            assert f"FRAUDSTREAM_METRICS_PORT = {port} is taken" in running.log.read_text()


def test_a_rates_file_that_is_not_there_ends_the_worker_with_one_line(stack: Servers, tmp_path: Path, port: int) -> None:
    """Exit 78, and the setting by its name."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": stack.kafka, "REDIS_URL": stack.redis, "RATES_FILE": "nope.json"}
    with worker(env, port, tmp_path) as running:
        assert running.process.wait(DEADLINE_S) == SettingsError.exit_code
        assert "FRAUDSTREAM_RATES_FILE 'nope.json' cannot be read" in running.log.read_text()
