"""What a town of workers decided is computed again from its topics, whatever the order of their steps."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.adapters.redis.store import RedisStore
from stream_app.delivery.ports import FeatureStore
from stream_app.features.aggregations import HOPS_S, HOUR_S
from tests.examples import examples
from tests.memory_store import MemoryStore
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
    lambda day, at, card, terminal, amount, more: payment("?", START + day * DAY + at, f"c{card}", f"t{terminal}", amount=amount, **more),
    st.sampled_from([0, 0, 0, 7, 8, 38, 45]),
    st.integers(0, 2 * HOUR),
    st.integers(0, 4),
    st.integers(0, 1),
    st.sampled_from([0.0, 9.99, 20.0, 150_000.0]),
    st.sampled_from([{}, {}, {}, {"approved": False}, {"type": "refund"}, {"currency": "SEK"}]),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["read", "read", "round", "round", "decide", "decide", "write", "write", "die", "take"]),
        st.integers(0, 4),
        st.integers(0, 3),
    ),
    max_size=25,
)


async def lived(
    payments: list[dict[str, Any]], labels: list[dict[str, Any]], steps: list[tuple[int, str, int, int]], store: FeatureStore | None = None
) -> Town:
    """A town of three partitions after these steps, and everything decided."""
    town = Town(3, store is not None, store=store or MemoryStore())
    town.send(payments, labels)
    for partition in range(3):
        await town.take(partition)
    for step in steps:
        await town.step(*step)
    await town.drain()
    await town.store.close()
    return town


LABELS = st.lists(st.tuples(st.integers(0, 24), st.sampled_from([0, HOUR, 7 * DAY, 8 * DAY]), st.booleans()), max_size=8)
STREAM = {
    "payments": st.lists(PAYMENTS, max_size=25),
    "labels": LABELS,
    "repeated": st.sets(st.integers(0, 24), max_size=4),
    "steps": STEPS,
}


def check(
    payments: list[dict[str, Any]],
    labels: list[tuple[int, int, bool]],
    repeated: set[int],
    steps: list[tuple[int, str, int, int]],
    store: FeatureStore | None = None,
) -> None:
    """Late, equal in time, repeated, without a rate, declined; labels early and late; reads long before decisions; deaths at any step."""
    sent = [p | {"transaction_id": f"T{n // 2 if n in repeated else n}"} for n, p in enumerate(payments)]
    given = [label(sent[n], after, fraud=fraud) for n, after, fraud in labels if n < len(sent)]
    town = asyncio.run(lived(sent, given, steps, store))
    report = town.verified()
    assert report.differences == report.score_differences == report.event_order.unexplained == 0
    assert set(report.apart) <= {"score of an earlier vector", "order not recorded"}
    assert report.vectors == len(town.decisions()) - report.apart["order not recorded"]
    assert report.vectors == report.scores + report.apart["score of an earlier vector"]


@examples(60)
@given(**STREAM)
def test_every_decision_is_computed_again_to_the_bit(**stream: Any) -> None:
    """Over the plain store, which shows every reader what is written."""
    check(**stream)


@pytest.mark.servers
@settings(examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**STREAM)
def test_every_decision_over_a_real_redis_is_too(stack: Any, **stream: Any) -> None:
    """One worker remembers what its partitions counted and did not write yet: that is what their decisions had seen."""
    check(**stream, store=RedisStore(stack.redis, f"test-{uuid4().hex}"))


def town(steps: list[tuple[int, str, int, int]], store: FeatureStore | None = None) -> Town:
    """Two cards in two partitions at one terminal, within an hour, in order of time."""
    payments = [payment(f"T{n}", START + n * 60_000, f"c{n % 2}") for n in range(8)]
    return asyncio.run(lived(payments, [label(payments[0], 0)], steps, store))


ONE_AFTER_THE_OTHER = [(n % 2, step, 1, 1) for n in range(8) for step in ("read", "decide", "write")]


def test_in_order_of_time_nothing_differs_from_it() -> None:
    """Payment by payment."""
    report = town(ONE_AFTER_THE_OTHER).verified()
    assert (report.vectors, report.differences, report.unserved) == (8, 0, 0)
    assert report.event_order.differing == {"card": 0, "label": 0, "shared_delayed": 0, "shared": 0}


def test_what_the_order_between_partitions_changes_is_counted_apart() -> None:
    """Partition 0 decides its four payments before partition 1 has any: the terminal's counts miss up to three payments."""
    report = town([(0, "read", 9, 9), (0, "decide", 0, 0), (0, "write", 0, 0)]).verified()
    assert (report.vectors, report.differences) == (8, 0)
    compared = report.event_order
    assert compared.differing == {"card": 0, "label": 0, "shared_delayed": 0, "shared": 6}
    assert compared.largest == {f"terminal_count_{window}": (6, 3.0) for window in ("1h", "1d", "7d", "30d")}
    assert (compared.unexplained, compared.displaced_ms) == (0, 5 * 60_000)


