"""Addresses of servers, fit to be shown: in an error, a log, a table. A password in one never leaves it."""

from __future__ import annotations

import re

_HIDDEN = "…"
_BEFORE_HOST = re.compile(r"(\w[\w+.-]*://)\S*@")
_IN_QUERY = re.compile(r"([?&](?:password|token)=)[^&\s]*", re.IGNORECASE)


def without_password(address: str) -> str:
    """An address, right or wrong, without what stands before its host and without the passwords of its query.

    `redis://user:secret@host:6379/0` becomes `redis://…@host:6379/0`. Where a password holds an `@`, all before the last one goes.
    """
    before, at, host = address.rpartition("@")
    if at:
        scheme, there, _ = before.partition("://")
        address = f"{scheme + there if there else ''}{_HIDDEN}@{host}"
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", address)


def without_passwords(text: str) -> str:
    """The same for every URL in a text of others, such as a library's error."""
    return _IN_QUERY.sub(rf"\1{_HIDDEN}", _BEFORE_HOST.sub(rf"\1{_HIDDEN}@", text))
