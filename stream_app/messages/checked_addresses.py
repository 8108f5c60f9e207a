"""Addresses of servers as settings take them: what a library would stumble over later is refused in words, and no word is of a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, urlsplit

ENCODE = "in a user or password write @ / : # ? % and space as %40 %2F %3A %23 %3F %25 %20"
_BROKERS = "it must be host:port, or several of them with commas and no spaces between"
_NO_HOST = frozenset("/@?#[]\\%\"'<>|^`{};=&$!*()+")
_HIGHEST_PORT = 65_535
_FILE = re.compile(r"[^\0]+")
_OF_TLS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "ssl_ca_certs": _FILE,
        "ssl_certfile": _FILE,
        "ssl_keyfile": _FILE,
        "ssl_cert_reqs": re.compile("none|optional|required"),
        "ssl_check_hostname": re.compile("true|false", re.IGNORECASE),
    }
)
_OF_REDIS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "db": re.compile("[0-9]{1,5}"),
        "username": _FILE,
        "password": _FILE,
        "client_name": re.compile("[!-~]{1,200}"),
        "health_check_interval": re.compile("[0-9]{1,5}"),
    }
)
"""What a URL of Redis may say behind `?`. More of redis-py's options would take the bounds of time away, or change what answers are."""


def checked_brokers(text: str) -> str:
    """Brokers of Kafka, host:port with commas between.

    Raises:
        ValueError: it is something else; in words.
    """
    for broker in text.split(","):
        host, colon, port = broker.rpartition(":")
        if not colon or ":" in host or not re.fullmatch("[0-9]{1,5}", port):
            raise ValueError(_BROKERS)
        if not 0 < int(port) <= _HIGHEST_PORT:
            raise ValueError(f"a port is between 1 and {_HIGHEST_PORT}")
        _check_host(host)
    return text


def checked_http_url(text: str) -> str:
    """The URL of a server of HTTP.

    Raises:
        ValueError: it is something else; in words.
    """
    if not text.startswith(("http://", "https://")):
        raise ValueError("it must begin with http:// or https://")
    _server_of(text)
    return text


def checked_redis_url(text: str) -> str:
    """The URL of a Redis, its options the ones that are known.

    Raises:
        ValueError: it is something else; in words.
    """
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("it must begin with redis://, rediss:// (TLS) or unix://")
    if text.startswith("unix://"):
        url = _split(text)
        if not url.path:
            raise ValueError("the path of the socket is missing: unix:///run/redis.sock")
    else:
        url = _server_of(text)
        if not re.fullmatch("/?|/[0-9]{1,5}", url.path):
            raise ValueError("what follows the host must be the number of a database, as /0")
    _check_options(url.query, {**_OF_REDIS, **_OF_TLS} if url.scheme == "rediss" else _OF_REDIS)
    return text


def _check_options(query: str, known: Mapping[str, re.Pattern[str]]) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        form = known.get(name)
        if form is None:
            shown = f"{name[:40]!r} is no option" if re.fullmatch("[a-z_]+", name) else "there is something else behind `?`"
            of_tls = "; those of TLS need rediss://" if name in _OF_TLS else ""
            raise ValueError(f"{shown}. Options are {', '.join(known)}{of_tls}; {ENCODE}")
        if not form.fullmatch(value):
            raise ValueError(f"the value of the option {name!r} cannot be right")


def _server_of(text: str) -> SplitResult:
    """The parts of a URL with a host."""
    url = _split(text)
    try:
        host, port = url.hostname, url.port
    except ValueError:
        raise ValueError(f"its port is no number between 1 and {_HIGHEST_PORT}; {ENCODE}") from None
    if not host:
        raise ValueError(f"it names no host; {ENCODE}")
    if port == 0:
        raise ValueError(f"a port is between 1 and {_HIGHEST_PORT}")
    if ":" not in host:  # an address of IPv6, which stood in brackets
        _check_host(host)
    return url


def _split(text: str) -> SplitResult:
    if not text.isprintable() or any(sign.isspace() for sign in text):
        raise ValueError(f"it holds a space or a control character; {ENCODE}")
    if "#" in text:
        raise ValueError(f"it holds a #; {ENCODE}")
    try:
        url = urlsplit(text)
    except ValueError:
        raise ValueError(f"it is no URL; {ENCODE}") from None
    if "@" in url.path + url.query:
        raise ValueError(f"an @ stands behind the host; {ENCODE}")
    return url


def _check_host(host: str) -> None:
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("it names no host: a part between dots has 1 to 63 signs") from None
    if not host or not host.isprintable() or any(sign.isspace() for sign in host) or _NO_HOST & set(host):
        raise ValueError("it names no host")
