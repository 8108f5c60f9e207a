"""How often what is remembered in bounded memory errs: something new taken for known, and how many different ones. docs/features.md states it."""

from __future__ import annotations

import numpy as np
import pytest

from stream_app.features import kernel, tiles
from stream_app.features.aggregations import DAY_S, HORIZON_S, HOUR_S, Fact, Quantity
from stream_app.features.compute import Events, Rows, compute
from stream_app.features.definitions import Feature
from stream_app.features.facts import derived, hashes
from stream_app.features.plan import Ints, catalogue_plan, compile_plan

START, ASKED, CARDS = 1_522_540_800_000, 1_000, 40


def members(quantity: Quantity, first: int, count: int) -> tuple[Ints, Ints]:
    """Facts and money of so many payments, each with another member of a set."""
    numbers = np.arange(first, first + count)
    facts = np.zeros((count, len(Fact)), dtype=np.int64)
    if quantity is Quantity.CATEGORIES:
        facts[:, Fact.MCC] = numbers + 1
    elif quantity is not Quantity.AMOUNTS:
        facts[:, quantity.of] = hashes([f"{quantity.name} {n}" for n in numbers])
    return facts, numbers


@pytest.mark.parametrize(
    ("quantity", "count", "rate"),
    [
        (Quantity.TERMINALS, 5, 0.0001),
        (Quantity.TERMINALS, 20, 0.001),
        (Quantity.TERMINALS, 50, 0.02),
        (Quantity.TERMINALS, 100, 0.12),
        (Quantity.DEVICES, 5, 0.001),
        (Quantity.DEVICES, 20, 0.01),
        (Quantity.DEVICES, 50, 0.12),
        (Quantity.CATEGORIES, 5, 0.002),
        (Quantity.CATEGORIES, 20, 0.06),
        (Quantity.AMOUNTS, 5, 0.002),
        (Quantity.AMOUNTS, 10, 0.01),
    ],
    ids=lambda x: x.name.lower() if isinstance(x, Quantity) else str(x),
)
def test_what_is_new_is_taken_for_known_as_rarely_as_stated_and_what_is_known_never_for_new(
    quantity: Quantity, count: int, rate: float
) -> None:
    """40 cards with so many members each, near ones; each is asked for 1,000 others and for its own."""
    plan = catalogue_plan()
    size = CARDS * count
    facts, minor = members(quantity, 0, size)
    at, nobody = np.zeros(size, dtype=np.int64), np.full(size, -1)
    entities = (np.repeat(np.arange(CARDS), count), nobody, nobody)
    events = Events(np.full(size, kernel.PAYMENT, dtype=np.int8), at + START, at, np.arange(size) + 1, minor, entities, facts)
    rows = [Rows.alone(np.zeros((CARDS, entity.layout.width), dtype=np.int64)) for entity in plan.entities]
    compute(plan, events, rows)
    layout = plan.entities[0].layout
    [series] = [s for s, key in enumerate(layout.series) if key[1] is quantity]
    names, others = (
        derived(given, np.zeros_like(money), money)[:, quantity.of].tolist()
        for given, money in ((facts, minor), members(quantity, size, ASKED))
    )
    wrong = 0
    for card in range(CARDS):
        wrong += sum(tiles.has(layout.table, series, rows[0].own[card], START, name) for name in others)
        assert all(tiles.has(layout.table, series, rows[0].own[card], START, name) for name in names[card * count : (card + 1) * count])
    assert wrong / (CARDS * ASKED) <= rate


def counted(feature: Feature, quantity: Quantity, count: int, repeats: int) -> list[float]:
    """How many different ones a feature says that 200 entities have, each with so many, each of them some times over the last half of its window."""
    plan, entity, many = compile_plan([feature]), ("card", "terminal", "device").index(str(feature.entity)), 200
    facts, _ = members(quantity, 0, many * count)
    facts = np.concatenate([facts, *([facts] * (repeats - 1)), np.zeros((many, len(Fact)), dtype=np.int64)])
    size = len(facts)
    places = np.full((3, size), -1)
    places[0] = np.arange(size) if entity else 0
    places[entity] = np.concatenate([*([np.repeat(np.arange(many), count)] * repeats), np.arange(many)])
    times = START + 38 * DAY_S * 1000 + np.linspace(0, feature.window_s * 500, size).astype(np.int64)
    zero = np.zeros(size, dtype=np.int64)
    events = Events(zero.astype(np.int8), times, zero, np.arange(size) + 1, zero, tuple(places), facts)
    rows = [Rows.alone(np.zeros((size if of.entity == "card" else many, of.layout.width), dtype=np.int64)) for of in plan.entities]
    return [float(value) for value in compute(plan, events, rows).vectors[-many:, 0]]


@pytest.mark.parametrize(
    ("feature", "quantity", "count", "error"),
    [
        (Feature("cards", "terminal", HOUR_S), Quantity.CARDS_OF_HOUR, 1, 0),
        (Feature("cards", "terminal", HOUR_S), Quantity.CARDS_OF_HOUR, 20, 0.12),
        (Feature("cards", "device", DAY_S), Quantity.CARDS_OF_DAY, 50, 0.12),
        (Feature("cards", "device", DAY_S), Quantity.CARDS_OF_DAY, 100, 0.14),
        (Feature("cards", "terminal", DAY_S), Quantity.CARDS_OF_DAY, 200, 0.2),
        (Feature("distinct", "card", HORIZON_S, field="terminal_id"), Quantity.TERMINALS, 20, 0.05),
        (Feature("distinct", "card", HORIZON_S, field="terminal_id"), Quantity.TERMINALS, 100, 0.05),
        (Feature("distinct", "card", HORIZON_S, field="device_id"), Quantity.DEVICES, 20, 0.05),
        (Feature("distinct", "card", HORIZON_S, field="mcc"), Quantity.CATEGORIES, 5, 0.1),
        (Feature("distinct", "card", HORIZON_S, field="mcc"), Quantity.CATEGORIES, 20, 0.1),
    ],
    ids=lambda x: x.name if isinstance(x, Feature) else str(x),
)  # fmt: skip
def test_different_ones_are_counted_as_nearly_as_stated(feature: Feature, quantity: Quantity, count: int, error: float) -> None:
    """The root mean square of what 200 entities are off, in shares of the truth; one that comes again is not counted again."""
    for repeats in (1, 2):
        found = np.array(counted(feature, quantity, count, repeats))
        assert np.sqrt(np.mean((found / count - 1) ** 2)) <= error


def test_more_cards_than_can_be_counted_are_told_as_the_most() -> None:
    """A thousand cards fill the set: 266, which docs/features.md states, and never more."""
    assert set(counted(Feature("cards", "terminal", HOUR_S), Quantity.CARDS_OF_HOUR, 1000, 1)) == {266.0}
