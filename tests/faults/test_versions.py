"""A version out of the history is skipped with a reason where the history is not there, as in a shallow clone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import faults, versions
from tests.faults.run import A_ROUND, plan, rounds

UNKNOWN = "0123456789abcdef0123456789abcdef01234567"


def test_a_commit_that_is_not_there_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    """Nobody plays on without it."""
    assert versions.why_not(UNKNOWN) == f"this checkout's history has no commit {UNKNOWN}: `git fetch --unshallow`"
    with pytest.raises(RuntimeError, match=UNKNOWN):
        versions.place_earlier(UNKNOWN, tmp_path)


def test_faults_that_need_it_are_left_out_of_the_plan_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are made as often as was asked for."""
    monkeypatch.setattr(versions, "why_not", lambda commit: f"no {commit}")
    assert faults.skipped() == {
        "rolling_from_history": f"no {versions.OTHER_FORMATS}",
        "rolling_earlier_beside_later": f"no {versions.LEAVES_ALONE}",
    }
    monkeypatch.delenv("FAULTS_ONLY", raising=False)
    assert set(plan(1000, 1)) == set(faults.FAULTS) - set(faults.skipped())
    monkeypatch.setenv("FAULTS_ONLY", "rolling_from_history")
    assert plan(3, 1) == []


def test_a_version_that_takes_later_state_for_damage_finds_none_in_its_round() -> None:
    """It begins a round where a later version was in this one; no fault is left out, and no round is longer than others."""
    order = [
        "rolling_from_history",
        "rolling_upgrade",
        "kafka_killed",
        "rolling_from_history",
        *["kafka_killed"] * A_ROUND,
        "rolling_from_history",
    ]
    assert list(rounds(order)) == [order[:3], order[3 : 3 + A_ROUND], order[3 + A_ROUND :]]
