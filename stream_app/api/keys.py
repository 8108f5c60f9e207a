"""Who may ask for what: keys with scopes, hashed in their file. A key is 32 random bytes, so that one SHA-256 is enough to hide it.

The file has a line for each key, `name scopes sha256`, as `fraudstream api-key` writes it; `#` begins a comment.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path

from stream_app.api.problems import Refusal
from stream_app.errors import SettingsError

_LINE = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,64})\s+(?P<scopes>[a-z,]+)\s+(?P<digest>[0-9a-f]{64})")
_PREFIX = "fs_"


class Scope(StrEnum):
    """What a key may do."""

    SCORE = "score"
    READ = "read"
    LABEL = "label"
    RULES = "rules"
    LISTS = "lists"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept: its name, what it may do, the SHA-256 of the key itself."""

    name: str
    scopes: frozenset[Scope]
    digest: str

    def line(self) -> str:
        """As it stands in the file."""
        return f"{self.name} {','.join(sorted(self.scopes))} {self.digest}\n"


class Keys:
    """All keys; with none at all everybody may do everything."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def check(self, authorization: str, *scopes: Scope) -> str | None:
        """Let a request pass, or refuse it. Every key is compared, each in constant time, whichever fits.

        Args:
            authorization: the header, `Bearer <key>`.
            scopes: any one of them is enough.

        Returns:
            the key's name; None where no keys are asked for.

        Raises:
            Refusal: 401 without a known key, 403 with one that lacks the scope.
        """
        if not self._keys:
            return None
        kind, _, given = authorization.partition(" ")
        digest, found = _digest(given.strip()), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None or kind.lower() != "bearer":
            told = "Header Authorization: a known API key is needed, as `Authorization: Bearer fs_…`."
            raise Refusal(HTTPStatus.UNAUTHORIZED, "no-key", told, headers={"WWW-Authenticate": "Bearer"})
        if found.scopes.isdisjoint(scopes):
            lacking = " or ".join(repr(scope.value) for scope in scopes)
            raise Refusal(HTTPStatus.FORBIDDEN, "no-scope", f"Header Authorization: key {found.name!r} has no scope {lacking}.")
        return found.name


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode(errors="replace")).hexdigest()


def new_key(name: str, scopes: Sequence[Scope]) -> tuple[str, Key]:
    """A fresh key, to be shown once, and what is kept of it.

    Raises:
        SettingsError: if the name cannot stand in the file.
    """
    text = _PREFIX + secrets.token_urlsafe(32)
    key = Key(name, frozenset(scopes), _digest(text))
    if not scopes or not _LINE.fullmatch(key.line().strip()):
        raise SettingsError(f"The key's name {name!r} must be up to 64 letters, digits, dots, underscores and dashes. Example: checkout")
    return text, key


def read_keys(file: str, host: str) -> Keys:
    """The keys of the settings. Without a file, everybody may ask: only where the API listens on loopback.

    Raises:
        SettingsError: if the file cannot be read, a line is none of a key, or there are no keys where there must be.
    """
    if not file:
        if not is_loopback(host):
            raise SettingsError(
                f"FRAUDSTREAM_API_HOST = {host!r} is not loopback, and no keys are asked for. Make one and name its file: "
                "fraudstream api-key checkout --scope score --file api-keys; FRAUDSTREAM_API_KEYS_FILE=api-keys"
            )
        return Keys(())
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"FRAUDSTREAM_API_KEYS_FILE {file!r} cannot be read: {error}. `fraudstream api-key` makes one.") from None
    keys = [_key(file, number, line) for number, line in enumerate(lines, 1) if line.partition("#")[0].strip()]
    if not keys:
        raise SettingsError(f"FRAUDSTREAM_API_KEYS_FILE {file!r} holds no key. `fraudstream api-key checkout --scope score` makes one.")
    return Keys(keys)


def _key(file: str, number: int, line: str) -> Key:
    match = _LINE.fullmatch(line.partition("#")[0].strip())
    known = {s.value for s in Scope}
    if match is None or not set(match["scopes"].split(",")) <= known:
        raise SettingsError(
            f"FRAUDSTREAM_API_KEYS_FILE {file!r}, line {number}: it must be `name scopes sha256`, scopes being some of "
            f"{', '.join(sorted(known))} with commas. `fraudstream api-key` writes such a line."
        )
    return Key(match["name"], frozenset(Scope(s) for s in match["scopes"].split(",")), match["digest"])


@lru_cache(maxsize=16)
def is_loopback(host: str) -> bool:
    """Whether this name or address leads to this machine alone, whatever a name server says."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
