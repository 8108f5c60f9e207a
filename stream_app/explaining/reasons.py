"""Why a payment was alerted: the largest of the contributions that raised its raw score, in words. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stream_app.explaining.reason_codes import reason_code
from stream_app.explaining.sentences import Usual, sentence, usual_value
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature
from stream_app.messages.alert import Reason

REASONS_PER_ALERT = 3
LEAST_SHARE = 0.05
"""What contributes less than this share of all that raised the score is no reason, unless it is the strongest there is."""


class Reasons:
    """Reasons from contributions to the raw score, see `stream_app.explaining.contributions`.

    Contributions to risk only: a feature that lowers the score is never a reason, nor is one that hardly raises it (`LEAST_SHARE`). The
    strongest is told however little it raises the score: where many features each do a little, an alert would have none else.
    """

    def __init__(self, features: Sequence[Feature], contributions: Callable[[Vectors], Floats]) -> None:
        self._features = tuple(features)
        self._contributions = contributions

    def of(self, vectors: Vectors, usual: Sequence[Usual], currency: str) -> list[tuple[Reason, ...]]:
        """The strongest reasons of each decision, the weightiest first; at most three, at least one where any feature raises the score.

        Args:
            vectors: float32 [decisions, features] of the decisions to explain.
            usual: the card's own norm, for each decision.
            currency: the base currency, for the texts.
        """
        added = self._contributions(vectors)
        strongest = np.argsort(-added, axis=1, kind="stable")[:, :REASONS_PER_ALERT]
        weights = np.take_along_axis(added, strongest, axis=1)
        least = LEAST_SHARE * np.maximum(added, 0).sum(axis=1, keepdims=True)
        told = (weights > 0) & (weights >= np.minimum(least, weights[:, :1]))
        return [
            tuple(self._reason(int(j), float(vectors[i, j]), float(added[i, j]), usual[i], currency) for j in strongest[i][told[i]])
            for i in range(len(vectors))
        ]

    def _reason(self, column: int, value: float, contribution: float, usual: Usual, currency: str) -> Reason:
        feature = self._features[column]
        text = sentence(feature, value, usual, currency)
        return Reason(reason_code(feature), feature.name, value, usual_value(feature, usual), contribution, text)
