"""What Redis and the way to it fail with, by its cause: an answer is never told as silence."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from stream_app.errors import FraudstreamError, NoAccess, NoHost, Refused, Unavailable
from stream_app.messages.certificates import why_no_tls

_URL = "FRAUDSTREAM_REDIS_URL"
_MOST_CAUSES = 5


def redis_error(error: Exception) -> FraudstreamError:
    """What to tell the operator: `Refused` of a right, `NoAccess` of a login or certificate, else `Unavailable`, which is tried again."""
    told = f"{type(error).__name__}: {error}"
    if isinstance(error, (AskError, TryAgainError, ClusterDownError)):
        return Unavailable(
            f"The Redis Cluster moves keys or replaces a server ({told}). What needs them waits; see `redis-cli cluster info`."
        )
    if isinstance(error, NoPermissionError):
        return Refused(f"Redis does not let the user of {_URL} do that ({error}). Give the user the right: ACL SETUSER.")
    if isinstance(error, (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError)):
        return NoAccess(f"Redis refused the login ({error}). Write user and password into {_URL}: redis://user:password@host:6379/0.")
    if isinstance(error, ResponseError | BusyLoadingError):
        return Unavailable(_answered(error))
    return _not_reached(error, told)


def _answered(error: Exception) -> str:
    """Of an answer that may be another one later."""
    if isinstance(error, OutOfMemoryError):
        return (
            f"The memory of Redis is full ({error}). Raise it (`redis-cli CONFIG SET maxmemory`, and in its configuration), or take a larger "
            "server; state is never evicted."
        )
    if isinstance(error, ReadOnlyError):
        return f"Redis at {_URL} is a replica and takes no writes ({error}). Name its primary, or wait for the one that takes over."
    if isinstance(error, BusyLoadingError):
        return f"Redis still loads its data ({error}). Wait until it has."
    return f"Redis refused a command ({error}). See its log."


def _not_reached(error: Exception, told: str) -> FraudstreamError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return NoAccess(f"Redis: {why_no_tls(cause)}. Check {_URL} (rediss:// is TLS; ?ssl_ca_certs=FILE names who signed).")
        if isinstance(cause, socket.gaierror):
            return NoHost(f"The name of the Redis server in {_URL} was not found ({cause.strerror}). Check the name, and DNS.")
    return Unavailable(f"Redis did not answer ({told}). Check {_URL} and the server.")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised for: redis-py's own tell it as text alone."""
    found: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__
