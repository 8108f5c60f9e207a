"""The table of docs/reliability.md, from what `make faults` printed: `python -m tests.faults.table FILE ...`.

Each file holds the last line of a run, or its whole output; what they measured is added up.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.faults.faults import FAULTS
from tests.faults.versions import ROOT

DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: made by `python -m tests.faults.table FILE ...` of what `make faults` printed -->\n", "<!-- /faults -->"
COLUMNS = ("runs", "lost", "doubled", "wrong")


def about(name: str) -> str:
    """What a fault is, in one sentence."""
    return str(FAULTS[name].__doc__).strip().splitlines()[0].replace("|", "\\|")


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A row a fault, in the suite's order.

    Raises:
        ValueError: if a fault was not made in any of the runs.
    """
    sums: dict[str, Counter[str]] = {name: Counter() for name in FAULTS}
    for result in results:
        for name, figures in result["by_fault"].items():
            sums[name].update(figures)
    if missing := [name for name, figures in sums.items() if not figures["runs"]]:
        raise ValueError(f"no run has made {', '.join(missing)}: FAULTS_ONLY={','.join(missing)} FAULTS={len(missing)} make faults")
    faults, sent = sum(r["faults"] for r in results), sum(r["sent"] for r in results)
    rows = [f"| `{name}` | {about(name)} | {' | '.join(str(figures[c]) for c in COLUMNS)} |" for name, figures in sums.items()]
    head = ["| fault | what is done | runs | lost | doubled | wrong |", "|---|---|--:|--:|--:|--:|"]
    return "\n".join([f"{faults} faults, {sent:,} records:", "", *head, *rows, ""])


def stated(document: str) -> str:
    """The part of the document that the table is."""
    return document.partition(BEGIN)[2].partition(END)[0]


def result_of(output: str) -> dict[str, Any]:
    """The result that a run printed last.

    Raises:
        ValueError: if there is none.
    """
    lines = output.splitlines()
    found: dict[str, Any] = json.loads(lines[-1] if lines else "")
    return found


def main() -> None:
    """Write the table."""
    made = table([result_of(Path(name).read_text()) for name in sys.argv[1:]])
    document = DOCUMENT.read_text()
    DOCUMENT.write_text(document.replace(BEGIN + stated(document) + END, BEGIN + made + END))


if __name__ == "__main__":
    main()
