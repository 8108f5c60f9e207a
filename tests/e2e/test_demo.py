"""`fraudstream demo`, small, on servers of its own: it is alone, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stream_app.local.stack import LocalStack
from tests.waiting import DEADLINE_S, until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]
HOME = Path(".fraudstream") / "demo"
USERS = """\
FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:9
FRAUDSTREAM_MLFLOW_TRACKING_URI=http://127.0.0.1:9
FRAUDSTREAM_TRANSACTIONS_TOPIC=production
FRAUDSTREAM_MODEL_NAME=production
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: settings of a real cluster (one that answers nobody) in `.env`, which no demo may touch."""
    tmp_path.joinpath(".env").write_text(USERS)
    return tmp_path


def running_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in a folder or below it."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def demo(folder: Path, data: Path) -> subprocess.Popen[str]:
    """A small demo of a user who also has a setting in the environment, on a build server, whose variables make libraries colour files."""
    command = [sys.executable, "-u", "-m", "stream_app.cli", "demo", "--data", str(data), "--rate", "500", "--most", "500"]
    environment = {**os.environ, "FRAUDSTREAM_REDIS_URL": "redis://127.0.0.1:9/0", "CI": "true", "GITHUB_ACTIONS": "true"}
    with folder.joinpath("told").open("wb") as told:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=told, stderr=told, text=True)


def test_a_small_demo_scores_its_file_with_nobodys_settings_and_stops_all(folder: Path, simulated: Path) -> None:
    """The servers that a killed demo left are ended too; the summary tells of what was sent, and nothing runs afterwards."""
    LocalStack(folder / HOME).up(("redis",))
    left = running_in(folder)
    assert left
    with demo(folder, simulated) as process:
        assert process.wait(600) == 0, folder.joinpath("told").read_text()
    told = folder.joinpath("told").read_text()
    assert "500 of 500 sent" in told
    assert "of the frauds are alerted" in told
    assert "refused" not in told
    assert "production" not in told
    for text in (told, folder.joinpath(HOME, "worker.log").read_text()):
        assert "Holding" in text or "Summary" in text
        assert not {"\x1b", "\r", "\b"} & set(text), "codes for a terminal in a file"
    assert running_in(folder) == []


def test_a_demo_that_is_told_to_end_stops_what_it_started(folder: Path, simulated: Path) -> None:
    """SIGTERM in the middle of its training: its servers are stopped, and the exit code says why."""
    with demo(folder, simulated) as process:
        until(lambda: process.poll() is not None or "Train a model" in folder.joinpath("told").read_text(), "the servers to stand")
        assert len(running_in(folder)) > 3, folder.joinpath("told").read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM, folder.joinpath("told").read_text()
    assert "Stopped." in folder.joinpath("told").read_text()
    assert running_in(folder) == []
