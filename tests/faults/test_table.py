"""The table of docs/reliability.md has what the suite has. Its figures were measured; a fault that was not is told."""

from __future__ import annotations

import re

import pytest

from tests.faults.faults import FAULTS
from tests.faults.table import DOCUMENT, about, stated, table


def a_run(*names: str) -> dict[str, object]:
    """What a run of these faults prints, of what the table needs."""
    return {"faults": len(names), "sent": 1000, "by_fault": {n: {"runs": 1, "lost": 0, "doubled": 2, "wrong": 0} for n in names}}


def test_the_document_has_every_fault_of_the_suite_and_no_other() -> None:
    """A new fault is measured, and `python -m tests.faults.table` writes its row."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (\d+) \| \d+ \| \d+ \| \d+ \|$", stated(DOCUMENT.read_text()), re.MULTILINE)
    assert [(name, what) for name, what, _ in rows] == [(name, about(name)) for name in FAULTS]
    assert all(int(runs) for *_, runs in rows)


def test_runs_are_added_up() -> None:
    """Figures of several runs stand in one row."""
    first, *others = FAULTS
    made = table([a_run(first), a_run(first, *others)])
    assert f"{len(FAULTS) + 1} faults, 2,000 records:" in made
    assert f"| `{first}` | {about(first)} | 2 | 0 | 4 | 0 |" in made


def test_a_fault_that_no_run_made_is_named() -> None:
    """A row without a figure is not written."""
    first, *others = FAULTS
    with pytest.raises(ValueError, match=f"no run has made {first}:"):
        table([a_run(*others)])
