"""Addresses of servers, fit to be shown: in an error, a log, a table. A password in one never leaves it."""

from __future__ import annotations

import re

_HIDDEN = "…"
_MOST_QUOTED = 200
_BEFORE_HOST = re.compile(r"(\w[\w+.-]*://)\S*@")
_NO_PORT = re.compile(r"(\w[\w+.-]*://)?+[^/:\[]*:(?![0-9]{1,5}(?:[/?,]|$)).*", re.DOTALL)
"""Without an `@`: a colon, and behind it no port. It may be a password whose host was forgotten."""
_IN_QUERY = re.compile(r"([?&](?:password|token)=)[^&\s]*", re.IGNORECASE)


def without_password(address: str) -> str:
    """An address, right or wrong, without what stands before its host and without the passwords of its query.

    `redis://user:secret@host:6379/0` becomes `redis://…@host:6379/0`. Where a password holds an `@`, all before the last one goes; where there
    is none, and a colon with no port behind it, all does.
    """
    before, at, host = address.rpartition("@")
    if at:
        scheme, there, _ = before.partition("://")
        address = f"{scheme + there if there else ''}{_HIDDEN}@{host}"
    elif found := _NO_PORT.fullmatch(address):
        return f"{found[1] or ''}{_HIDDEN}"
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", address)


def without_passwords(text: str) -> str:
    """The same for every URL in a text of others, such as a library's error."""
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", _BEFORE_HOST.sub(rf"\1{_HIDDEN}@", text))


def refused_by_mlflow(said: str) -> str:
    """What MLflow, or a proxy before it, said when it refused a request, and the remedy: that of the server where the name is what it refuses."""
    quoted = " ".join(without_passwords(said).split())[:_MOST_QUOTED]
    if "host" in quoted.lower() and "header" in quoted.lower():
        remedy = "Start MLflow with --allowed-hosts and the name in FRAUDSTREAM_MLFLOW_TRACKING_URI, with its port"
    else:
        remedy = "Put user and password into FRAUDSTREAM_MLFLOW_TRACKING_URI (https://user:password@host)"
    return f"{quoted}. {remedy}." if quoted else f"{remedy}."
