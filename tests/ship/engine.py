"""A Docker engine, and the project's images built on it.

The engine is the one that `docker info` reaches; else, where `dockerd` is installed (Debian: docker.io) and we are root, one of the
tests' own with its data under `.tools/ship/engine`, ended with them. It may pull images or not: where not, the base image is made with
`scripts/ship/base-image`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.conftest import ROOT
from tests.ship.tools import HOME

PUBLIC_BASE = "python:3.12-slim"
LOCAL_BASE = "fraudstream-base:local"
START_S = 60
TARGETS = {"worker": "fraudstream-worker:0.1.0", "training": "fraudstream-training:0.1.0", "mlflow": "fraudstream-mlflow:0.1.0"}
# Some kernels refuse Debian's old engine the unlimited number of files that it would give to containers.
OPTIONS = {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 8192, "Hard": 8192}}}


class NoEngine(Exception):  # noqa: N818 - a state of the machine, not a fault
    """Why no image can be built here."""


@dataclass(slots=True)
class Engine:
    """How to reach a Docker engine."""

    environment: dict[str, str]
    daemon: subprocess.Popen[bytes] | None = None

    @classmethod
    def find(cls) -> Self:
        """The engine of this machine, else one of our own.

        Raises:
            NoEngine: there is none and none can be started.
        """
        if not shutil.which("docker"):
            raise NoEngine("the docker command is not installed")
        reached = cls(_with_plugins())
        if reached.answers():
            return reached
        if not shutil.which("dockerd"):
            raise NoEngine("no Docker engine answers, and dockerd is not installed (Debian: apt-get install docker.io)")
        if os.getuid() != 0:
            raise NoEngine("no Docker engine answers, and only root can start one")
        return cls._started()

    @classmethod
    def _started(cls) -> Self:
        home = HOME / "engine"
        home.mkdir(parents=True, exist_ok=True)
        socket = f"unix://{home}/socket"
        options = {**OPTIONS, "data-root": f"{home}/data", "exec-root": f"{home}/exec", "pidfile": f"{home}/pid", "hosts": [socket]}
        (home / "daemon.json").write_text(json.dumps(options))
        with (home / "log").open("wb") as log:
            daemon = subprocess.Popen(["dockerd", "--config-file", str(home / "daemon.json")], stdout=log, stderr=log)
        engine = cls({**_with_plugins(), "DOCKER_HOST": socket}, daemon)
        deadline = time.monotonic() + START_S
        while not engine.answers():
            if daemon.poll() is not None or time.monotonic() > deadline:
                engine.end()
                raise NoEngine("dockerd does not run here; the end of its log: " + (home / "log").read_text()[-300:].replace("\n", " "))
            time.sleep(0.2)
        return engine

    def end(self) -> None:
        """End the engine, where it is the tests' own."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(timeout=60)

    def answers(self) -> bool:
        """Whether an engine is there."""
        return self.run("info", check=False).returncode == 0

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`docker …`."""
        ended = subprocess.run(["docker", *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False)
        if check:
            assert ended.returncode == 0, f"docker {' '.join(arguments[:4])} …: {ended.stdout[-2000:]}{ended.stderr[-4000:]}"
        return ended

    def inspect(self, image: str) -> Any:
        """What the engine knows of an image."""
        return json.loads(self.run("image", "inspect", image).stdout)[0]

    def has(self, image: str) -> bool:
        """Whether the image is on this machine."""
        return self.run("image", "inspect", image, check=False).returncode == 0

    def build(self, tag: str, target: str, base: str, context: Path = ROOT) -> None:
        """Build a target of a Dockerfile."""
        self.run("build", "--quiet", "--build-arg", f"BASE_IMAGE={base}", "--target", target, "--tag", tag, str(context))


def _with_plugins() -> dict[str, str]:
    """The environment in which `docker` finds our compose and buildx, beside those of the machine."""
    settings = HOME / "docker"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(HOME / "bin")]}))
    buildx = (HOME / "bin" / "docker-buildx").exists()
    return {**os.environ, "DOCKER_CONFIG": str(settings), **({} if buildx else {"DOCKER_BUILDKIT": "0"})}


@dataclass(frozen=True, slots=True)
class Images:
    """The project's images: tag by target; and what they were built on."""

    engine: Engine
    base: str

    @classmethod
    def build(cls, engine: Engine) -> Self:
        """Build all three.

        Raises:
            NoEngine: no base image can be pulled or made.
        """
        built = cls(engine, _base(engine))
        for target, tag in TARGETS.items():
            engine.build(tag, target, built.base)
        return built


def _base(engine: Engine) -> str:
    named = os.environ.get("BASE_IMAGE")
    if named:
        return named
    if engine.has(PUBLIC_BASE) or engine.run("pull", "--quiet", PUBLIC_BASE, check=False).returncode == 0:
        return PUBLIC_BASE
    if not engine.has(LOCAL_BASE):
        made = subprocess.run(
            [ROOT / "scripts/ship/base-image", LOCAL_BASE], env=engine.environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise NoEngine(f"{PUBLIC_BASE} cannot be pulled, and: {made.stderr.strip()[-200:]}")
    return LOCAL_BASE
