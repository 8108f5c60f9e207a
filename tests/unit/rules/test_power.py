"""Who decides: the order of power, as a table and for any claims."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.alert import Action
from stream_app.rules.power import ACTIONS, Claims, DecidedBy, decide, places_of
from tests.examples import examples

M, R, S, B, A, F = DecidedBy


def decided(claims: str, rule: Action | None, model: Action | None) -> tuple[Action | None, DecidedBy]:
    """Of one payment; claims are the letters of those that hold: F, A, B, S."""
    has = {letter: np.array([letter in claims]) for letter in "FABS"}
    action, by = decide(Claims(has["F"], has["A"], has["B"], has["S"], places_of([rule]), places_of([model])))
    return ACTIONS[int(action[0])], DecidedBy(int(by[0]))


@pytest.mark.parametrize(
    ("claims", "rule", "model", "expected"),
    [
        ("", None, None, (None, M)),
        ("", None, "review", ("review", M)),
        ("", "review", "decline", ("review", R)),
        ("", "decline", None, ("decline", R)),
        ("S", None, "decline", (None, S)),
        ("S", "decline", "review", (None, S)),
        ("B", None, None, ("decline", B)),
        ("BS", "review", None, ("decline", B)),
        ("A", "decline", "decline", (None, A)),
        ("AB", None, None, (None, A)),
        ("ABS", "decline", "decline", (None, A)),
        ("F", None, None, ("decline", F)),
        ("FA", None, None, ("decline", F)),
        ("FABS", "review", "review", ("decline", F)),
    ],
)
def test_the_order_of_power(claims: str, rule: Action | None, model: Action | None, expected: tuple[Action | None, DecidedBy]) -> None:
    """A block that nothing overrides, allow, block, rules, model."""
    assert decided(claims, rule, model) == expected


@examples(300)
@given(st.sets(st.sampled_from("FABS")), st.sampled_from(ACTIONS), st.sampled_from(ACTIONS), st.data())
def test_the_order_holds_for_any_claims(claims: set[str], rule: Action | None, model: Action | None, data: st.DataObject) -> None:
    """The strongest claim decides alone: what those below it say changes nothing, and a suppression never hides a block."""
    text = "".join(sorted(claims))
    action, by = decided(text, rule, model)
    strongest = next((letter for letter in "FABS" if letter in claims), "R" if rule else "M")
    assert by == {"F": F, "A": A, "B": B, "S": S, "R": R, "M": M}[strongest]
    assert action == {"F": "decline", "B": "decline", "A": None, "S": None, "R": rule, "M": model}[strongest]
    if strongest in "FABS":
        below = "FABS"["FABS".index(strongest) + 1 :]
        fewer = text.translate({ord(letter): None for letter in data.draw(st.sets(st.sampled_from(below or " ")))})
        assert decided(fewer, data.draw(st.sampled_from(ACTIONS)), data.draw(st.sampled_from(ACTIONS))) == (action, by)
    if claims & {"F", "B"} and "A" not in claims:
        assert action == "decline"


def test_payments_are_decided_each_by_itself() -> None:
    """Many at once are as one after the other."""
    rows = [
        (final, allow, block, quiet, r, m)
        for final in (0, 1)
        for allow in (0, 1)
        for block in (0, 1)
        for quiet in (0, 1)
        for r in ACTIONS
        for m in ACTIONS
    ]
    f, a, b, s = (np.array([row[n] for row in rows], dtype=bool) for n in range(4))
    actions, by = decide(Claims(f, a, b, s, places_of([row[4] for row in rows]), places_of([row[5] for row in rows])))
    alone = [decided("".join(np.array(list("FABS"))[np.array(row[:4], dtype=bool)]), row[4], row[5]) for row in rows]
    assert [(ACTIONS[a], DecidedBy(b)) for a, b in zip(actions.tolist(), by.tolist(), strict=True)] == alone
