"""How payments and cards are ranked where figures are taken of scores: one definition, for training and for `fraudstream compare`.

Ranks are taken over the score as it is published, rounded to 1e-5, the tolerance between runtimes, so that no figure hangs on the last
bits. Ties between cards go to the lower card id, as text, so that none hangs on the order of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream_app.features.aggregations import DAY_MS
from stream_app.features.compute import Floats
from stream_app.features.plan import Ints

DIGITS = 5
CARDS_A_DAY = 100


def rounded(scores: Floats) -> Floats:
    """Scores as they are ranked."""
    return np.round(scores, DIGITS)


def places_of(ids: Sequence[str]) -> Ints:
    """Of each id, its place among the distinct ones in the order of their texts: the same whatever order they come in."""
    places = {id_: place for place, id_ in enumerate(sorted(set(ids)))}
    return np.array([places[id_] for id_ in ids], dtype=np.int64)


def card_precisions(scores: Floats, is_fraud: NDArray[np.bool_], times_ms: Ints, cards: Ints, k: int = CARDS_A_DAY) -> Floats:
    """Card precision@k of each day that has a payment: of its k cards with the highest scores, the share with a fraud that day.

    1. leave out the cards that were found on earlier days;
    2. a card's score is the highest of its day, rounded;
    3. the k cards with the highest, ties to the lower card; those with a fraud that day are found.

    A day with fewer than k cards still counts k: a quiet day is no success.

    Args:
        scores: [payments], as published.
        is_fraud: bool [payments].
        times_ms: int64 [payments], event time.
        cards: int64 [payments], place of the card among all by id, see `places_of`.
        k: cards that are looked at in a day.

    Returns:
        float64 [days], in order.
    """
    if not len(scores):
        return np.empty(0)
    days = times_ms // DAY_MS
    order = np.lexsort((cards, days))
    days, cards = days[order], cards[order]
    starts = np.flatnonzero(np.append(True, (np.diff(days) != 0) | (np.diff(cards) != 0)))
    best, fraudulent = np.maximum.reduceat(rounded(scores)[order], starts), np.logical_or.reduceat(is_fraud[order], starts)
    days, cards = days[starts], cards[starts]
    found = np.zeros(cards.max() + 1, dtype=bool)
    shares = []
    for day in np.split(np.arange(len(days)), np.flatnonzero(np.diff(days)) + 1):
        left = day[~found[cards[day]]]
        top = left[np.argsort(-best[left], kind="stable")[:k]]  # within a day cards stand in the order of their ids
        caught = cards[top[fraudulent[top]]]
        found[caught] = True
        shares.append(len(caught) / k)
    return np.array(shares)