def test_a_decision_that_was_read_long_before_it_was_made_is_computed_from_what_was_read() -> None:
    """Partition 0 reads, partition 1 decides twice at the same terminal, then partition 0 decides: it had seen neither."""
    slow = [(0, "read", 1, 0), *[(1, step, 1, 0) for step in 2 * ("read", "decide", "write")], (0, "decide", 0, 0)]
    report = town(slow).verified()
    assert (report.vectors, report.differences) == (8, 0)


@pytest.mark.servers
def test_what_a_worker_counted_and_did_not_write_yet_is_seen_by_its_other_partitions(stack: Any) -> None:
    """Partition 0 has decided, partition 1 decides at the same terminal, then both are written."""
    steps = [(p, what, 1, 0) for p in (0, 1) for what in ("read", "decide")] + [(p, "write", 0, 0) for p in (0, 1)]
    lived_so = town(steps, RedisStore(stack.redis, f"test-{uuid4().hex}"))
    (second,) = [d for d in lived_so.decisions() if d.transaction_id == "T1"]
    assert second.provenance is not None
    assert second.provenance.seen == ((1, 0), (0, 0), (0, 0))
    assert second.vector[second.features.index("terminal_count_1h")] == 2
    assert lived_so.verified().differences == 0


def test_a_label_counts_from_its_place_within_a_micro_batch_on() -> None:
    """Two payments and, between them in time, the label that makes the terminal risky: one batch.

    hours after the fraud   0        168+2      168+3      168+4
                            fraud    risk 0     label      risk 1
    """
    fraud = payment("T0", START)
    later = [payment(f"T{h}", START + 7 * DAY + h * HOUR) for h in (2, 4)]
    town = asyncio.run(
        lived([fraud, *later], [label(fraud, 7 * DAY + 3 * HOUR)], [(0, "read", 9, 9), (0, "decide", 0, 0), (0, "write", 0, 0)])
    )
    risk = [d.vector[d.features.index("terminal_risk_1d_delay_7d")] for d in town.decisions()]
    report = town.verified()
    assert risk == [0.0, 0.0, 1.0]
    assert (report.vectors, report.differences, report.labels, report.event_order.differing["label"]) == (3, 0, 1, 0)


def test_a_changed_hop_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hour's window in tiles of an hour, not of five minutes: what was served is not what is computed now."""
    lived_so = town(ONE_AFTER_THE_OTHER)
    extra = [payment(f"L{n}", START + n * 10 * 60_000, "c0") for n in range(8)]
    lived_so.send(extra)
    asyncio.run(lived_so.drain())
    assert lived_so.verified().differences == 0
    monkeypatch.setitem(HOPS_S, HOUR_S, HOUR_S)
    report = lived_so.verified()
    assert report.differences > 0
    assert report.first is not None
    assert report.first.feature.name == "card_count_1h"
    assert not report.equal
