"""A long benchmark loses nothing of what it has measured."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial

import pytest

from benchmarks.kept import Kept, Step
from benchmarks.pages import last_result


def nothing_is_gone() -> str | None:
    """All servers run."""
    return None


def fails() -> dict[str, int]:
    """A step that cannot measure."""
    raise TimeoutError("the last payment did not come")


def test_a_step_that_fails_is_told_and_the_others_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code says so too, and no page is made of it."""
    kept = Kept("bench-growth", nothing_is_gone)
    result, code = kept.ended({"cards": kept.of([("1", lambda: 10), ("2", fails), ("3", lambda: 30)], "cards")})
    assert result == {"cards": {"1": 10, "3": 30}, "failed": {"cards: 2": "TimeoutError: the last payment did not come"}}
    assert code == 1
    assert "bench-growth: not measured: cards: 2 (TimeoutError: the last payment did not come)" in capsys.readouterr().err
    with pytest.raises(ValueError, match="did not measure cards: 2"):
        last_result(json.dumps(result), {"cards"}, "make bench-growth")


def test_where_all_was_measured_nothing_is_said_of_failures() -> None:
    """And the exit code is that of success."""
    kept = Kept("bench-growth", nothing_is_gone)
    assert kept.ended({"cards": kept.of([("1", lambda: 10)], "cards")}) == ({"cards": {"1": 10}}, 0)


def test_without_its_servers_no_further_step_is_tried() -> None:
    """Each would wait to its deadline, half an hour, for payments that nobody scores."""
    tried = list[str]()
    gone: list[str | None] = [None, "kafka", "kafka"]

    def steps() -> Iterator[Step]:
        for name in ("1", "2", "3"):
            yield name, partial(tried.append, name)

    kept = Kept("bench-growth", lambda: gone[len(tried) + len(kept.failed)])
    kept.of(steps(), "cards")
    assert tried == ["1"]
    assert set(kept.failed) == {"cards: 2", "cards: 3"}
    assert "kafka is not running any more" in kept.failed["cards: 2"]
