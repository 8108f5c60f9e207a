"""Transactions whose features are computed, on which one recipe after another is fitted and tested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.fitting.evaluate import scored
from training.fitting.fit import fit, scores_of

if TYPE_CHECKING:
    from stream_app.features.compute import Floats, Vectors
    from training.data.split import FoldParts, Part
    from training.fitting.evaluate import Scored
    from training.fitting.fit import Recipe
    from training.fitting.measure import Truth


@dataclass(frozen=True, slots=True)
class Bench:
    """All of a history.

    Attributes:
        vectors: float32 [transactions, features].
        truth: of each transaction.
    """

    vectors: Vectors
    truth: Truth

    def fitted(self, parts: FoldParts, recipe: Recipe) -> Any:
        """A model of the training part."""
        return fit(self.vectors[parts.train.rows], parts.train.is_fraud, recipe)

    def scored(self, part: Part, scores: Floats) -> Scored:
        """A part's truth under these scores."""
        times, cards, amounts = self.truth.times_ms, self.truth.cards, self.truth.amounts
        return scored(scores, part.is_fraud, times[part.rows], cards[part.rows], amounts[part.rows])

    def tested(self, parts: FoldParts, recipe: Recipe) -> Scored:
        """Fit on the training part, score the test part."""
        return self.scored(parts.test, scores_of(self.fitted(parts, recipe), self.vectors[parts.test.rows]))
