"""The collector of cycles in a process that serves."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from stream_app.operating.garbage import spare_the_collector


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The collector of this process stays what it was."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class _Node:
    """Part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


def test_what_a_process_started_with_is_not_looked_at_again() -> None:
    """All that is there is taken out of every generation."""
    spare_the_collector()
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < 1_000


def test_a_cycle_that_comes_later_is_found_still() -> None:
    """So memory is bounded by the threshold, which many objects reach."""
    spare_the_collector()
    gone = weakref.ref(_Node())
    many: list[list[int]] = [[] for _ in range(200_000)]
    assert gone() is None, f"{len(many)} objects later"
