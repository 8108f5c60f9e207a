"""Metrics of several API processes behind one port: whichever is asked shows all, and a place is taken again when its process is gone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_app.api.processes import FRESH_S, SharedMetrics, merged


def page(requests: Sequence[float], held: float = 1) -> bytes:
    """Metrics of one process: so many requests, of these seconds."""
    registry = CollectorRegistry()
    counter, seconds = Counter("asked", "Requests", ["path"], registry=registry), Histogram("took", "Seconds", registry=registry)
    Gauge("held", "Held", registry=registry).set(held)
    for taken in requests:
        counter.labels('/v1/"score"\\').inc()
        seconds.observe(taken)
    return generate_latest(registry)


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples of a page, by name and labels."""
    families = text_string_to_metric_families(text.decode())
    found = [((s.name, tuple(sorted(s.labels.items()))), s.value) for f in families for s in f.samples if not s.name.endswith("_created")]
    assert len(dict(found)) == len(found), "a series stands twice"
    return dict(found)


@contextmanager
def shared(folder: Path, processes: int, own: bytes) -> Iterator[SharedMetrics]:
    """A process' metrics; it is gone in the end, as the kernel sees it."""
    one = SharedMetrics(folder, processes, lambda: own)
    try:
        yield one
    finally:
        with suppress(OSError):
            os.close(one._lock)


def written(one: SharedMetrics) -> None:
    """Written once."""

    async def once() -> None:
        task = asyncio.create_task(one.keep())
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(once())


@given(st.lists(st.lists(st.floats(0, 20), max_size=5), min_size=1, max_size=4))
def test_a_page_has_every_sample_of_every_process_once_under_its_number(of_each: list[list[float]]) -> None:
    """Nothing is added up, left out or said twice."""
    pages = {place: page(requests, held=place) for place, requests in enumerate(of_each)}
    expected = {
        (name, tuple(sorted((*labels, ("process", str(place)))))): value
        for place, text in pages.items()
        for (name, labels), value in samples(text).items()
    }
    found = merged(pages)
    assert samples(found) == expected
    assert found.count(b"# TYPE held gauge") == 1


def test_whoever_is_asked_shows_what_the_others_wrote_and_itself_as_it_is_now(tmp_path: Path) -> None:
    """Its own page need not be written for that."""
    with shared(tmp_path, 2, page([1])) as first, shared(tmp_path, 2, page([1, 2])) as second:
        written(second)
        found = samples(first.render())
        asked = {labels[1][1]: value for (name, labels), value in found.items() if name == "asked_total"}
        assert asked == {"0": 1, "1": 2}
        assert (first.place, second.place) == (0, 1)


def test_a_process_that_died_leaves_its_number_to_the_next_and_its_counters_end(tmp_path: Path) -> None:
    """As many series as processes, and no counter that stands still for ever."""
    with shared(tmp_path, 2, page([])), shared(tmp_path, 2, page([5])) as gone:
        written(gone)
    with shared(tmp_path, 2, page([])) as first:
        long_ago = time.time() - FRESH_S - 1
        os.utime(tmp_path / "1.metrics", (long_ago, long_ago))
        assert {dict(labels)["process"] for _, labels in samples(first.render())} == {"0"}
        with shared(tmp_path, 2, page([])) as again:
            assert again.place == 1


def test_more_processes_than_places_end_with_a_sentence(tmp_path: Path) -> None:
    """Nobody shows another's numbers as its own."""
    with shared(tmp_path, 1, page([])), pytest.raises(RuntimeError, match="all 1 places of API processes"):
        SharedMetrics(tmp_path, 1, lambda: b"")
