"""The container files: what they name exists, and nothing in them is left to chance."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from stream_app.settings import PREFIX, Settings, load_settings
from tests.conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load(ROOT.joinpath("docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"topics", "trainer"}
DOCKERFILE = ROOT.joinpath("Dockerfile").read_text()


@pytest.mark.parametrize("name", ["worker", "topics", "trainer"])
def test_every_variable_of_ours_is_a_setting_with_a_value_that_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped variable would be ignored without a word."""
    environment = SERVICES[name]["environment"]
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    assert set(environment) <= known
    for variable, value in environment.items():
        monkeypatch.setenv(variable, re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", str(value)))
    assert load_settings().kafka_bootstrap_servers == "kafka:19092"


def test_names_and_scoring_settings_of_the_users_env_file_reach_every_service_of_ours() -> None:
    """Addresses, logins and files do not: compose has its own servers. Nor does any secret of `.env`."""
    of_compose = {"mlflow_tracking_uri", "model_cache", "redis_url", "rates_file", "metrics_port", "metrics_host", "log_format"}
    handed = {f for f in Settings.model_fields if f not in of_compose and not f.startswith(("kafka_", "api_"))}
    for name in ("worker", "topics", "trainer"):
        environment = SERVICES[name]["environment"]
        for field in handed:
            variable = f"{PREFIX}{field.upper()}"
            assert environment[variable] == f"${{{variable}:-}}", name


def test_the_images_variables_are_settings() -> None:
    """Those that the Dockerfile sets."""
    assert {n.removeprefix(PREFIX).lower() for n in re.findall(rf"{PREFIX}[A-Z_]+", DOCKERFILE)} <= set(Settings.model_fields)


def test_every_example_setting_is_one() -> None:
    """Of `.env.example`, those commented out too."""
    names = re.findall(rf"^#?{PREFIX}([A-Z_]+)=", ROOT.joinpath(".env.example").read_text(), re.MULTILINE)
    assert names
    assert {n.lower() for n in names} <= set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - ONE_SHOT))
def test_every_lasting_service_has_a_health_check_and_starts_again(name: str) -> None:
    """So that others can wait for it."""
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_image_is_pinned_and_no_port_is_open_to_the_world(name: str) -> None:
    """A version with a number; ports on the loopback address."""
    assert re.search(r":v?\d+\.\d+", SERVICES[name]["image"])
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_no_secret_has_a_default() -> None:
    """Compose refuses to start without them."""
    secrets = [v for s in SERVICES.values() for n, v in s.get("environment", {}).items() if "PASSWORD" in n]
    assert secrets
    assert all(re.fullmatch(r"\$\{\w+:\?.+\}", v) for v in secrets)


def test_redis_never_evicts_and_keeps_its_log() -> None:
    """State that Redis drops by itself would be wrong without a word."""
    assert SERVICES["redis"]["command"][1:] == ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]


def test_the_files_that_are_mounted_or_copied_are_there() -> None:
    """Bind mounts of compose (but for the user's data), and what the Dockerfile copies from the project."""
    mounts = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("./")]
    copied = [p for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE) for p in line.split()[:-1]]
    assert [p for p in [*mounts, *copied] if p != "./data" and not ROOT.joinpath(p).exists()] == []
    assert {SERVICES[n]["build"]["target"] for n in ("worker", "trainer")} <= set(re.findall(r" AS (\w+)$", DOCKERFILE, re.MULTILINE))


def test_the_last_stage_is_a_worker_without_root() -> None:
    """And without what built it."""
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert " AS worker" in last
    assert "USER 10001" in last
    assert "HEALTHCHECK" in last
    assert "/opt/uv" not in last


def test_the_serving_image_gets_the_versions_that_were_tested() -> None:
    """Its lock, and that of training, name nothing that `requirements.lock` has otherwise."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9_.-]+==\S+)", ROOT.joinpath(name).read_text(), re.MULTILINE))

    assert pins("requirements-serve.lock") <= pins("requirements-training.lock") <= pins("requirements.lock")
    assert not re.search(r"^(scikit-learn|mlflow|pandas)==", ROOT.joinpath("requirements-serve.lock").read_text(), re.MULTILINE)


def test_docker_compose_accepts_the_file() -> None:
    """Asked of the real program, where it is installed."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker compose plugin on this machine")
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "GRAFANA_ADMIN_PASSWORD": "x"}
    command = [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
