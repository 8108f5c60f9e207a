"""What `fraudstream verify` tells: the last line, and the first difference with its history."""

from __future__ import annotations

import asyncio

import pytest

from stream_app.audit.story import MOST_EVENTS, story
from stream_app.commands.evidence import Evidence
from stream_app.commands.times import moment_ms
from stream_app.commands.verify import summary
from stream_app.features.aggregations import HOPS_S, HOUR_S
from tests.parity.test_recorded_order import DAY, START, label, lived, payment


def test_the_first_difference_is_told_with_the_events_that_lead_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of its own card alone, as far as it had seen them; the payment itself last."""
    sent = [
        payment("A", START - 8 * DAY),
        *(payment(f"T{n}", START + n * 600_000, terminal=f"t{n}") for n in range(8)),
        payment("X", START, "c1"),
    ]
    sent.insert(3, payment("R", START + 60_000, type="refund"))
    town = asyncio.run(lived(sent, [label(sent[0], DAY)], [(0, "read", 99, 99), (0, "decide", 0, 0), (0, "write", 0, 0)]))
    monkeypatch.setitem(HOPS_S, HOUR_S, HOUR_S)
    report = town.verified()
    assert report.first is not None
    head, feature, *events = story(report.first, town.histories())
    assert head.startswith("First difference: transaction T6 of card c0, partition 0, offset 8, sequence ")
    assert feature == "Feature card_count_1h: served 6.0, offline 1.0. card c0 before:"
    assert [line.split("  ")[2:4] for line in events] == [
        ["payment 2000 minor units", "A"],
        ["label: fraud", "A"],
        ["payment 2000 minor units", "T0"],
        ["credit 2000 minor units", "R"],
        *[["payment 2000 minor units", f"T{n}"] for n in range(1, 7)],
    ]
    assert events[-1].endswith("partition 0, offset 8")


def test_a_long_history_is_cut_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many payments of a day before."""
    sent = [payment(f"T{n}", START + n * 60_000) for n in range(90)]
    town = asyncio.run(lived(sent, [], []))
    monkeypatch.setitem(HOPS_S, HOUR_S, HOUR_S)
    report = town.verified()
    assert report.first is not None
    lines = story(report.first, town.histories())
    place = report.first.batch.places[report.first.place]
    assert len(lines) == 3 + MOST_EVENTS
    assert lines[2] == f"  … {place + 1 - MOST_EVENTS} earlier"


def test_the_last_line_counts_what_was_compared_and_what_was_not() -> None:
    """Foreign records of the topic are among what stands apart."""
    town = asyncio.run(lived([payment("T0", START)], [], []))
    evidence = Evidence(town.decisions(), 2, town.histories(), 0)
    found = summary(town.verified(), evidence)
    assert (found["vectors"], found["differences"], found["scores"], found["score_differences"]) == (1, 0, 1, 0)
    assert (found["apart"], found["unserved"], found["partitions"]) == ({"no score of these topics": 2}, 0, 3)
    assert found["event_order"]["unexplained"] == 0


def test_times_of_options() -> None:
    """UTC unless they say otherwise."""
    assert moment_ms("2026-11-20T12:00:00", "--since") == 1_795_176_000_000
