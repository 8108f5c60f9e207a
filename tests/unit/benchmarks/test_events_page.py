"""What `make bench-events` printed becomes the table of a page."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.events import EVENTS
from benchmarks.events_page import BEGIN, END, section, written
from benchmarks.pages import DOCS


def around(before: float, during: float) -> dict[str, Any]:
    """Percentiles around an event."""
    at = {"p50": 5.0, "alerts": 1_500}
    return {
        "before": {**at, "p99": before, "p99.9": 2 * before},
        "during": {**at, "p99": during, "p99.9": 2 * during, "largest": 3_000.5},
    }


CLIENT = {"sent": 45_000, "cpu_us": 55.0, "late_p99_ms": 0.4}
RESULT: dict[str, Any] = {
    "rate": 1_000,
    "cards": 100_000,
    "after_s": 30,
    "events": {name: {**around(20.0, 1_800.0), "client": CLIENT} for name in EVENTS},
}
RESULT["events"]["one of four partitions is rebuilt"]["other_partitions"] = around(20.0, 23.4)


def test_every_event_has_a_row_and_the_partitions_beside_a_rebuild_one_of_their_own() -> None:
    """With what it was before."""
    rows = section(RESULT).splitlines()
    assert "| **Redis restarts** | 5.0, 20.0, 40.0 | 5.0, 1,800.0, 3,600.0 | 3,000.5 ms | 1,500, 1,500 |" in rows
    assert sum(row.startswith("| **") for row in rows) == len(EVENTS)
    assert rows[-5].startswith("| its payments in the other partitions | 5.0, 20.0, 40.0 | 5.0, 23.4, 46.8 |")


def test_what_a_rebuild_adds_to_the_others_stands_beside_its_reach() -> None:
    """The difference of two percentiles, as it was measured; and what the client took."""
    text = section(RESULT)
    assert "A partition that is rebuilt added 3.4 ms to the 99th percentile of the others; 5 ms is the reach." in text
    assert "The client took 55 to 55 µs of CPU a payment; 99 of 100 left within 0.4 ms of when they were due." in text


def test_the_page_has_the_marks_that_the_table_is_written_between() -> None:
    """Twice the same; a page without them is refused."""
    page = written((DOCS / "performance.md").read_text(), RESULT)
    assert "| **Redis restarts** |" in page.partition(BEGIN)[2].partition(END)[0]
    assert written(page, RESULT) == page
    with pytest.raises(ValueError, match="lacks"):
        written("no marks", RESULT)
