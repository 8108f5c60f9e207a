"""Why a broker could not be talked to. aiokafka writes the cause into its log and raises that it could not bootstrap; here the cause is kept."""

from __future__ import annotations

import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

import aiokafka.client
from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from stream_app.errors import FraudstreamError, NoAccess, NoHost, Unavailable
from stream_app.messages.certificates import why_no_tls

_PROTOCOL = "FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL"
_REMEMBERED_S = 60.0
"""Longer than any client waits between two attempts."""
_TLS_ALERT = 0x15
"""How an answer begins of what speaks TLS: aiokafka takes it for the size of an answer."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How a connection ended that was tried; `error` is None where the broker greeted."""

    broker: str
    protocol: str
    mechanism: str
    error: Exception | None
    at_s: float


_last: dict[tuple[str, int], _Attempt] = {}
"""Of each broker, for every client of the process: they all have the same settings."""


def keep_causes() -> None:
    """Have every client of aiokafka keep why it could not connect; what was kept before is of other settings, perhaps."""
    _last.clear()
    aiokafka.client.create_conn = _connect


async def _connect(host: str, port: int, **options: Any) -> Any:
    """As aiokafka's own; how it ended is kept."""
    error: Exception | None = None
    try:
        return await create_conn(host, port, **options)
    except Exception as failed:
        error = failed
        raise
    finally:
        protocol, mechanism = options.get("security_protocol") or "PLAINTEXT", options.get("sasl_mechanism") or ""
        _last[host, port] = _Attempt(f"{host}:{port}", protocol, mechanism, error, time.monotonic())


def why_not_connected(error: BaseException) -> FraudstreamError | None:
    """The error of ours, where it is known why no broker could be talked to; None where they did not answer.

    Args:
        error: what aiokafka raised in the end.
    """
    fresh = [a for place, a in _last.items() if a.at_s > time.monotonic() - _REMEMBERED_S and _concerns(error, place)]
    known = [told for attempt in fresh if (told := _told(attempt)) is not None]
    known.sort(key=lambda told: not isinstance(told, NoAccess))
    if known:
        return known[0]
    all_greeted = bool(fresh) and all(attempt.error is None for attempt in fresh)  # one that was refused says that brokers are away
    if all_greeted and isinstance(error, KafkaConnectionError) and "bootstrap" in str(error) and "SASL" not in fresh[-1].protocol:
        greeted = fresh[-1]
        return NoAccess(
            f"Kafka at {greeted.broker} greets and then hangs up, as a listener that asks for a login does. "
            f"{_PROTOCOL} is {greeted.protocol}: set it to SASL_SSL or SASL_PLAINTEXT, as the listener is."
        )
    return None


def _concerns(error: BaseException, broker: tuple[str, int]) -> bool:
    """Whether the error can come from this broker: where aiokafka could not bootstrap, it names all that it asked."""
    said = str(error)
    return "bootstrap" not in said or f"{repr(broker)[:-1]}," in said


def _told(attempt: _Attempt) -> FraudstreamError | None:
    """What is known of a failure."""
    error, at = attempt.error, f"Kafka at {attempt.broker}"
    cause = error.__cause__ if isinstance(error, KafkaConnectionError) and error.__cause__ is not None else error
    if isinstance(cause, (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)):
        return NoAccess(f"{at} {_of_login(cause, attempt)}")
    if isinstance(cause, ssl.SSLError):
        return NoAccess(f"{at}: {why_no_tls(cause)}. Check FRAUDSTREAM_KAFKA_SSL_CAFILE, FRAUDSTREAM_KAFKA_SSL_CERTFILE and {_PROTOCOL}.")
    if isinstance(cause, socket.gaierror):
        name = attempt.broker.rpartition(":")[0]
        return NoHost(
            f"The name {name!r} of a Kafka broker was not found ({cause.strerror}). It stands in FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS, or the "
            "brokers call themselves so (their advertised.listeners)."
        )
    if isinstance(cause, EOFError) and getattr(cause, "expected", None) and cause.expected >> 24 == _TLS_ALERT:  # type: ignore[attr-defined]
        return NoAccess(f"{at} speaks TLS, and {_PROTOCOL} is {attempt.protocol}. Set it to SSL or SASL_SSL.")
    if isinstance(cause, ConnectionResetError) and "SSL" in attempt.protocol:
        return Unavailable(
            f"{at} hung up while TLS was agreed on. Check the broker, and that this port speaks TLS: {_PROTOCOL} is {attempt.protocol}."
        )
    return None


def _of_login(error: BaseException, attempt: _Attempt) -> str:
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"knows no login by {attempt.mechanism}. Set FRAUDSTREAM_KAFKA_SASL_MECHANISM to one that it has."
    if isinstance(error, IllegalSaslStateError):
        return f"asks for no login, and {_PROTOCOL} is {attempt.protocol}. Set it to {attempt.protocol.removeprefix('SASL_')}, or name the listener with a login."
    said = next((f" ({a})" for a in error.args if isinstance(a, str)), "")
    return (
        f"refused the login{said}. Check FRAUDSTREAM_KAFKA_SASL_USERNAME, FRAUDSTREAM_KAFKA_SASL_PASSWORD and "
        f"FRAUDSTREAM_KAFKA_SASL_MECHANISM ({attempt.mechanism})."
    )
