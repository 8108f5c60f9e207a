"""A real Prometheus over workers on this machine: its configuration is made here, its rules are the project's, its targets are files."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from stream_app.errors import Stop, Unavailable

PROGRAM = "prometheus"
START_S = 30.0
STOP_S = 15.0
_POLL_S = 0.1


def program() -> str:
    """Where Prometheus is.

    Raises:
        Stop: it is not installed.
    """
    found = shutil.which(PROGRAM)
    if found is None:
        raise Stop("Prometheus is not installed. On Debian and Ubuntu: `apt-get install prometheus`; else put the program on PATH.")
    return found


class Prometheus:
    """One Prometheus process, on the loopback address, with its data in a folder of its own."""

    def __init__(self, folder: Path, port: int, rules: Path, scrape_s: int = 5, evaluate_s: int = 15) -> None:
        """Prepare it.

        Args:
            folder: for configuration, targets, data and log.
            port: to listen on.
            rules: file of its rules.
            scrape_s: how often targets are read.
            evaluate_s: how often rules are.

        Raises:
            Stop: there is no such file of rules.
        """
        if not rules.is_file():
            raise Stop(f"There are no rules at {rules}. Run this in the project's folder, or name the file: --rules FILE.")
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "prometheus.log"
        self._folder, self._rules = folder.absolute(), rules.absolute()  # it reads relative paths from the folder of its configuration
        self._every = {"scrape_interval": f"{scrape_s}s", "evaluation_interval": f"{evaluate_s}s", "scrape_timeout": f"{min(scrape_s, 5)}s"}
        self._process: subprocess.Popen[bytes] | None = None

    def configuration(self) -> dict[str, Any]:
        """What Prometheus reads; JSON is YAML."""
        found_by = [{"files": [str(self._folder / "targets" / "*.json")], "refresh_interval": "5s"}]
        job = {"source_labels": ["service"], "target_label": "job"}
        return {
            "global": self._every,
            "rule_files": [str(self._rules)],
            "scrape_configs": [{"job_name": "fraudstream", "file_sd_configs": found_by, "relabel_configs": [job]}],
        }

    def watch(self, jobs: Mapping[str, Sequence[str]]) -> None:
        """Read these addresses, host:port, from now on, under the name of their job. Prometheus sees a changed file by itself."""
        targets = self._folder / "targets"
        targets.mkdir(parents=True, exist_ok=True)
        fresh = targets / "all.new"
        fresh.write_text(json.dumps([{"targets": list(addresses), "labels": {"service": job}} for job, addresses in jobs.items()]))
        fresh.replace(targets / "all.json")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            Stop: it is not installed, or ended while starting.
            Unavailable: it does not answer in time.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "prometheus.yml"
        config.write_text(json.dumps(self.configuration(), indent=1))
        command = [program(), f"--config.file={config}", f"--storage.tsdb.path={self._folder / 'data'}"]
        command += [f"--web.listen-address={self.url.removeprefix('http://')}", "--log.level=warn"]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)  # noqa: S603 - our own command line
        deadline = time.monotonic() + START_S
        while not self._ready():
            if self._process.poll() is not None:
                raise Stop(f"Prometheus ended while starting; see {self.log}.")
            if time.monotonic() > deadline:
                raise Unavailable(f"Prometheus did not answer at {self.url} within {START_S:.0f} s; see {self.log}.")
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """End it, where it runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready").is_success
        except httpx.HTTPError:
            return False
