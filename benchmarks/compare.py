"""`make bench-compare BEFORE=FILE AFTER=FILE`: two outputs of `make bench` of one machine, side by side, as Markdown.

Ends with 1 where the throughput after is less than WORST of that before: two runs of the same code differ by a tenth.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

WORST = 0.75
FIGURES = {
    "scored_per_s": "scored/s",
    "without_state_per_s": "decoded and acknowledged only/s",
    "share_of_it": "share of it",
    "worker_peak_mb": "memory, MB",
    "p50": "latency p50, ms",
    "p99": "latency p99, ms",
    "p99.9": "latency p99.9, ms",
}


def of_bench(text: str) -> dict[str, Any]:
    """The figures in what `make bench` printed, its last line; those of latency beside the others.

    Raises:
        ValueError: if it did not end with them.
    """
    lines = text.splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
        found |= found.get("latency_ms", {})
        missing = [name for name in FIGURES if name not in found]
    except (IndexError, json.JSONDecodeError, AttributeError):
        missing = list(FIGURES)
    if missing:
        raise ValueError(f"the last line is not make bench's: {', '.join(missing)} not in it. Did the run fail? Look at the lines before.")
    return found


def table(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Both runs and their ratio, a row for each figure."""
    rows = [f"| {text} | {before[name]} | {after[name]} | {after[name] / before[name]:.2f} |" for name, text in FIGURES.items()]
    return "\n".join(["| | before | after | after ÷ before |", "|---|---|---|---|", *rows])


def main(before: str, after: str) -> int:
    """Compare two files; the exit code."""
    try:
        runs = [of_bench(Path(name).read_text()) for name in (before, after)]
    except (OSError, ValueError) as error:
        sys.exit(f"bench-compare: {error}")
    print(table(*runs))
    return 0 if runs[1]["scored_per_s"] >= WORST * runs[0]["scored_per_s"] else 1


if __name__ == "__main__":
    if len(sys.argv) != len(("program", "before", "after")):
        sys.exit("bench-compare: give two files, as in `make bench-compare BEFORE=a.txt AFTER=b.txt`")
    sys.exit(main(*sys.argv[1:]))
