"""Another number of partitions: every decision and every sum is as if the number had never changed."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.delivery import repartition
from stream_app.delivery.ports import OpenTransaction
from stream_app.delivery.takeover import UNFINISHED
from stream_app.errors import TopologyError
from stream_app.messages.alert import alert_id_of
from tests.examples import examples
from tests.unit.delivery.bank import Bank
from tests.unit.delivery.world import Killed, payment
from tests.unit.scoring.test_scorer import NOW

HOUR = 3_600_000
CARDS = [f"c{n}" for n in range(6)]
TERMINALS = ["t0", "t1"]


def payments(kinds: list[tuple[int, int, int]], first: int) -> list[dict[str, Any]]:
    """Payments of (card, terminal, hours back from an hour's step each)."""
    return [
        payment(f"T{first + n}", 20.0 + n, (200 + first + n - back) * HOUR, card_id=CARDS[card], terminal_id=TERMINALS[terminal])
        for n, (card, terminal, back) in enumerate(kinds)
    ]


def labels(of: list[dict[str, Any]], chosen: list[int]) -> list[dict[str, Any]]:
    """Frauds among them, known an hour later."""
    plain = [{k: v for k, v in of[n % len(of)].items() if k != "currency"} for n in chosen] if of else []
    return [p | {"is_fraud": True, "labelled_at": p["event_time"] + HOUR} for p in plain]


KINDS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=14)
CHOSEN = st.lists(st.integers(0, 13), max_size=5)


@examples(25)
@given(
    st.tuples(KINDS, CHOSEN),
    st.tuples(KINDS, CHOSEN),
    st.integers(0, 8),
    st.sampled_from([(1, 2), (2, 3), (2, 4)]),
    st.none() | st.integers(0, 12),
)
def test_nothing_is_lost_doubled_or_counted_otherwise_than_without_the_change(
    before: tuple[list[tuple[int, int, int]], list[int]],
    after: tuple[list[tuple[int, int, int]], list[int]],
    decided: int,
    counts: tuple[int, int],
    kill_after: int | None,
) -> None:
    """Some records of the old partitions are not decided when partitions are added; the command may be killed once, and run again.

    records of the old partitions   | decided … | strays and others … |
    records of all partitions                                          | not decided … |
    """
    bank, unchanged = Bank(counts[0]), Bank(counts[0])
    old = payments(before[0], 0)
    new = payments(after[0], len(old))
    known, later = labels(old, before[1]), labels(old + new, after[1])
    for each in (bank, unchanged):
        each.send("transactions", old)
        each.send("labels", known)
    bank.work("old", most=decided)
    bank.partitions = counts[1]
    for each in (bank, unchanged):
        each.send("transactions", new)
        each.send("labels", later)
    with contextlib.suppress(Killed):
        bank.repartition("old", "new", kill_after)
    there = [kept.cursor.partitions for kept in bank.stores["new"].kept.values() if kept.cursor]
    if UNFINISHED in there:
        with pytest.raises(TopologyError, match="has not finished"):
            bank.work("new")
    if set(there) != {bank.partitions}:
        bank.repartition("old", "new")
    bank.work("new")
    unchanged.work("old")
    assert bank.decisions() == unchanged.decisions()
    assert {c: bank.card("new", c) for c in CARDS} == {c: unchanged.card("old", c) for c in CARDS}
    for terminal in TERMINALS:
        assert np.array_equal(bank.terminal("new", terminal), unchanged.terminal("old", terminal))


def grown(threshold: float = 1.0) -> Bank:
    """Two partitions that were decided to the end, then four."""
    bank = Bank(2, threshold)
    bank.send("transactions", payments([(n % 6, 0, 0) for n in range(12)], 0))
    bank.work("old")
    bank.partitions = 4
    return bank


def test_a_worker_of_the_old_group_stops_and_names_the_command() -> None:
    """With exit code 76: cards are in other partitions than their state."""
    with pytest.raises(TopologyError, match="fraudstream repartition --to NEW_GROUP") as stopped:
        grown().work("old")
    assert stopped.value.exit_code == 76


