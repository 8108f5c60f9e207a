"""Positions of a partition, by the records that lie below them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.scoring.positions import Cursor, Position

POSITIONS = st.builds(Position, st.integers(0, 4), st.integers(0, 4))


def below(position: Position) -> set[tuple[str, int]]:
    """The oracle: all records that are counted there."""
    return {("transactions", n) for n in range(position.transactions)} | {("labels", n) for n in range(position.labels)}


@given(POSITIONS, POSITIONS)
def test_a_position_has_passed_another_where_it_counts_all_of_its_records(one: Position, other: Position) -> None:
    """Of two, each may be ahead in a topic: then neither has."""
    assert one.has_passed(other) is (below(other) <= below(one))


@given(POSITIONS, POSITIONS)
def test_the_later_of_two_counts_the_records_of_both_and_no_others(one: Position, other: Position) -> None:
    """Topic by topic."""
    assert below(one.or_later(other)) == below(one) | below(other)


@given(POSITIONS, POSITIONS, st.booleans())
def test_state_is_rebuilding_until_all_is_counted_that_was_decided(at: Position, decided: Position, begun: bool) -> None:  # noqa: FBT001
    """And before it is begun."""
    cursor = Cursor("me", at.transactions, at.labels, decided=decided, begun=begun)
    assert cursor.position == at
    assert cursor.rebuilding is not (begun and below(decided) <= below(at))
