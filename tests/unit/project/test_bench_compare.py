"""Two runs of `make bench` side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.compare import main, of_bench

LATENCY = {"p50": 10.0, "p99": 40.0, "p99.9": 80.0}
FIGURES = {"limit_per_s": 200_000, "share_of_limit": 0.1, "worker_peak_mb": 400, "worker_cores_at_2000": 0.5}


def bench(file: Path, scored_per_s: int) -> str:
    """What a run printed, in a file; its name."""
    cards = {n: {"scored_per_s": rate, "cpu_us": {"worker": 40.0}} for n, rate in (("10000", 20_000), ("1000000", scored_per_s))}
    printed = {**FIGURES, "cards": cards, "latency_ms": {"500": LATENCY, "2000": LATENCY}}
    file.write_text("servers are up\n" + json.dumps(printed) + "\n")
    return str(file)


@pytest.mark.parametrize(("after", "code"), [(22_000, 0), (15_001, 0), (14_999, 1)])
def test_runs_are_shown_side_by_side_and_a_quarter_less_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after: int, code: int
) -> None:
    """Ratios, so that the machine does not matter."""
    assert main(bench(tmp_path / "before", 20_000), bench(tmp_path / "after", after)) == code
    rows = capsys.readouterr().out.splitlines()
    assert f"| scored/s at 1,000,000 cards | 20000 | {after} | {after / 20_000:.2f} |" in rows
    assert "| latency at 2,000/s, p99, ms | 40 | 40 | 1.00 |" in rows


@pytest.mark.parametrize("text", ["", "Traceback", "[]", json.dumps(FIGURES)])
def test_a_run_that_failed_is_not_compared(text: str) -> None:
    """Its last line is something else, or lacks figures."""
    with pytest.raises(ValueError, match="Did the run fail"):
        of_bench(text)
