"""A worker that cannot start says why in one line and ends with the exit code of the cause."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from stream_app.errors import ClockBehind, SettingsError, TopologyError
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


SLOW = """
import sys, time
from stream_app.bootstrap import SystemClock
SystemClock.now_ms = lambda _: round((time.time() - {behind_s}) * 1000)
from stream_app.worker import run
sys.exit(run())
"""


def test_a_machine_whose_clock_is_hours_behind_ends_the_worker_before_it_takes_a_payment(
    stack: Servers, unique: str, tmp_path: Path, port: int
) -> None:
    """Redis' clock contradicts it: exit 72, how far it is behind, and the remedy. No topic was looked at: there is none."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": stack.kafka, "REDIS_URL": stack.redis, "TRANSACTIONS_TOPIC": unique}
    with worker(env, port, tmp_path, ("-c", SLOW.format(behind_s=7200))) as running:
        assert running.process.wait(DEADLINE_S) == ClockBehind.exit_code
        assert "This machine's clock is 7,200 s behind that of Redis" in running.log.read_text()


def test_a_machine_whose_clock_is_minutes_behind_starts(stack: Servers, unique: str, tmp_path: Path, port: int) -> None:
    """What it then lacks is the topics."""
    env = {"KAFKA_BOOTSTRAP_SERVERS": stack.kafka, "REDIS_URL": stack.redis, "TRANSACTIONS_TOPIC": unique}
    with worker(env, port, tmp_path, ("-c", SLOW.format(behind_s=1200))) as running:
        assert running.process.wait(DEADLINE_S) == TopologyError.exit_code
