"""Which hits of rules are noted: all at alerts, of the rest a bounded share, and none is left out in silence."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_app.rules.machine import Truths
from stream_app.scoring.outcomes import MOST_RULES_NOTED
from stream_app.scoring.rule_notes import NOTED_AT_ONCE, NOTED_SHARE, HitCodes, NotedHits
from tests.unit.rules.made import rule, rules


def noted_hits(*modes: str) -> NotedHits:
    """Of rules r0, r1, … in these modes."""
    return NotedHits(rules(*(rule("amount > 0", code=f"r{n}", mode=mode) for n, mode in enumerate(modes))))


def truths(*rows: str) -> Truths:
    """A row of hits for each rule: `x` hits."""
    return np.array([[sign == "x" for sign in row] for row in rows], dtype=np.bool_)


def test_hits_are_noted_by_payment_those_in_force_apart_from_those_in_shadow() -> None:
    """Of payments that nobody hit nothing is."""
    codes, left_out = noted_hits("live", "shadow").of(truths("x.x.", "xx.."), np.array([True, False, False, False]))
    assert codes == {0: HitCodes(("r0",), ("r1",)), 1: HitCodes((), ("r1",)), 2: HitCodes(("r0",), ())}
    assert left_out == 0


def test_at_one_payment_those_in_force_come_first_and_the_rest_is_counted() -> None:
    """A note stays small, however many rules hit."""
    many = noted_hits(*["shadow"] * MOST_RULES_NOTED, "live")
    codes, left_out = many.of(np.ones((MOST_RULES_NOTED + 1, 1), dtype=np.bool_), np.array([True]))
    assert codes[0].live == (f"r{MOST_RULES_NOTED}",)
    assert codes[0].shadow == tuple(f"r{n}" for n in range(MOST_RULES_NOTED - 1))
    assert left_out == 1


def test_a_rule_that_hits_everything_is_noted_for_its_share_and_takes_nothing_of_the_others() -> None:
    """What it hits at alerts is noted beside; another rule that hits now and then keeps all its hits."""
    wide, rounds, size = noted_hits("shadow", "shadow"), 200, 500
    alone, rare, alerts, left = 0, 0, 0, 0
    for _ in range(rounds):
        hits = np.zeros((2, size), dtype=np.bool_)
        hits[0], hits[1, 7] = True, True
        alerted = np.zeros(size, dtype=np.bool_)
        alerted[3] = True
        codes, left_out = wide.of(hits, alerted)
        alerts += codes[3].shadow == ("r0",)
        rare += "r1" in codes[7].shadow
        alone += sum("r0" in of.shadow for place, of in codes.items() if place != 3)
        left += left_out
    assert (alerts, rare) == (rounds, rounds)
    assert alone == NOTED_AT_ONCE / 2 + NOTED_SHARE / 2 * size * (rounds - 1) // 1
    assert left == rounds * (size - 1) - alone


@given(st.lists(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), max_size=40), max_size=20))
def test_no_hit_is_lost_uncounted_and_notes_are_bounded(rounds: list[list[list[bool]]]) -> None:
    """Whatever hits: noted and left out are all there are."""
    noting, seen, alone = noted_hits("live", "shadow", "shadow"), 0, 0
    for payments in rounds:
        hits = np.array(payments, dtype=np.bool_).reshape(len(payments), 3).T
        codes, left_out = noting.of(hits, np.zeros(len(payments), dtype=np.bool_))
        assert sum(len(of.live) + len(of.shadow) for of in codes.values()) + left_out == hits.sum()
        seen, alone = seen + len(payments), alone + len(codes)
        assert alone <= NOTED_AT_ONCE + NOTED_SHARE * seen
