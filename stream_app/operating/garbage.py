"""Python's collector of cycles, in a process that makes millions of objects a minute and hardly a cycle."""

from __future__ import annotations

import gc


def spare_the_collector() -> None:
    """Once a process has started: what is there now stays, and is not looked at again.

    A worker's modules and kernels are some hundred thousand objects. A look at all of them took 120 ms, every 15,000 payments of a backlog. What
    comes later is looked at as often as ever: a refused record of some megabytes may hang in a cycle, and a hundred of them are a worker's memory.
    """
    gc.collect()
    gc.freeze()
