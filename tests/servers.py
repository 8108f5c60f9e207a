"""The real servers of a test run: Kafka, Redis and MLflow, from the local stack (default) or from containers.

Both backends give the same three addresses. The local stack is one for all processes of a run. Containers are those of docker-compose.yml.
They end with the process that started them, so each process has its own; MLflow is of the local stack there too.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import yaml

from stream_app.local import health
from stream_app.local.record import locked
from stream_app.local.stack import LocalStack, free_ports
from stream_app.settings import PREFIX
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKENDS = ("local", "docker")
COMPOSE = Path(__file__).parents[1] / "docker-compose.yml"


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses as the settings take them.

    Attributes:
        kafka: host:port.
        redis: URL with the database.
        mlflow: URL.
    """

    kafka: str
    redis: str
    mlflow: str

    @property
    def environment(self) -> dict[str, str]:
        """The three settings, for a program started by a test."""
        return {
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            f"{PREFIX}REDIS_URL": self.redis,
            f"{PREFIX}MLFLOW_TRACKING_URI": self.mlflow,
        }


@contextmanager
def servers(backend: str, home: Path) -> Iterator[Servers]:
    """All three, once they answer.

    Args:
        backend: one of `BACKENDS`.
        home: folder of the local stack, which several processes may name; `end_servers` ends it.
    """
    if backend not in BACKENDS:
        raise ValueError(f"FRAUDSTREAM_TEST_BACKEND = {backend!r}; choose from {', '.join(BACKENDS)}")
    if backend == "local":
        yield _shared(home)
        return
    with _containers() as (kafka, redis):
        yield Servers(kafka, redis, LocalStack(home).up(("mlflow",)).mlflow)


@contextmanager
def _containers() -> Iterator[tuple[str, str]]:
    """Kafka and Redis as docker-compose.yml has them, at ports of this machine: host:port and URL."""
    # Imported here: testcontainers looks for a Docker engine as soon as it is used.
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    described = yaml.safe_load(COMPOSE.read_text())["services"]
    (port,) = free_ports(1)  # Kafka tells its clients where it is, so the port is chosen here
    kafka = DockerContainer(described["kafka"]["image"]).with_bind_ports(9092, port)
    address = f"{kafka.get_docker_client().host()}:{port}"
    alone = {
        "KAFKA_ADVERTISED_LISTENERS": f"INSIDE://localhost:19092,OUTSIDE://{address}",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    }
    for name, value in (described["kafka"]["environment"] | alone).items():
        kafka.with_env(name, value)
    redis = DockerContainer(described["redis"]["image"]).with_exposed_ports(6379).with_command(described["redis"]["command"])
    with kafka, redis:
        url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        until(lambda: health.kafka_serves(address), f"Kafka of the container to answer at {address}")
        until(lambda: health.redis_answers(url), f"Redis of the container to answer at {url}")
        yield address, url


def _shared(home: Path) -> Servers:
    """The local stack of that folder. Only the first process starts it: what is slow to answer is never started again under the others."""
    home.mkdir(parents=True, exist_ok=True)
    known = home / "addresses.json"
    with locked(home / "addresses.lock"):
        if not known.exists():
            local = LocalStack(home).up()
            known.write_bytes(msgspec.json.encode(Servers(local.kafka, local.redis, local.mlflow)))
        return msgspec.json.decode(known.read_bytes(), type=Servers)


def end_servers(home: Path) -> None:
    """End the local stack of that folder, if there is one."""
    LocalStack(home).down()
