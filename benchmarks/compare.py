"""`make bench-compare BEFORE=FILE AFTER=FILE`: two outputs of `make bench` of one machine, side by side, as Markdown.

Ends with 1 where the throughput at either number of cards is less than WORST of that before: two runs of the same code differ by a tenth.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WORST = 0.75
CARDS = ("10000", "1000000")
FIGURES: dict[tuple[str, ...], str] = {
    **{("cards", n, "scored_per_s"): f"scored/s at {int(n):,} cards" for n in CARDS},
    **{("cards", n, "cpu_us", "worker"): f"CPU of the worker at {int(n):,} cards, us a payment" for n in CARDS},
    ("limit_per_s",): "decoded and acknowledged only/s",
    ("share_of_limit",): "share of it",
    ("worker_peak_mb",): "memory, MB",
    **{("latency_ms", rate, p): f"latency at {int(rate):,}/s, {p}, ms" for rate in ("500", "2000") for p in ("p50", "p99", "p99.9")},
    ("worker_cores_at_2000",): "cores of the worker at 2,000/s",
}
"""Where each figure stands in the output, and its name."""


def of_bench(text: str) -> dict[str, float]:
    """The figures in what `make bench` printed, its last line, by their names.

    Raises:
        ValueError: if it did not end with them.
    """
    try:
        printed = json.loads(text.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        printed = None
    found = {name: _at(printed, path) for path, name in FIGURES.items()}
    missing = [name for name, figure in found.items() if figure is None]
    if missing:
        raise ValueError(f"the last line is not make bench's: {', '.join(missing)} not in it. Did the run fail? Look at the lines before.")
    return {name: figure for name, figure in found.items() if figure is not None}


def _at(printed: Any, path: tuple[str, ...]) -> float | None:
    for step in path:
        if not isinstance(printed, dict) or step not in printed:
            return None
        printed = printed[step]
    return printed if isinstance(printed, int | float) else None


def table(before: dict[str, float], after: dict[str, float]) -> str:
    """Both runs and their ratio, a row for each figure."""
    rows = [f"| {name} | {before[name]:g} | {after[name]:g} | {after[name] / before[name]:.2f} |" for name in FIGURES.values()]
    return "\n".join(["| | before | after | after ÷ before |", "|---|---|---|---|", *rows])


def main(before: str, after: str) -> int:
    """Compare two files; the exit code."""
    try:
        runs = [of_bench(Path(name).read_text()) for name in (before, after)]
    except (OSError, ValueError) as error:
        sys.exit(f"bench-compare: {error}")
    print(table(*runs))
    rates = [FIGURES["cards", n, "scored_per_s"] for n in CARDS]
    return 0 if all(runs[1][rate] >= WORST * runs[0][rate] for rate in rates) else 1


if __name__ == "__main__":
    if len(sys.argv) != len(("program", "before", "after")):
        sys.exit("bench-compare: give two files, as in `make bench-compare BEFORE=a.txt AFTER=b.txt`")
    sys.exit(main(*sys.argv[1:]))
