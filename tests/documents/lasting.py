"""A command that runs until it is told to stop, as a reader's second terminal."""

from __future__ import annotations

import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.waiting import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def lasting(script: str, folder: Path, environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run it in bash while the context lasts; told to stop with SIGTERM, killed where it does not."""
    with (
        log.open("wb") as output,
        subprocess.Popen(["bash", "-euc", script], cwd=folder, env=dict(environment), stdout=output, stderr=output) as process,
    ):
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
