"""What `make bench-peers` printed becomes table and chart of a page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benchmarks.peers.page import BEGIN, END, chart, of_run, table, written


def measured(per_s: int, *runs: int) -> dict[str, Any]:
    """Of one system."""
    return {
        "scored_per_s": per_s,
        "runs": [per_s, *runs],
        "cpu_us": {"worker": 41.5, "redis": 8.0, "broker": 3.0},
        "payments": 100,
        "about": "a system",
    }


RESULT: dict[str, Any] = {
    "fraudstream": measured(20_000, 19_000, 21_000),
    "kafka_streams": measured(10_000),
    "faust": measured(1_000),
    "quix": None,
    "limit": measured(100_000) | {"cpu_us": {"worker": 9.0}},
    "ratios": {"fraudstream_to_kafka_streams": 2.0, "fraudstream_to_faust": 20.0, "fraudstream_to_limit": 0.2},
    "scores_agree": True,
    "agreement": {"fraudstream": 1.0},
    "missing": {"quix": "no wheel | for this machine"},
    "cards": 1_000_000,
    "history": 1_500_000,
    "alerted": 0.0123,
}


def test_a_table_has_a_row_for_each_system_the_fastest_first() -> None:
    """With the ratio, and why one was not run."""
    rows = table(RESULT).splitlines()
    assert "1.2% alerted" in rows[0]
    assert [row.split("**")[1] for row in rows[2:]] == ["the limit", "Fraudstream", "Kafka Streams", "Faust, naive", "Quix Streams"]
    assert rows[3] == "| **Fraudstream**: a system | 20,000 | 19,000 to 21,000 | 41.5, 8, 3 | 1.00 |"
    assert rows[4].endswith("| 2.00 |")
    assert rows[-1] == "| **Quix Streams** | not run: no wheel / for this machine | | | |"


def test_a_chart_names_each_system_that_ran() -> None:
    """It is SVG with text in it, and the same for the same result."""
    drawn = chart(RESULT)
    texts = re.findall(r">\s*([^<>]+?)\s*</text>", drawn)
    assert all(name in texts for name in ("Fraudstream", "Kafka Streams", "20,000/s", "Faust, naive"))
    assert "Quix Streams" not in texts
    assert chart(RESULT) == drawn


def test_only_what_is_between_the_marks_is_written_anew() -> None:
    """Twice the same."""
    page = written(f"before\n{BEGIN}\nold\n{END}\nafter\n", RESULT)
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "old" not in page
    assert table(RESULT) in page
    assert written(page, RESULT) == page
    with pytest.raises(ValueError, match="Put both back"):
        written("a page without marks", RESULT)


@pytest.mark.parametrize("text", ["", "Traceback", "[]", json.dumps(RESULT | {"scores_agree": False}), json.dumps({"scores_agree": True})])
def test_a_run_that_failed_or_whose_scores_differ_is_refused(text: str) -> None:
    """It makes no figures."""
    with pytest.raises(ValueError, match=r"Did the run fail|not the same work"):
        of_run(text)
    assert of_run("servers are up\n" + json.dumps(RESULT)) == RESULT
