"""The real servers of a test run: Kafka, Redis and MLflow, from the local stack (default) or from containers.

Both backends give the same three addresses. The local stack is one for all processes of a run. Containers end with the process that
started them, so each process has its own; they need a Docker engine that may pull images, and MLflow is of the local stack there too.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from stream_app.local.record import locked
from stream_app.local.stack import LocalStack
from stream_app.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKENDS = ("local", "docker")
KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"  # the image whose start script testcontainers rewrites; Apache Kafka 3.9
REDIS_IMAGE = "redis:8.2-alpine"


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
    # Imported here: testcontainers looks for a Docker engine as soon as it is used.
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415

    with (
        KafkaContainer(KAFKA_IMAGE).with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false") as kafka,
        RedisContainer(REDIS_IMAGE).with_command("redis-server --appendonly yes --maxmemory-policy noeviction") as redis,
    ):
        url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        yield Servers(str(kafka.get_bootstrap_server()), url, LocalStack(home).up(("mlflow",)).mlflow)


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
