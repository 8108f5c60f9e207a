"""Python's collector of cycles, in a process that makes millions of objects a minute and hardly a cycle."""

from __future__ import annotations

import gc

_YOUNG, _MIDDLE, _OLD = 50_000, 20, 20
"""Objects made before the youngest are looked at (Python's own: 700), and how many such looks before one at the next generation."""


def spare_the_collector() -> None:
    """Once a process has started: what is there now stays and is not looked at again, and what comes is looked at less often.

    A worker's modules and kernels are some hundred thousand objects. A look at all of them took 120 ms, every 15,000 payments of a backlog; with
    the many small ones, the collector took a fifth of a worker's time. Cycles are still found: what they may hold is bounded by `_YOUNG`.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
