"""What `make bench-rules` holds its figures to."""

from __future__ import annotations

from benchmarks.rules import missed

MOST = {
    "list_mb": 100.0,
    "kafka_start": {"start_s": 10.0},
    "worker": {"200": {"throughput_share": 0.9, "p99_added_ms": 2.0}, "1000": {"throughput_share": 0.1, "p99_added_ms": 9.0}},
}


def test_a_figure_that_is_more_than_it_may_be_is_named() -> None:
    """Of the worker with 200 rules alone; what was not measured is not asked."""
    assert missed(MOST) == []
    assert missed({"list_mb": 100.1}) == ["list_mb"]
    worse = {"list_mb": 1.0, "kafka_start": {"start_s": 10.1}, "worker": {"200": {"throughput_share": 0.89, "p99_added_ms": 2.1}}}
    assert missed(worse) == ["start_s", "throughput_share", "p99_added_ms"]
