"""What a long benchmark has measured is kept when one step of it fails: that is told, and the others go on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_app.local.stack import LocalStack

type Step = tuple[str, Callable[[], Any]]
"""What is measured, as it is called in the result, and what measures it."""


@dataclass(slots=True)
class Kept:
    """Takes one step after the other.

    Attributes:
        command: what was run, as it is told.
        down: which of the servers is gone, or None: without them no further step is tried, for each would wait for them to its deadline.
        failed: why, by what was not measured.
    """

    command: str
    down: Callable[[], str | None]
    failed: dict[str, str] = field(default_factory=dict)

    def of(self, steps: Iterable[Step], curve: str = "") -> dict[str, Any]:
        """What the steps measured, by their names, without those that failed."""
        measured = {}
        for name, step in steps:
            try:
                self._stand()
                measured[name] = step()
            except Exception as error:  # noqa: BLE001 - whatever it is, hours of measurements are not lost with it
                self.failed[f"{curve}: {name}" if curve else name] = f"{type(error).__name__}: {error}"[:300]
                print(f"{self.command}: {curve} {name} FAILED", traceback.format_exc(), sep="\n", file=sys.stderr)
        return measured

    def _stand(self) -> None:
        if (server := self.down()) is not None:
            raise RuntimeError(f"{server} is not running any more")

    def ended(self, result: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """The result with what failed in it, and the exit code."""
        for name, why in self.failed.items():
            print(f"{self.command}: not measured: {name} ({why})", file=sys.stderr)
        return ({**result, "failed": self.failed}, 1) if self.failed else (result, 0)


def gone(home: Path) -> str | None:
    """Which server of a folder does not run any more; one that is slow to answer does."""
    return next((server.service for server in LocalStack(home / ".fraudstream").status() if server.pid is None), None)
