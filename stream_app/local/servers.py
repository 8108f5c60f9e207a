"""The three servers: how each is configured, started, asked, and named in the settings.

Each runs in its own folder and names its files relative to it: no path with spaces or other signs reaches a configuration.
"""

from __future__ import annotations

import shutil
import sys
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from stream_app.errors import Stop
from stream_app.local import health, jars, packages, processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stream_app.settings import Settings

HOST = "127.0.0.1"
FORMAT_S = 60.0

KAFKA_PROPERTIES = """\
# Written by `fraudstream local up`; changes are lost.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
inter.broker.listener.name=PLAINTEXT
log.dirs=data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# Lost state is rebuilt from 38 days of log, simulated time included: nothing expires, any timestamp is accepted.
log.retention.hours=-1
log.message.timestamp.before.max.ms=9223372036854775807
log.message.timestamp.after.max.ms=9223372036854775807
message.max.bytes=4194304
# The default of 128 MB would be a third of the heap.
log.cleaner.dedupe.buffer.size=16777216
"""

KAFKA_LOGGING = """\
rootLogger.level=INFO
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %m (%c{1})%n
"""

REDIS_CONF = """\
# Written by `fraudstream local up`; changes are lost.
bind {host}
port {port}
daemonize no
dir .
appendonly yes
save ""
maxmemory-policy noeviction
# Else it writes its title over the environment by which it is recognised.
set-proc-title no
"""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, and what its environment has beside ours."""

    command: Sequence[str]
    extra: Mapping[str, str]


class Server(Protocol):
    """One kind of server. It keeps nothing: state is in its folder and in the stack's record."""

    name: str
    setting: str
    port_count: int

    def launch(self, folder: Path, ports: Sequence[int], log: Path, token: str, on_progress: jars.OnDownload | None) -> Launch:
        """Write its configuration, prepare its folder where that was not done yet, and say how to start it."""

    def address(self, ports: Sequence[int]) -> str:
        """Its address, as its setting takes it."""

    def answers(self, ports: Sequence[int]) -> bool:
        """Whether ours is ready for work."""

    def external_answers(self, settings: Settings) -> bool:
        """Whether the one that the settings name answers."""


class Kafka:
    """Apache Kafka in KRaft mode: one node, broker and controller."""

    name = "kafka"
    setting = "kafka_bootstrap_servers"
    port_count = 2

    def launch(self, folder: Path, ports: Sequence[int], log: Path, token: str, on_progress: jars.OnDownload | None) -> Launch:
        """Fetch the jars, write the configuration, format the storage once."""
        java = [str(packages.java()), "-cp", f"{jars.kafka_jars(on_progress)}/*", "-Dlog4j2.configurationFile=log4j2.properties"]
        (folder / "log4j2.properties").write_text(KAFKA_LOGGING)
        (folder / "server.properties").write_text(KAFKA_PROPERTIES.format(host=HOST, port=ports[0], controller=ports[1]))
        formatted = folder / "formatted"
        if not formatted.exists():
            self._format(java, folder, log, token)
            formatted.touch()
        # For a broker that lives for minutes beside its clients: compiling hot code a second time, and collecting beside the program, cost more
        # than they bring there.
        options = ["-Xms128m", "-Xmx400m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError"]
        return Launch([*java, *options, *self._quiet, "kafka.Kafka", "server.properties"], {})

    # Compression libraries load native code, which Java 25 warns about.
    _quiet = ("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")

    def _format(self, java: Sequence[str], folder: Path, log: Path, token: str) -> None:
        """Give the storage its cluster id. A format that was cut short leaves no mark and is repeated from nothing."""
        shutil.rmtree(folder / "data", ignore_errors=True)
        cluster_id = urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        command = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config=server.properties"]
        if not processes.run(command, folder, log, processes.environment(token, {}), FORMAT_S):
            raise Stop(f"Kafka's storage in {folder} could not be formatted; its log, {log}, ends with:\n{last_lines(log)}")

    def address(self, ports: Sequence[int]) -> str:
        """Address: host:port."""
        return f"{HOST}:{ports[0]}"

    def answers(self, ports: Sequence[int]) -> bool:
        """Whether it answers metadata with itself in it, and has a group coordinator."""
        return health.kafka_serves(self.address(ports))

    def external_answers(self, settings: Settings) -> bool:
        """Whether one of the brokers answers."""
        tls = None
        if settings.kafka_security_protocol in ("SSL", "SASL_SSL"):
            tls = health.KafkaTls(settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile)
        return any(health.kafka_answers(broker, tls) for broker in settings.kafka_bootstrap_servers.split(","))


class Redis:
    """Redis with an append-only file, never evicting."""

    name = "redis"
    setting = "redis_url"
    port_count = 1

    def launch(self, folder: Path, ports: Sequence[int], log: Path, token: str, on_progress: jars.OnDownload | None) -> Launch:
        """Write its configuration."""
        del log, token, on_progress
        (folder / "redis.conf").write_text(REDIS_CONF.format(host=HOST, port=ports[0]))
        return Launch([str(packages.redis_server()), "redis.conf"], {})

    def address(self, ports: Sequence[int]) -> str:
        """URL of database 0."""
        return f"redis://{HOST}:{ports[0]}/0"

    def answers(self, ports: Sequence[int]) -> bool:
        """Whether it answers PING, its data loaded."""
        return health.redis_answers(self.address(ports))

    def external_answers(self, settings: Settings) -> bool:
        """Whether it answers PING."""
        return health.redis_answers(settings.redis_url)


class Mlflow:
    """MLflow's tracking server and registry on SQLite, serving artifacts."""

    name = "mlflow"
    setting = "mlflow_tracking_uri"
    port_count = 1

    def launch(self, folder: Path, ports: Sequence[int], log: Path, token: str, on_progress: jars.OnDownload | None) -> Launch:
        """Nothing to prepare: it makes its own database."""
        del folder, log, token, on_progress
        packages.folder("mlflow")
        where = ["--host", HOST, "--port", str(ports[0]), "--workers", "1"]
        what = ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "./artifacts", "--serve-artifacts"]
        # Its defaults let localhost and 127.0.0.1 in, with any port. Its job runner would be four more processes.
        extra = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        return Launch([sys.executable, "-m", "mlflow", "server", *where, *what], extra)

    def address(self, ports: Sequence[int]) -> str:
        """URL of the server."""
        return f"http://{HOST}:{ports[0]}"

    def answers(self, ports: Sequence[int]) -> bool:
        """Whether its health page answers."""
        return health.mlflow_answers(self.address(ports))

    def external_answers(self, settings: Settings) -> bool:
        """Whether its health page answers."""
        return health.mlflow_answers(settings.mlflow_tracking_uri, through_proxy=True)


SERVERS: Mapping[str, Server] = {server.name: server for server in (Kafka(), Redis(), Mlflow())}


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return "  (empty)"
    return "\n".join(f"  {line[:300]}" for line in text.splitlines()[-count:])
