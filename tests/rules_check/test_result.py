"""When the check is content."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.rules_check.run import LIVE_MS, Result

WELL = Result(decisions=1, p99_live_ms=LIVE_MS, rate_reached=True, controls_failed_as_they_should=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"decisions": 0},
        {"differences": 1},
        {"p99_live_ms": LIVE_MS + 1},
        {"p99_live_ms": -1},
        {"rate_reached": False},
        {"controls_failed_as_they_should": False},
        {"wrong": {"lost": 1}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_nothing_that_was_promised_may_be_missing(wrong: dict[str, Any]) -> None:
    """A time under less load than was asked for is none of that load."""
    assert WELL.well
    assert not replace(WELL, **wrong).well
