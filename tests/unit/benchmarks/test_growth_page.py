"""What `make bench-growth` printed becomes tables, worked examples and a chart of a page."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benchmarks.growth.page import BEGIN, END, chart, growth_table, merged, points, sizing_table, store_table, written
from benchmarks.pages import last_result


def point(per_s: int, worker_us: float) -> dict[str, Any]:
    """One of a curve."""
    return {
        "scored_per_s": per_s, "runs": [per_s], "cpu_us": {"worker": worker_us, "redis": 10.0, "broker": 5.0}, "worker_peak_mb": 500, "keys_read": 1.5,
    }  # fmt: skip


def full(terminal_keys: int) -> dict[str, Any]:
    """Windows full, of 10,000 cards."""
    return {
        "cards": 10_000,
        "payments": 600_000,
        "redis": {
            "card": {"keys": 10_000, "bytes_a_key": 1_000},
            "terminal": {"keys": terminal_keys, "bytes_a_key": 500},
            "device": {"keys": 10_000, "bytes_a_key": 300},
        },
        "kafka_bytes_a_payment": {"transactions": 250.0, "alerts": 10.0, "scores": 400.0},
    }


RESULT: dict[str, Any] = {
    "middle": {"cards": 100_000, "partitions": 4, "profile": "velocity", "trees": 100, **point(20_000, 40.0)},
    "cards": {"10000": point(22_000, 38.0), "5000000": point(10_000, 80.0)},
    "partitions": {"1": point(21_000, 39.0), "32": point(15_000, 60.0)},
    "workers": {"1": point(20_000, 40.0), "2": point(21_000, 45.0)},
    "features": {"passthrough": point(40_000, 20.0)},
    "trees": {"400": point(12_000, 70.0)},
    "published": {"every payment alerted": point(3_000, 300.0)},
    "full": {"4": full(4_000), "32": full(20_000)},
}


def test_the_middle_stands_in_its_place_in_each_curve_that_changes_it() -> None:
    """By number where they are numbers, by cost else; workers were measured in another way, with themselves alone."""
    assert [name for name, _ in points(RESULT, "cards")] == ["10,000", "100,000", "5,000,000"]
    assert [name for name, _ in points(RESULT, "features")] == ["passthrough", "velocity"]
    assert [name for name, _ in points(RESULT, "workers")] == ["1", "2"]
    assert "| **partitions** | 1 | 21,000 | 39, 10, 5 | 1.5 | 500 MB |" in growth_table(RESULT).splitlines()


def test_what_an_entity_takes_counts_all_its_keys() -> None:
    """A terminal has a part in each partition in which one of its cards paid: 20 keys of 500 bytes."""
    assert "10,000 (20.0)" in store_table(RESULT)
    assert "1,000 (1.0)" in store_table(RESULT)


def test_worked_examples_follow_from_the_curves() -> None:
    """Half of what a worker can with the most cards, so many partitions (1.5 times as dear) and others beside it (1.125 times); state of the most
    partitions; a day is a third of the peak.
    """
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ")[1:] for row in sizing_table(RESULT).splitlines()}
    assert rows["workers"] == ["1", "17 |"]
    assert rows["partitions"] == ["4", "64 |"]
    assert rows["cores: workers, Redis, brokers"][0] == "0.5, 0.1, 0.0"
    assert rows["cores: workers, Redis, brokers"][1] == "13.5, 1.0, 0.5 |"  # 50,000/s x 80 us x 1.5 x 1.125, twice
    assert rows["Redis: keys and values; memory to give it"][0] == "12 GB; 23 GB"  # 5 M x (1,000 + 300 + 10,000 / 10)
    assert rows["Kafka a day: transactions, alerts, scores; one copy"][0] == "21.6, 0.9, 34.6 GB"  # 1,000/s x 86,400 x 250 bytes


def test_a_chart_has_a_panel_for_each_curve() -> None:
    """It is SVG with text in it, and the same for the same result."""
    texts = re.findall(r">\s*([^<>]+?)\s*</text>", drawn := chart(RESULT))
    assert all(name in texts for name in ("cards", "trees of the forest", "5,000,000", "every payment alerted", "Redis", "315"))
    assert chart(RESULT) == drawn


def test_a_curve_that_failed_is_taken_from_a_later_run_of_it_alone() -> None:
    """An hour of measurements is not repeated for one step of them; without it there is no page."""
    first = json.dumps({**RESULT, "trees": {}, "failed": {"trees: 400": "it ended"}})
    alone = json.dumps({"middle": {**RESULT["middle"], "scored_per_s": 1}, "trees": RESULT["trees"]})
    assert merged([first, alone]) == RESULT
    with pytest.raises(ValueError, match="did not measure trees: 400"):
        merged([first])
    with pytest.raises(ValueError, match="did not measure cards, features, full, partitions, published, workers:"):
        merged([alone])


def test_only_what_is_between_the_marks_is_written_anew() -> None:
    """Twice the same; a run that failed makes no figures."""
    page = written(f"before\n{BEGIN}\nSTALE\n{END}\nafter\n", RESULT)
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "STALE" not in page
    assert written(page, RESULT) == page
    with pytest.raises(ValueError, match="Did the run fail"):
        last_result('{"middle": {}}', {"middle", "full"}, "make bench-growth")
