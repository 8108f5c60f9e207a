"""What a town of workers decided is computed again from its topics, whatever the order of their steps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.features import definitions
from stream_app.features.aggregations import HOUR_S
from tests.parity.town import NOW, Town

HOUR, DAY = 3_600_000, 86_400_000
START = NOW - 60 * DAY


def payment(name: str, at: int, card: str = "c0", terminal: str = "t0", **more: Any) -> dict[str, Any]:
    """A payment of 20.00."""
    base = {"transaction_id": name, "event_time": at, "card_id": card, "terminal_id": terminal, "amount": 20.0, "currency": "EUR"}
    return base | more


def label(of: dict[str, Any], after: int, *, fraud: bool = True) -> dict[str, Any]:
    """A label of a payment, so long after it."""
    base = {k: of[k] for k in ("transaction_id", "event_time", "card_id", "terminal_id", "amount")}
    return {**base, "is_fraud": fraud, "labelled_at": of["event_time"] + after}


PAYMENTS = st.builds(
    lambda at, card, terminal, amount, more: payment("?", START + at, f"c{card}", f"t{terminal}", amount=amount, **more),
    st.integers(0, 45) .map(lambda day: day * DAY) | st.integers(0, 3 * HOUR),
    st.integers(0, 4),
    st.integers(0, 1),
    st.sampled_from([0.0, 9.99, 20.0, 150_000.0]),
    st.sampled_from([{}, {}, {}, {"approved": False}, {"type": "refund"}, {"currency": "SEK"}]),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["read", "read", "finish", "finish", "die", "take"]), st.integers(0, 4), st.integers(0, 3)
    ),
    max_size=25,
)


async def lived(payments: list[dict[str, Any]], labels: list[dict[str, Any]], steps: list[tuple[int, str, int, int]]) -> Town:
    """A town of three partitions after these steps, and everything decided."""
    town = Town(3)
    town.send(payments, labels)
    for partition in range(3):
        await town.take(partition)
    for partition, step, some, more in steps:
        if step == "read" and partition not in town.open:
            await town.read(partition, some, more)
        elif step in {"finish", "die"} and partition in town.open:
            await town.finish(partition, dies_after=some if step == "die" else None)
        elif step == "take":
            await town.take(partition)
    await town.drain()
    return town


@given(
    payments=st.lists(PAYMENTS, max_size=25),
    labels=st.lists(st.tuples(st.integers(0, 24), st.sampled_from([0, HOUR, 7 * DAY, 8 * DAY]), st.booleans()), max_size=8),
    repeated=st.sets(st.integers(0, 24), max_size=4),
    steps=STEPS,
)
def test_every_decision_is_computed_again_to_the_bit(
    payments: list[dict[str, Any]],
    labels: list[tuple[int, int, bool]],
    repeated: set[int],
    steps: list[tuple[int, str, int, int]],
) -> None:
    """Late, equal in time, repeated, without a rate, declined; labels early and late; reads long before decisions; killed workers."""
    sent = [p | {"transaction_id": f"T{n // 2 if n in repeated else n}"} for n, p in enumerate(payments)]
    given = [label(sent[n], after, fraud=fraud) for n, after, fraud in labels if n < len(sent)]
    report = asyncio.run(lived(sent, given, steps)).verified()
    assert report.differences == report.score_differences == 0
    assert report.event_order.unexplained == 0
    assert set(report.apart) <= {"score of an earlier vector", "degraded"}
    assert report.vectors == report.scores + report.apart["score of an earlier vector"]


def town(steps: list[tuple[int, str, int, int]]) -> Town:
    """Two cards in two partitions at one terminal, within an hour, in order of time."""
    payments = [payment(f"T{n}", START + n * 60_000, f"c{n % 2}") for n in range(8)]
    return asyncio.run(lived(payments, [label(payments[0], 0)], steps))


ONE_AFTER_THE_OTHER = [(n % 2, step, 1, 1) for n in range(8) for step in ("read", "finish")]


def test_in_order_of_time_nothing_differs_from_it() -> None:
    """Payment by payment."""
    report = town(ONE_AFTER_THE_OTHER).verified()
    assert (report.vectors, report.differences, report.unserved) == (8, 0, 0)
    assert report.event_order.differing == {"card": 0, "label": 0, "shared_delayed": 0, "shared": 0}


def test_what_the_order_between_partitions_changes_is_counted_apart() -> None:
    """Partition 0 decides its four payments before partition 1 has any: the terminal's count of an hour misses up to three payments."""
    report = town([(0, "read", 9, 9), (0, "finish", 0, 0)]).verified()
    assert (report.vectors, report.differences) == (8, 0)
    compared = report.event_order
    assert compared.differing == {"card": 0, "label": 0, "shared_delayed": 0, "shared": 6}
    assert compared.largest == {"terminal_count_1h": (6, 3.0)}
    assert (compared.unexplained, compared.displaced_ms) == (0, 5 * 60_000)


def test_a_changed_hop_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hour's window in tiles of half an hour, not of five minutes: what was served is not what is computed now."""
    lived_so = town(ONE_AFTER_THE_OTHER)
    extra = [payment(f"L{n}", START + n * 10 * 60_000, "c0") for n in range(8)]
    lived_so.send(extra)
    asyncio.run(lived_so.drain())
    assert lived_so.verified().differences == 0
    monkeypatch.setitem(definitions.HOPS_S, HOUR_S, 1800)
    report = lived_so.verified()
    assert report.differences > 0
    assert report.first is not None
    assert report.first.feature.name == "card_count_1h"
    assert not report.equal
