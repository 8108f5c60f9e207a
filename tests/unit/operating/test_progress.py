"""What a worker says of its work: one line a minute at most, and nothing where there is nothing to say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loguru import logger

from stream_app.adapters.metrics.worker_metrics import WorkerMetrics
from stream_app.operating.progress import Progress, Totals


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The lines that are logged."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line).strip()), format="{level} {message}", level="INFO")
    yield lines
    logger.remove(sink)


class Work:
    """A worker as progress sees it."""

    totals = Totals(0, 0, 0, 0, partitions=4)
    behind = 0
    away: str | None = None
    now_s = 0.0

    def progress(self) -> Progress:
        """A progress over it."""
        return Progress(lambda: self.totals, lambda: self.behind, lambda: self.away, lambda: self.now_s)


def test_a_minute_of_work_is_one_line_and_a_minute_without_is_none(told: list[str]) -> None:
    """Differences to the minute before, not totals."""
    work = Work()
    progress = work.progress()
    work.totals, work.now_s = Totals(6000, 20, 3, 2, 4), 60.0
    progress.look()
    work.totals, work.now_s, work.behind = Totals(18_000, 21, 3, 2, 4), 120.0, 1500
    progress.look()
    work.now_s, work.behind = 180.0, 0
    progress.look()
    assert told == [
        "INFO In 60 s: 6,000 payments scored (100/s), 20 alerts, 3 labels, 2 dead letters; 0 records wait",
        "INFO In 60 s: 12,000 payments scored (200/s), 1 alerts, 0 labels, 0 dead letters; 1,500 records wait",
    ]


def test_records_that_wait_while_nothing_is_scored_are_told(told: list[str]) -> None:
    """A worker that stands still is not silent."""
    work = Work()
    progress = work.progress()
    work.now_s, work.behind = 60.0, 5
    progress.look()
    assert told == ["INFO In 60 s: 0 payments scored (0/s), 0 alerts, 0 labels, 0 dead letters; 5 records wait"]


def test_a_worker_that_holds_no_partition_for_long_says_so_once(told: list[str]) -> None:
    """Not at the first look, when the group may still be dividing the partitions; and anew after it held some."""
    work = Work()
    progress = work.progress()
    for held, lines in ((0, 0), (0, 1), (0, 1), (4, 1), (0, 1), (0, 2)):
        work.totals = Totals(0, 0, 0, 0, held)
        progress.look()
        assert len(told) == lines
    assert all("holds no partition" in line for line in told)


def test_while_a_server_is_away_only_the_watch_speaks(told: list[str]) -> None:
    """Without Kafka no partition is held: that is not news of its own."""
    work = Work()
    progress = work.progress()
    work.totals, work.away, work.behind = Totals(0, 0, 0, 0, 0), "Kafka does not answer", 7
    for _ in range(3):
        progress.look()
    assert told == []


def test_the_totals_are_those_of_the_metrics() -> None:
    """Dead letters over all codes; partitions as they are held now."""
    metrics = WorkerMetrics()
    metrics.counted("scored", 5)
    metrics.counted("alerts", 2)
    metrics.counted("labels", 3)
    for code in ("empty", "empty", "future"):
        metrics.refused(code)
    metrics.partitions_owned(4)
    assert metrics.totals() == Totals(scored=5, alerts=2, labels=3, refused=3, partitions=4)
