"""Two real API processes behind one port: both answer, one that is killed comes back, Prometheus sees both, and all end when told."""

from __future__ import annotations

import re
import signal
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil

from tests.e2e.workers import Worker, worker
from tests.waiting import until

PORT = 19_488
NOWHERE = {"REDIS_URL": "redis://127.0.0.1:1/0", "MLFLOW_TRACKING_URI": "http://127.0.0.1:1", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def seen(running: Worker) -> set[str]:
    """Numbers of the processes in the metrics of whichever process answered."""
    assert running.process.poll() is None, running.log.read_text()
    return set(re.findall(r'^process_cpu_seconds_total\{process="(\d+)"\}', running.status("metrics")[1], re.MULTILINE))


def serving(running: Worker) -> list[psutil.Process]:
    """The processes that accept requests."""
    return [one for one in psutil.Process(running.process.pid).children() if _serves(one)]


def _serves(child: psutil.Process) -> bool:
    """Whether it is one, and lives: beside them there is one that watches over shared resources."""
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return "multiprocessing.spawn" in " ".join(child.cmdline())
    return False


def up(tmp_path: Path) -> AbstractContextManager[Worker]:
    """No server is needed: without a model and Redis all of them are alive, and not ready."""
    env = {**NOWHERE, "API_PORT": str(PORT), "API_PROCESSES": "2", "MODEL_CACHE": str(tmp_path / "models")}
    return worker(env, PORT, tmp_path, ("-m", "stream_app.cli", "api"))


def test_processes_whose_supervisor_is_killed_end_and_free_the_port(tmp_path: Path) -> None:
    """Rule 3 of `processes`: nobody goes on answering whom nobody can tell to end."""
    with up(tmp_path) as running:
        until(lambda: seen(running) == {"0", "1"}, "both processes in the metrics")
        everyone = serving(running)
        running.process.kill()
        until(lambda: not any(one.is_running() for one in everyone), "processes without a supervisor to end")
        assert running.status("livez")[0] == 0


def test_processes_share_a_port_and_their_metrics_and_one_that_is_killed_comes_back(tmp_path: Path) -> None:
    """Rules 1 and 2 of `processes`, on real ones."""
    with up(tmp_path) as running:
        until(lambda: seen(running) == {"0", "1"}, "both processes in the metrics")
        before = serving(running)
        assert len(before) == 2
        assert running.status("readyz")[0] == 503
        before[0].kill()
        until(lambda: len({*serving(running)} - {*before}) == 1, "another process in its stead")
        until(lambda: seen(running) == {"0", "1"}, "both processes in the metrics again")
        everyone = serving(running)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
        assert not any(one.is_running() for one in everyone), "a process outlived the one that was told to end"
        assert not [*(tmp_path / "models").glob("api-*")]
