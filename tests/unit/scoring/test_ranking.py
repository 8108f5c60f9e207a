"""Card precision@k against brute force over scores with many ties; one figure, whoever asks."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.comparing.top_cards import TopCards
from stream_app.features.aggregations import DAY_MS
from stream_app.scoring.ranking import DIGITS, card_precisions, places_of
from tests.examples import examples
from training.fitting.evaluate import card_precision, card_ranks, scored

FEW = 3


class Paid(NamedTuple):
    """A payment with its score and truth."""

    day: int
    card: str
    score: float
    is_fraud: bool


def brute_force(payments: list[Paid], k: int) -> list[float]:
    """Day by day: found cards out, the highest score a card, the best k, ties to the lower card."""
    found: set[str] = set()
    shares = []
    for _, group in groupby(sorted(payments, key=lambda p: p.day), key=lambda p: p.day):
        of_day = [p for p in group if p.card not in found]
        best = {card: max(round(p.score, 5) for p in of_day if p.card == card) for card in {p.card for p in of_day}}
        top = sorted(best, key=lambda card: (-best[card], card))[:k]
        caught = {card for card in top if any(p.is_fraud for p in of_day if p.card == card)}
        shares.append(len(caught) / k)
        found |= caught
    return shares


def measured(payments: list[Paid], k: int) -> list[float]:
    """The same by arrays."""
    found: list[float] = card_precisions(
        np.array([p.score for p in payments]),
        np.array([p.is_fraud for p in payments], dtype=bool),
        np.array([p.day * DAY_MS + n % 1000 for n, p in enumerate(payments)], dtype=np.int64),
        places_of([p.card for p in payments]),
        k,
    ).tolist()
    return found


PAYMENTS = st.lists(
    st.builds(
        Paid,
        st.integers(0, 3),
        st.sampled_from([f"c{n}" for n in range(12)] + ["C1", "ç"]),  # c10 comes before c2, ç behind all
        st.integers(0, 12).map(lambda n: n / 100) | st.sampled_from([0.05 + 1e-7, 0.05 - 1e-7]),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


@given(PAYMENTS, st.integers(1, 6))
@example([Paid(0, "b", 0.5, is_fraud=True), Paid(0, "a", 0.5, is_fraud=False)], 1)
@example([Paid(0, "b", 0.500_001, is_fraud=True), Paid(0, "a", 0.5, is_fraud=False)], 1)
@example([Paid(0, "c2", 0.5, is_fraud=True), Paid(0, "c10", 0.5, is_fraud=False)], 1)
def test_card_precision_is_what_brute_force_finds(payments: list[Paid], k: int) -> None:
    """Scores of two decimals over a handful of cards: nearly every rank is a tie."""
    assert measured(payments, k) == pytest.approx(brute_force(payments, k))


@given(PAYMENTS, st.integers(1, 6), st.randoms())
def test_the_order_of_arrival_changes_nothing(payments: list[Paid], k: int, random: np.random.Generator) -> None:
    """Ties go by score and id alone."""
    shuffled = list(payments)
    random.shuffle(shuffled)
    assert measured(shuffled, k) == measured(payments, k)


@examples(15)
@given(st.integers(0, 2**32 - 1))
def test_compare_and_training_tell_one_figure(seed: int) -> None:
    """2,000 payments of 400 cards on 3 days, scores of two decimals: more cards tie for the hundredth place than there is room for."""
    rng = np.random.default_rng(seed)
    count = 2_000
    is_fraud = rng.random(count) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.2 * is_fraud, 0.2), 0, 1).round(2)
    days, numbers = rng.integers(0, FEW, count), rng.integers(0, 400, count)
    cards, top = [f"c{n}" for n in numbers], TopCards(0)
    for day, card, score in zip(days.tolist(), cards, scores.tolist(), strict=True):
        top.add(day, card, round(score * 10**DIGITS))
    told = top.precisions({(int(days[n]), cards[n]) for n in np.flatnonzero(is_fraud)})
    ranks = card_ranks(pd.Series(cards, dtype="category"))
    assert sum(told.values()) / FEW == pytest.approx(card_precision(scored(scores, is_fraud, days * DAY_MS, ranks, np.ones(count))))


def test_a_place_is_that_of_the_text() -> None:
    """Not of the number in it, nor of the first to come."""
    assert places_of(["c2", "c10", "c2", "C1"]).tolist() == [2, 1, 2, 0]


def test_without_payments_there_is_no_day() -> None:
    """Nor a figure."""
    assert measured([], 1) == []
