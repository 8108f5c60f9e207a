"""How often a card's memory of terminals and devices takes something new for known: the rates that docs/features.md states."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.features import kernel, tiles
from stream_app.features.aggregations import Fact, Quantity
from stream_app.features.compute import Events, Rows, compute
from stream_app.features.facts import hashes
from stream_app.features.plan import catalogue_plan

START, ASKED, CARDS = 1_522_540_800_000, 1_000, 40
FACT = {Quantity.TERMINALS: Fact.TERMINAL, Quantity.DEVICES: Fact.DEVICE}


@pytest.mark.parametrize(
    ("quantity", "members", "rate"),
    [
        (Quantity.TERMINALS, 5, 0.0001),
        (Quantity.TERMINALS, 20, 0.001),
        (Quantity.TERMINALS, 50, 0.02),
        (Quantity.TERMINALS, 100, 0.12),
        (Quantity.DEVICES, 5, 0.001),
        (Quantity.DEVICES, 20, 0.01),
        (Quantity.DEVICES, 50, 0.12),
    ],
    ids=lambda x: x.name.lower() if isinstance(x, Quantity) else str(x),
)
def test_what_is_new_is_taken_for_known_as_rarely_as_stated_and_what_is_known_never_for_new(
    quantity: Quantity, members: int, rate: float
) -> None:
    """40 cards with so many members each; each is asked for 1,000 others and for its own."""
    plan = catalogue_plan()
    size = CARDS * members
    facts = np.zeros((size, len(Fact)), dtype=np.int64)
    facts[:, FACT[quantity]] = hashes([f"{quantity.name} {n}" for n in range(size)])
    at = np.zeros(size, dtype=np.int64)
    nobody = np.full(size, -1)
    entities = (np.repeat(np.arange(CARDS), members), nobody, nobody)
    events = Events(np.full(size, kernel.PAYMENT, dtype=np.int8), at + START, at, np.arange(size) + 1, at + 100, entities, facts)
    rows = [Rows.alone(np.zeros((CARDS, entity.layout.width), dtype=np.int64)) for entity in plan.entities]
    compute(plan, events, rows)
    layout = plan.entities[0].layout
    [series] = [s for s, key in enumerate(layout.series) if key[1] is quantity]
    others = hashes([f"other {n}" for n in range(ASKED)]).tolist()
    wrong = 0
    for card in range(CARDS):
        wrong += sum(tiles.has(layout.table, series, rows[0].own[card], START, name) for name in others)
        own = facts[card * members : (card + 1) * members, FACT[quantity]].tolist()
        assert all(tiles.has(layout.table, series, rows[0].own[card], START, name) for name in own)
    assert wrong / (CARDS * ASKED) <= rate
