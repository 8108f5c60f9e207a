"""The local Prometheus: what it is told to read, and that its processes are started again."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from stream_app.errors import Stop
from stream_app.local import prometheus
from stream_app.local.prometheus import Prometheus
from stream_app.local.watching import SupervisedProcess, targets
from tests.conftest import ROOT

RULES = ROOT / "docker" / "prometheus" / "rules.yml"


def test_the_configuration_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    """Asked of its own program; the targets' file is looked at too."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    made = Prometheus(tmp_path, 9, RULES)
    made.watch({"fraudstream": ["127.0.0.1:1"]})
    (tmp_path / "prometheus.yml").write_text(json.dumps(made.configuration()))
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_targets_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus reads a relative path from the folder of its configuration, which is another than the one that a person is in."""
    monkeypatch.chdir(tmp_path)
    (scrape,) = Prometheus(Path("watch"), 9, RULES).configuration()["scrape_configs"]
    assert scrape["file_sd_configs"][0]["files"] == [str(tmp_path / "watch" / "targets" / "*.json")]


def test_targets_are_replaced_whole(tmp_path: Path) -> None:
    """Under the name of their job, as the rules know it; no half-written file is ever there."""
    made = Prometheus(tmp_path, 9, RULES)
    made.watch({"fraudstream": ["127.0.0.1:1", "127.0.0.1:2"], "fraudstream-api": ["127.0.0.1:3"]})
    made.watch({"fraudstream": ["127.0.0.1:2"]})
    (file,) = (tmp_path / "targets").iterdir()
    assert json.loads(file.read_text()) == [{"targets": ["127.0.0.1:2"], "labels": {"service": "fraudstream"}}]


def test_workers_and_api_are_jobs_of_their_own() -> None:
    """The alarms on workers look at the job `fraudstream`."""
    processes = [SupervisedProcess("worker-1", "worker", 1, "METRICS_PORT"), SupervisedProcess("worker-2", "worker", 2, "METRICS_PORT")]
    assert targets([*processes, SupervisedProcess("api", "api", 3, "API_PORT")]) == {
        "fraudstream": ["127.0.0.1:1", "127.0.0.1:2"],
        "fraudstream-api": ["127.0.0.1:3"],
    }


def test_without_rules_or_prometheus_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    with pytest.raises(Stop, match="--rules FILE"):
        Prometheus(tmp_path, 9, tmp_path / "none.yml")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Stop, match="apt-get install prometheus"):
        prometheus.program()


def test_a_process_that_ends_is_told_once_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one that ends at once is not started without a pause; its output is in its log."""
    monkeypatch.setattr("stream_app.local.watching.AGAIN_S", 0.05)
    process = SupervisedProcess("odd", "no-such-command", 1, "METRICS_PORT")
    assert process.ended() is None
    process.start(tmp_path)
    assert process._running is not None
    process._running.wait(60)
    assert process.ended() is None
    while (code := process.ended()) is None:
        pass
    assert code != 0
    assert "no-such-command" in (tmp_path / "odd.log").read_text()
    process.stop()
