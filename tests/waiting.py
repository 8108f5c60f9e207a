"""Waiting for what must come, with one deadline: far longer than anything takes, so that no test fails because its machine is busy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 120.0


def until[T](look: Callable[[], T], what: str, deadline_s: float = DEADLINE_S, every_s: float = 0.05) -> T:
    """Look until the answer is true, and give it; or fail saying what was awaited."""
    deadline = time.monotonic() + deadline_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {deadline_s:.0f} s for {what}"
        time.sleep(every_s)
    return found
