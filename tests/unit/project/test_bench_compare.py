"""Two runs of `make bench` side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.compare import main, of_bench

FIGURES = {"scored_per_s": 20_000, "without_state_per_s": 200_000, "share_of_it": 0.1, "worker_peak_mb": 400}
LATENCY = {"p50": 10.0, "p99": 40.0, "p99.9": 80.0}


def bench(file: Path, scored_per_s: int) -> str:
    """What a run printed, in a file; its name."""
    file.write_text("servers are up\n" + json.dumps({**FIGURES, "scored_per_s": scored_per_s, "latency_ms": LATENCY}) + "\n")
    return str(file)


@pytest.mark.parametrize(("after", "code"), [(22_000, 0), (15_001, 0), (14_999, 1)])
def test_runs_are_shown_side_by_side_and_a_quarter_less_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], after: int, code: int
) -> None:
    """Ratios, so that the machine does not matter."""
    assert main(bench(tmp_path / "before", 20_000), bench(tmp_path / "after", after)) == code
    rows = capsys.readouterr().out.splitlines()
    assert f"| scored/s | 20000 | {after} | {after / 20_000:.2f} |" in rows
    assert "| latency p99, ms | 40.0 | 40.0 | 1.00 |" in rows


@pytest.mark.parametrize("text", ["", "Traceback", "[]", json.dumps(FIGURES)])
def test_a_run_that_failed_is_not_compared(text: str) -> None:
    """Its last line is something else, or lacks figures."""
    with pytest.raises(ValueError, match="Did the run fail"):
        of_bench(text)
