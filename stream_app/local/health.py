"""Whether a server answers: one short question over a fresh connection, no client kept."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass

TIMEOUT_S = 5.0
API_VERSIONS, METADATA, FIND_COORDINATOR = 18, 3, 10
ANSWER_SIZES = range(5, 1_000_000)  # what speaks another protocol sends an absurd size


@dataclass(frozen=True, slots=True)
class KafkaTls:
    """How to speak TLS to brokers; empty file names as in the settings."""

    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""


def kafka_answers(address: str, tls: KafkaTls | None = None) -> bool:
    """Whether a broker at `host:port` answers requests, whatever the credentials: ApiVersions comes before authentication."""
    try:
        return len(_ask_kafka(address, API_VERSIONS, b"", tls)) > 0
    except (OSError, ValueError):
        return False


def kafka_serves(address: str) -> bool:
    """Whether a plain broker at `host:port` answers metadata with itself in it, and has a coordinator for consumer groups.

    From then on it accepts every request. A fresh Kafka makes the topic behind the coordinators when one is first asked for: asked here,
    no worker has to wait for it.
    """
    group = b"fraudstream-local"
    try:
        brokers = struct.unpack_from(">i", _ask_kafka(address, METADATA, struct.pack(">i", 0), None))  # v1 starts with the array of brokers
        error = struct.unpack_from(">h", _ask_kafka(address, FIND_COORDINATOR, struct.pack(">h", len(group)) + group, None))
    except (OSError, ValueError, struct.error):
        return False
    return bool(brokers[0] > 0 and error[0] == 0)


def _ask_kafka(address: str, api: int, body: bytes, tls: KafkaTls | None) -> bytes:
    host, port = address.rsplit(":", 1)
    client = b"fraudstream-local"
    version = 1 if api == METADATA else 0
    request = struct.pack(">hhih", api, version, 1, len(client)) + client + body
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as plain, _wrapped(plain, host, tls) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        size, correlation = struct.unpack(">ii", _exactly(connection, 8))
        if correlation != 1 or size not in ANSWER_SIZES:
            raise ValueError(f"{address} is not a Kafka broker")
        return _exactly(connection, size - 4)


def _wrapped(plain: socket.socket, host: str, tls: KafkaTls | None) -> socket.socket:
    if tls is None:
        return plain
    context = ssl.create_default_context(cafile=tls.cafile or None)
    if tls.certfile:
        context.load_cert_chain(tls.certfile, tls.keyfile or None)
    return context.wrap_socket(plain, server_hostname=host)


def _exactly(connection: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionError("connection closed")
        got += part
    return bytes(got)


def redis_answers(url: str) -> bool:
    """Whether a Redis at `url` answers PING; one that still loads its data does not yet."""
    from redis import Redis, RedisError  # noqa: PLC0415 - its import would slow every command

    try:
        with Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S) as redis:
            return bool(redis.ping())
    except (RedisError, ValueError):
        return False


def mlflow_answers(uri: str, *, through_proxy: bool = False) -> bool:
    """Whether an MLflow server at `uri` answers; `through_proxy` honours HTTP_PROXY, as MLflow's own client does."""
    import httpx  # noqa: PLC0415 - its import would slow every command

    try:
        return httpx.get(f"{uri.rstrip('/')}/health", timeout=TIMEOUT_S, trust_env=through_proxy).is_success
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
