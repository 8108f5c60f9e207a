"""A label acts from `labelled_at` on, never before, however late the log is read; repeated and corrected labels add nothing or take back."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.features.aggregations import DAY_S, DELAY_S
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature
from stream_app.messages import transaction
from stream_app.messages.transaction import Label
from tests.topics import MemoryTopics
from tests.unit.delivery import world as delivery
from tests.unit.delivery.world import Fussy, World, payment
from tests.unit.features.test_kernel import FRAUD, GENUINE, PAYMENT, BruteForce, Event
from tests.unit.scoring.test_scorer import NOW, FakeClock

DAY, HOUR = 86_400_000, 3_600_000
RISK = Feature("risk", "terminal", DAY_S, DELAY_S)


class RiskModel(Fussy):
    """The fake model, that asks for a terminal's risk too."""

    metadata = msgspec.structs.replace(Fussy.metadata, features=(*Fussy.metadata.features, (RISK.name, RISK.hash)))

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`."""
        return np.hstack([super().contributions(vectors[:, :3]), np.zeros((len(vectors), 1))])


@pytest.fixture(autouse=True)
def _risk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions carry the terminal's risk."""
    monkeypatch.setattr(delivery, "Fussy", RiskModel)


def label(of: str, labelled_day: float, *, fraud: bool = True, at_day: float = 0) -> dict[str, Any]:
    """A label of a payment."""
    base = {k: v for k, v in payment(of, 20.0, int(at_day * DAY)).items() if k != "currency"}
    return {**base, "is_fraud": fraud, "labelled_at": payment("", at=int(labelled_day * DAY))["event_time"]}


def risks(world: World) -> list[float]:
    """The terminal's risk at each decision, in the log's order."""
    values = [msgspec.json.decode(r.value or b"") for r in world.topics.logs["scores", 0]]
    return [v["features"][RISK.name] for v in values]


PAYMENTS = [payment("T0", 20.0), payment("T1", 20.0, int(7.5 * DAY))]


@pytest.mark.parametrize(
    ("labels", "risk"),
    [
        ([], 0.0),
        ([label("T0", 1)], 1.0),
        ([label("T0", 7.4)], 1.0),
        ([label("T0", 7.6)], 0.0),
        ([label("T0", 90)], 0.0),
        ([label("T0", 1), label("T0", 1), label("T0", 2)], 1.0),
        ([label("T0", 1), label("T0", 2, fraud=False)], 0.0),
        ([label("T0", 2, fraud=False), label("T0", 1)], 0.0),
        ([label("T0", 1, fraud=False), label("T0", 3)], 1.0),
        ([label("T0", 1), label("T0", 8, fraud=False)], 1.0),
        ([label("unknown", 1, at_day=-20)], 0.0),
    ],
    ids=[
        "none", "before", "just before", "just after", "90 days later", "repeated", "taken back", "taken back, out of order", "corrected",
        "taken back after the decision", "of an unknown transaction",
    ],
)  # fmt: skip
def test_a_log_that_is_read_late_gives_each_decision_the_labels_of_its_time(labels: list[dict[str, Any]], risk: float) -> None:
    """Rule 1 of `partition`: payments and labels wait in the topics when the worker starts; lost state is rebuilt to the same values without a word."""
    world = World()
    world.send(PAYMENTS, labels)
    assert world.run() == "done"
    assert risks(world) == [0.0, risk]
    state = world.state()
    world.commit()
    world.lose_all()
    assert world.run() == "done"
    assert risks(world) == [0.0, risk]
    assert world.state() == state


def test_a_label_that_arrives_before_its_transaction_counts_from_it_on() -> None:
    """An analyst was faster than the topic."""
    world = World()
    world.send([], [label("T0", 0.1)])
    world.run()
    world.send(PAYMENTS)
    assert world.run() == "done"
    assert risks(world) == [0.0, 1.0]


HOURS = st.integers(0, 100 * 24)
LABELS = st.lists(st.tuples(st.integers(0, 11), st.integers(24, 90 * 24), st.booleans()), max_size=12)
"""Which payment, how many hours after it, and what: some repeated, some corrected, in any order."""


def test_a_label_that_brings_a_fault_of_the_decoder_to_light_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits for the payments of its time, too: it goes to the dead letters, its neighbours count."""
    made = vars(transaction)["in_time_and_listed"]

    def faulty(kind: Any, *how: Any) -> Any:
        is_plain = made(kind, *how)

        def look(message: Any, latest_ms: int) -> bool:
            if kind is Label and message.transaction_id == "T0":
                raise ZeroDivisionError("ours")
            plain: bool = is_plain(message, latest_ms)
            return plain

        return look

    monkeypatch.setattr(transaction, "in_time_and_listed", faulty)
    world = World(at_once=1)
    world.send(PAYMENTS, [label("T0", 7.4), label("T1", 7.6, at_day=7.5)])
    assert world.run() == "done"
    assert len(world.published("scores")) == 2
    (letter,) = world.topics.logs["labels-dlq", 0]
    headers = dict(letter.headers)
    assert (headers["source.offset"], headers["error.code"]) == (b"0", b"scoring_failed")
    assert b"ZeroDivisionError: ours" in (headers["error.message"] or b"")


def by_brute_force(paid_at: list[int], given_: list[tuple[int, int, bool]]) -> list[float]:
    """The terminal's risk at each payment: the labels that stand before it in the topic's order and are not from after it have acted."""
    oracle, base = BruteForce(), payment("")["event_time"]
    acts = list(accumulate((labelled for _, labelled, _ in given_), max))
    waiting = [
        (act, Event(FRAUD if fraud else GENUINE, base + paid_at[of], of, labelled=base + labelled))
        for act, (of, labelled, fraud) in zip(acts, given_, strict=True)
    ]
    found = []
    for number, at in enumerate(paid_at):
        while waiting and waiting[0][0] <= at:
            oracle.take(waiting.pop(0)[1])
        features = oracle.take(Event(PAYMENT, base + at, number, 2000)).features
        assert features is not None
        found.append(features[RISK.name])
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(HOURS, min_size=2, max_size=12).map(sorted), LABELS)
def test_labels_that_come_1_to_90_days_later_act_at_their_time_and_not_before(
    hours: list[int], labels: list[tuple[int, int, bool]]
) -> None:
    """Repeated, corrected, out of order, of payments that were never made; state that is lost is rebuilt to the same."""
    paid_at = [hour * HOUR for hour in hours]
    known = [(of, paid_at[of] + delay * HOUR, fraud) for of, delay, fraud in labels if of < len(paid_at)]
    world = World(MemoryTopics(now_ms=NOW + 300 * DAY), clock=FakeClock(NOW + 300 * DAY))
    world.send(
        [payment(f"T{n}", 20.0, at) for n, at in enumerate(paid_at)],
        [label(f"T{of}", labelled / DAY, fraud=fraud, at_day=paid_at[of] / DAY) for of, labelled, fraud in known]
        + [label("unknown", delay / 24, fraud=fraud) for of, delay, fraud in labels if of >= len(paid_at)],
    )
    assert world.run() == "done"
    assert risks(world) == pytest.approx(by_brute_force(paid_at, known))
    state = world.state()
    world.commit()
    world.lose_all()
    assert world.run() == "done"
    assert world.state() == state
