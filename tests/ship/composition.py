"""`docker compose` on the project's file: with the images it names where they can be pulled, else with stand-ins built here."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from stream_app.local.jars import kafka_jars
from tests.conftest import ROOT
from tests.ship.engine import Engine, Images, NoEngine
from tests.ship.tools import HOME

STANDINS = ROOT / "tests" / "ship" / "standins"
STOOD_IN = ("kafka", "redis", "postgres", "objects", "prometheus")
SECRETS = ("GRAFANA_ADMIN_PASSWORD", "POSTGRES_PASSWORD", "OBJECTS_PASSWORD")


@dataclass(slots=True)
class Composition:
    """One project of compose."""

    engine: Engine
    files: tuple[Path, ...]
    environment: dict[str, str]
    stood_in: bool = field(default=False)

    @classmethod
    def prepare(cls, images: Images, folder: Path) -> Self:
        """Pull the images of others, or build what stands in for them; make secrets.

        Raises:
            NoEngine: neither can be had.
        """
        engine, file = images.engine, ROOT / "docker-compose.yml"
        if engine.run("compose", "version", check=False).returncode:
            raise NoEngine("docker has no compose plugin: scripts/ship/tools says why")
        env = folder / "env"
        env.write_text("".join(f"{name}={secrets.token_hex(12)}\n" for name in SECRETS) + "TRAFFIC_RATE=200\n")
        settings = {**engine.environment, "COMPOSE_ENV_FILES": str(env), "COMPOSE_PROJECT_NAME": "fraudstream-ship"}
        others = [s["image"] for s in yaml.safe_load(file.read_text())["services"].values() if "build" not in s]
        if all(engine.has(image) or engine.run("pull", "--quiet", image, check=False).returncode == 0 for image in others):
            return cls(engine, (file,), settings)
        _build_standins(images)
        return cls(engine, (file, STANDINS / "compose.yml"), settings, stood_in=True)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker compose …`."""
        files = [a for file in self.files for a in ("--file", str(file))]
        command = ["docker", "compose", *files, *arguments]
        ended = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if check:
            assert ended.returncode == 0, (
                f"docker compose {' '.join(arguments[:4])} …: {ended.stdout[-1500:]}{ended.stderr[-3000:]}\n{self.logs()}"
            )
        return ended

    def logs(self) -> str:
        """The ends of all logs; those of what failed whole, and last."""
        failed = [name for name, state in self.states().items() if state.startswith("exited") and state != "exited 0"]
        of_failed = self.run("logs", "--no-color", *failed, check=False).stdout if failed else ""
        return self.run("logs", "--tail", "15", "--no-color", check=False).stdout[-8000:] + of_failed[-8000:]

    def states(self) -> dict[str, str]:
        """State of each container by service: running, healthy, or `exited 0`."""
        lines = self.run("ps", "--all", "--format", "json").stdout.splitlines()
        found = [json.loads(line) for line in lines]
        return {c["Service"]: c["Health"] or (f"exited {c['ExitCode']}" if c["State"] == "exited" else c["State"]) for c in found}

    def asks(self, url: str) -> str | None:
        """What a worker's neighbour would get from a URL; None where nothing answers."""
        ask = f"import urllib.request as u; print(u.urlopen({url!r}, timeout=5).read().decode())"
        ended = self.run("exec", "-T", "worker", "python", "-c", ask, check=False)
        return ended.stdout if ended.returncode == 0 else None

    def measured(self, query: str) -> float | None:
        """One number from Prometheus."""
        answer = self.asks(f"http://prometheus:9090/api/v1/query?query={query}")
        found: list[Any] = json.loads(answer)["data"]["result"] if answer else []
        return float(found[0]["value"][1]) if found else None

    def wait(self, what: str, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for a condition, with a deadline."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}; {self.states()}\n{self.logs()}"
            time.sleep(1)


def _build_standins(images: Images) -> None:
    versitygw = HOME / "bin" / "versitygw"
    if not versitygw.exists():
        raise NoEngine(
            "the images of docker-compose.yml cannot be pulled, and versitygw is not there to stand in: scripts/ship/tools says why"
        )
    context = HOME / "standins"
    shutil.rmtree(context, ignore_errors=True)
    shutil.copytree(STANDINS, context)
    shutil.copytree(kafka_jars(), context / "kafka-jars")
    shutil.copy2(versitygw, context)
    for name in STOOD_IN:
        images.engine.build(f"fraudstream-standin-{name}:local", name, images.base, context)