def test_the_case_of_a_card_goes_on_where_its_payments_come_now() -> None:
    """An alert of the last day tells it; each next alert of the card carries the same case."""
    bank = grown(threshold=0.01)
    bank.repartition("old", "new")
    bank.send("transactions", payments([(n % 6, 0, 0) for n in range(6)], 12))
    bank.work("new")
    cases = [(name, case) for name, _, case in bank.decisions() if name in {f"T{n}" for n in range(12, 18)}]
    assert cases == [(f"T{12 + n}", alert_id_of(f"c{n}", f"T{n}")) for n in range(6)]


def test_labels_that_come_again_count_once_in_the_new_group() -> None:
    """More frauds of one card than its row remembers; the new group knows them by the notes that were made for it."""
    bank, paid = Bank(2), payments([(0, 0, 0)] * 40, 0)
    told = labels(paid, list(range(40)))
    bank.send("transactions", paid)
    bank.send("labels", told)
    bank.work("old")
    bank.partitions = 4
    bank.repartition("old", "new")
    before = bank.terminal("new", "t0")
    bank.send("labels", told)
    bank.work("new")
    assert np.array_equal(bank.terminal("new", "t0"), before)


def test_a_group_that_has_state_is_never_written_over() -> None:
    """Its workers may have decided with it."""
    bank = grown()
    bank.repartition("old", "new")
    with pytest.raises(TopologyError, match="Choose another name"):
        bank.repartition("old", "new")


def test_an_unfinished_group_is_no_source() -> None:
    """The one it was made from is."""
    bank = grown()
    with contextlib.suppress(Killed):
        bank.repartition("old", "new", 10)
    with pytest.raises(TopologyError, match="unfinished itself"):
        bank.repartition("new", "newer")


def behind_an_open_transaction() -> Bank:
    """One partition whose first record is in a transaction that is open; then there are two."""
    bank = Bank(1)
    bank.send("transactions", [payment("T0", 20.0, 200 * HOUR)])
    bank.work("old")
    bank.partitions = 2
    bank.topics.open["transactions", 0] = OpenTransaction(0, NOW)
    return bank


def test_a_transaction_that_stays_open_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind it cannot be read: it would be left out."""
    monkeypatch.setattr(repartition, "OPEN_FOR_S", 0.0)
    with pytest.raises(TopologyError, match=r"--partition 0 --start-offset 0\. Then run this once more"):
        behind_an_open_transaction().repartition("old", "new")


def test_a_transaction_that_ends_soon_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for one that began since, behind all that is read."""
    bank = behind_an_open_transaction()
    looks = iter([bank.topics.open, {("transactions", 0): OpenTransaction(1, NOW)}])

    async def open_transactions(*_: Any) -> Any:
        return next(looks)

    monkeypatch.setattr(bank.topics, "open_transactions", open_transactions)
    bank.repartition("old", "new")
    assert not list(looks)


def test_topics_that_were_made_anew_since_are_refused() -> None:
    """Their records are not those that the old group decided."""
    bank = grown()
    bank.topics.ids["transactions"] = "another"
    with pytest.raises(TopologyError, match="deleted and made again"):
        bank.repartition("old", "new")


def test_state_that_is_lost_after_the_change_is_degraded_until_no_window_reaches_back_to_it() -> None:
    """A partition is rebuilt from itself alone: it lacks what its cards paid in others. The command makes it whole again at any time."""
    bank = grown()
    bank.topics.now_ms += 2 * 24 * HOUR
    bank.clock.now = bank.topics.now_ms
    bank.send("transactions", payments([(n % 6, 0, 0) for n in range(6)], 12))
    bank.repartition("old", "new")
    bank.work("new")
    assert {bank.cursor("new", n).full_from_ms for n in range(4)} == {0}
    bank.stores.clear()
    bank.topics.commits = {("transactions", n): len(bank.topics.logs["transactions", n]) for n in range(4)}
    bank.work("new")
    assert min(bank.cursor("new", n).full_from_ms for n in range(4)) > bank.topics.now_ms + 37 * 24 * HOUR
    bank.repartition("new", "newer")
    bank.send("transactions", payments([(0, 0, 0)], 18))
    bank.work("newer")
    assert {bank.cursor("newer", n).full_from_ms for n in range(4)} == {0}
    assert {name: features for name, features, _ in bank.decisions()}["T18"]["card_count_1d"] == 4
