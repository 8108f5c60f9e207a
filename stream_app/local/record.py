"""What the stack remembers in `stack.json`, and the lock that makes two commands take turns.

A server is recorded before it is started: with its token, which its environment carries. A starter killed at any moment
therefore leaves no process that the next command cannot find.
"""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from stream_app.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A started server: its id, and the time of its start that tells it from a later process with the same id."""

    pid: int
    started_s: float


@dataclass(frozen=True, slots=True)
class Service:
    """One server of the stack.

    Attributes:
        ports: those of its last start, its address first; taken again where free.
        token: what the environment of its processes carries; empty: it is stopped.
        process: None before it is started.
        ready: it answered; without it, its starter did not come to the end.
    """

    ports: tuple[int, ...]
    token: str = ""
    process: StartedProcess | None = None
    ready: bool = False


@dataclass(frozen=True, slots=True)
class StackRecord:
    """The services by name."""

    services: dict[str, Service] = field(default_factory=dict)


def load(path: Path) -> StackRecord:
    """Read the record; an empty one where there is no file.

    Raises:
        StateError: the file is not what `save` wrote.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=StackRecord)
    except FileNotFoundError:
        return StackRecord()
    except msgspec.DecodeError as error:
        raise StateError(f"{path} cannot be read ({error}): end what still runs of this stack (see ps ax), then delete the file") from None


def save(path: Path, record: StackRecord) -> None:
    """Write the record whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    fresh.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the stack's lock; waits for another command to finish. The kernel frees it when the holder dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
