"""The real servers of a test run: Kafka, Redis and MLflow, from the local stack (default) or from containers.

Both backends give the same three addresses. `docker` was written against testcontainers' documented behaviour; it needs a Docker
engine that may pull images, and MLflow is a process of the local stack there too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_app.local.stack import LocalStack
from stream_app.settings import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BACKENDS = ("local", "docker")
KAFKA_IMAGE = "confluentinc/cp-kafka:7.9.0"  # the image whose start script testcontainers rewrites; Apache Kafka 3.9
REDIS_IMAGE = "redis:8.2-alpine"


@dataclass(frozen=True, slots=True)
class Servers:
    """Addresses as the settings take them, and how to end the servers.

    Attributes:
        kafka: host:port.
        redis: URL with the database.
        mlflow: URL.
        stop: ends what was started; harmless when called again.
    """

    kafka: str
    redis: str
    mlflow: str
    stop: Callable[[], object]

    @property
    def environment(self) -> dict[str, str]:
        """The three settings, for a program started by a test."""
        return {
            f"{PREFIX}KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            f"{PREFIX}REDIS_URL": self.redis,
            f"{PREFIX}MLFLOW_TRACKING_URI": self.mlflow,
        }


def start_servers(backend: str, home: Path) -> Servers:
    """Start all three and wait until they answer.

    Args:
        backend: one of `BACKENDS`.
        home: folder for their data and logs.
    """
    if backend == "local":
        return _local(home)
    if backend == "docker":
        return _docker(home)
    raise ValueError(f"FRAUDSTREAM_TEST_BACKEND = {backend!r}; choose from {', '.join(BACKENDS)}")


def _local(home: Path) -> Servers:
    stack = LocalStack(home)
    addresses = stack.up()
    return Servers(addresses.kafka, addresses.redis, addresses.mlflow, stack.down)


def _docker(home: Path) -> Servers:
    # Imported here: testcontainers looks for a Docker engine as soon as it is used.
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415

    kafka = KafkaContainer(KAFKA_IMAGE).with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    redis = RedisContainer(REDIS_IMAGE).with_command("redis-server --appendonly yes --maxmemory-policy noeviction")
    stack = LocalStack(home)
    stops: list[Callable[[], object]] = []

    def stop() -> None:
        while stops:
            stops.pop()()

    try:
        stops.append(kafka.stop)
        kafka.start()
        stops.append(redis.stop)
        redis.start()
        stops.append(stack.down)
        mlflow = stack.up(("mlflow",)).mlflow
        url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        return Servers(str(kafka.get_bootstrap_server()), url, mlflow, stop)
    except BaseException:
        stop()
        raise
