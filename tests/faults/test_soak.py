"""What `make soak` calls flat: a leak is found, a peak and what fills at the begin are none; and the chart is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faults.faults import FAULTS
from tests.faults.soak import ENDING_NOBODY, Samples, draw, plan, slope


def test_a_leak_is_seen_through_noise() -> None:
    """A megabyte a minute, with noise of ten."""
    noise = np.random.default_rng(1).normal(0, 10, 1000)
    at = np.arange(1000) * 2.0
    assert slope(at, at / 60 + noise) * 60 == pytest.approx(1, abs=0.2)


def test_what_fills_at_the_begin_and_a_peak_later_are_no_leak() -> None:
    """The first half rises, a tenth of the second is a rebuild's peak."""
    values = [min(n, 400.0) for n in range(1000)]
    values[700:750] = [900.0] * 50
    samples = Samples(at_s=[2.0 * n for n in range(1000)], memory_mb=values)
    assert samples.rise(samples.memory_mb) == 0


def test_every_minute_has_a_fault_of_the_suite() -> None:
    """An hour has each of those that end no worker twice at least."""
    order = plan(60, seed=1)
    assert len(order) == 60
    assert set(order) == set(ENDING_NOBODY) <= set(FAULTS)


def test_the_chart_is_drawn(tmp_path: Path) -> None:
    """Without a screen."""
    two = [1.0, 2.0]
    draw(Samples(two, two, two, two, [(1.0, "redis_full")]), tmp_path / "build" / "soak.svg")
    assert "</svg>" in (tmp_path / "build" / "soak.svg").read_text()
