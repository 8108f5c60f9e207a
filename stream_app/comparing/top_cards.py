"""Card precision@k over a stream, see `ranking.card_precisions`: of each day only the cards are kept that may be among its best.

The cards that are found on a day are left out on later ones: k a day at the most. So of the n-th day the best n x k cards are enough.
"""

from __future__ import annotations

from collections.abc import Collection

from stream_app.scoring.ranking import CARDS_A_DAY


class TopCards:
    """One model's best cards of each day. Memory: on the n-th day twice n x k cards."""

    def __init__(self, first_day: int, k: int = CARDS_A_DAY) -> None:
        self._first_day = first_day
        self._k = k
        self._best: dict[int, dict[str, int]] = {}

    def add(self, day: int, card: str, level: int) -> None:
        """A payment of a day, not before the first; its score is a whole number, rounded."""
        best = self._best.setdefault(day, {})
        if level > best.get(card, -1):
            best[card] = level
            if len(best) > 2 * self._most(day):
                self._best[day] = {name: best[name] for name in _ranked(best)[: self._most(day)]}

    def precisions(self, frauds: Collection[tuple[int, str]]) -> dict[int, float]:
        """Of each day that has a payment the share of its k best cards that are found; `frauds` are days and cards with a fraud."""
        found: set[str] = set()
        shares = {}
        for day in sorted(self._best):
            best = self._best[day]
            top = [card for card in _ranked(best) if card not in found][: self._k]
            caught = [card for card in top if (day, card) in frauds]
            shares[day] = len(caught) / self._k
            found |= {*caught}
        return shares

    def _most(self, day: int) -> int:
        return self._k * (1 + day - self._first_day)


def _ranked(best: dict[str, int]) -> list[str]:
    return sorted(best, key=lambda card: (-best[card], card))
