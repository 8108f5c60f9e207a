"""`python -m benchmarks.events_page RESULT`: what `make bench-events` printed, as the table of docs/performance.md.

RESULT is a file that ends with its last line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.pages import DOCS, between, last_result

BEGIN, END = "<!-- events: made by `python -m benchmarks.events_page RESULT` -->", "<!-- /events -->"
OTHERS_MAY_ADD_MS = 5.0
"""So much a partition that is rebuilt may add to the 99th percentile of the others."""
_PERCENTILES = ("p50", "p99", "p99.9")


def section(result: Mapping[str, Any]) -> str:
    """What stands between the marks of the page, in Markdown."""
    return "\n\n".join([_table(result), *_beside_a_rebuild(result), _client(result)])


def _table(result: Mapping[str, Any]) -> str:
    """A row for each event, and one for the partitions that it does not touch."""
    about = f"{result['rate']:,} payments/s of {result['cards']:,} cards; ms from due to the alert"
    during = f"within {result['after_s']} s after it"
    rows = [
        f"| {about} | before: p50, p99, p99.9 | {during} | slowest | alerts before, after |",
        "|---|---|---|---|---|",
    ]
    for name, of in _rows(result):
        before, after = (", ".join(f"{of[when][p]:,}" for p in _PERCENTILES) for when in ("before", "during"))
        alerts = f"{of['before']['alerts']:,}, {of['during']['alerts']:,}"
        rows.append(f"| {name} | {before} | {after} | {of['during']['largest']:,} ms | {alerts} |")
    return "\n".join(rows)


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, of in result["events"].items():
        yield f"**{name}**", of
        if others := of.get("other_partitions"):
            yield "its payments in the other partitions", others


def _beside_a_rebuild(result: Mapping[str, Any]) -> Iterator[str]:
    """What a rebuild adds to the others, beside what it may add."""
    for of in result["events"].values():
        if others := of.get("other_partitions"):
            added = round(others["during"]["p99"] - others["before"]["p99"], 1)
            yield f"A partition that is rebuilt added {added:g} ms to the 99th percentile of the others; {OTHERS_MAY_ADD_MS:g} ms is the reach."


def _client(result: Mapping[str, Any]) -> str:
    cost, late = ([of["client"][what] for of in result["events"].values()] for what in ("cpu_us", "late_p99_ms"))
    return (
        f"The client took {min(cost):g} to {max(cost):g} µs of CPU a payment; 99 of 100 left within {max(late):g} ms of when they were due."
    )


def written(page: str, result: Mapping[str, Any]) -> str:
    """The page with its part made anew.

    Raises:
        ValueError: the page has no marks.
    """
    return between(page, BEGIN, END, section(result))


def main(file: str) -> None:
    """Write the table."""
    page = DOCS / "performance.md"
    try:
        result = last_result(Path(file).read_text(), {"rate", "cards", "after_s", "events"}, "make bench-events")
        page.write_text(written(page.read_text(), result))
    except (OSError, ValueError) as error:
        sys.exit(f"bench-events: {error}")


if __name__ == "__main__":
    if len(sys.argv) != len(("program", "result")):
        sys.exit("bench-events: give the file, as in `python -m benchmarks.events_page events.txt`")
    main(sys.argv[1])
