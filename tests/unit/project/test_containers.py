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
ONE_SHOT = {"topics", "trainer", "bucket", "keys", "producer"}
OURS = ["worker", "topics", "keys", "trainer", "producer", "api"]
DOCKERFILE = ROOT.joinpath("Dockerfile").read_text()


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_ours_is_a_setting_with_a_value_that_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped variable would be ignored without a word."""
    environment = {n: v for n, v in SERVICES[name]["environment"].items() if n not in {"HOME", "TRAINING_DATA", "TRAFFIC_RATE"}}
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    assert set(environment) <= known
    for variable, value in environment.items():
        monkeypatch.setenv(variable, re.sub(r"^\$\{\w+:?-(.*)\}$", r"\1", str(value)))
    assert load_settings().kafka_bootstrap_servers == "kafka:19092"


def test_names_and_scoring_settings_of_the_users_env_file_reach_every_service_of_ours() -> None:
    """Addresses, logins and files do not: compose has its own servers. Nor does any secret of `.env`."""
    of_compose = {
        "mlflow_tracking_uri",
        "model_cache",
        "redis_url",
        "rates_file",
        "mapping_file",
        "metrics_port",
        "metrics_host",
        "log_format",
    }
    handed = {f for f in Settings.model_fields if f not in of_compose and not f.startswith(("kafka_", "api_", "schema_registry_"))}
    for name in OURS:
        environment = SERVICES[name]["environment"]
        for field in handed:
            variable = f"{PREFIX}{field.upper()}"
            otherwise = "-transaction-scores" if field == "scores_topic" else ":-"  # on, unless it is said to be empty
            assert environment[variable] == f"${{{variable}{otherwise}}}", name


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
    """Compose refuses to start without them; each is in `.env.example`, empty."""
    secrets = [v for s in SERVICES.values() for n, v in s.get("environment", {}).items() if re.search("PASSWORD|SECRET", n)]
    named = [re.search(r"\$\{(\w+):\?[^}]+\}", v) for v in secrets]
    assert secrets
    example = ROOT.joinpath(".env.example").read_text().splitlines()
    assert [m[1] for m in named if m and f"{m[1]}=" not in example] == []
    assert all(named)


def test_redis_never_evicts_and_keeps_its_log() -> None:
    """State that Redis drops by itself would be wrong without a word."""
    assert SERVICES["redis"]["command"][1:] == ["--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction"]


def test_the_files_that_are_mounted_or_copied_are_there() -> None:
    """Bind mounts of compose (but for the user's data), and what the Dockerfile copies from the project."""
    mounts = [v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", []) if v.startswith("./")]
    copied = [p for line in re.findall(r"^COPY (?!--)(.+)$", DOCKERFILE, re.MULTILINE) for p in line.split()[:-1]]
    assert [p for p in [*mounts, *copied] if p != "./data" and not ROOT.joinpath(p).exists()] == []
    targets = {s["build"]["target"] for s in SERVICES.values() if "build" in s}
    assert targets == {"worker", "training", "mlflow"}
    assert targets <= set(re.findall(r" AS (\w+)$", DOCKERFILE, re.MULTILINE))


@pytest.mark.parametrize("name", sorted(n for n, s in SERVICES.items() if "build" in s))
def test_our_containers_write_nowhere_but_to_tmp_and_their_volumes(name: str) -> None:
    """Read-only, without capabilities, without new privileges, within limits."""
    service = SERVICES[name]
    assert service["read_only"]
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - the container's own
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_limits(name: str) -> None:
    """One that runs away takes none of the others along."""
    assert SERVICES[name]["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


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

    assert pins("requirements-serve.lock") | pins("requirements-training.lock") <= pins("requirements.lock")
    # The server's other packages are its own: the driver of its store wants an older one than ours.
    assert {p for p in pins("requirements-mlflow.lock") if p.startswith("mlflow")} <= pins("requirements.lock")
    assert not re.search(r"^(scikit-learn|mlflow|pandas)==", ROOT.joinpath("requirements-serve.lock").read_text(), re.MULTILINE)


def test_nothing_is_installed_into_an_image_that_no_hash_names() -> None:
    """From an index, only by a lock; the project itself, from what the lock built it with."""
    installs = re.findall(r"pip (?:install|wheel) .*", DOCKERFILE)
    assert len(installs) == 6
    loose = [line for line in installs if "--require-hashes" not in line]
    assert all("--no-deps" in line and ("--no-build-isolation" in line or line.endswith(".whl")) for line in loose)
    assert len(loose) == 2


def test_no_password_stands_in_an_address() -> None:
    """`p@ss` in a URL is another host; PostgreSQL's client takes it from PGPASSWORD as it is."""
    addresses = [value for service in SERVICES.values() for value in (service.get("environment") or {}).values() if "://" in str(value)]
    assert addresses
    assert [value for value in addresses if "PASSWORD" in str(value).upper()] == []
    mlflow = SERVICES["mlflow"]["environment"]
    assert mlflow["MLFLOW_BACKEND_STORE_URI"] == "postgresql+psycopg2://mlflow@postgres:5432/mlflow"
    assert mlflow["PGPASSWORD"].startswith("${POSTGRES_PASSWORD:?")


def test_docker_compose_accepts_the_file() -> None:
    """Asked of the real program, where it is installed."""
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no docker compose plugin on this machine")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "GRAFANA_ADMIN_PASSWORD": "x",
        "POSTGRES_PASSWORD": "x",
        "OBJECTS_PASSWORD": "x",
    }
    command = [docker, "compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
