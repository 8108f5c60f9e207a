"""What processes use while something happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psutil


def cpu_s(processes: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds that each process has used since it began, user and system.

    Args:
        processes: id by name.
    """
    used = {name: psutil.Process(pid).cpu_times() for name, pid in processes.items()}
    return {name: times.user + times.system for name, times in used.items()}


def peak_mb(pid: int) -> float:
    """The most memory that a process has held, MB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
