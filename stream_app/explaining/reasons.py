"""Why a payment was alerted: the largest of the contributions that raised its raw score, in words. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stream_app.explaining.evidence import ValueEvidence
from stream_app.explaining.reason_codes import reason_code
from stream_app.explaining.sentences import Usual, sentence, usual_value
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature
from stream_app.features.plan import Ints
from stream_app.messages.alert import Reason

REASONS_PER_ALERT = 3
LEAST_SHARE = 0.05
"""What contributes less than this share of all that raised the score is no reason, unless it is the strongest there is."""


class Reasons:
    """Reasons from contributions to the raw score, see `stream_app.explaining.contributions`.

    Contributions to risk only: a feature that lowers the score is never a reason, nor is one that hardly raises it (`LEAST_SHARE`). The
    strongest is told however little it raises the score: where many features each do a little, an alert would have none else. No code is
    told twice: of the features of one code, the strongest speaks.
    """

    def __init__(self, features: Sequence[Feature], contributions: Callable[[Vectors], Floats], *, sampled: bool = False) -> None:
        """Args: `sampled`: whether the contributions are, see `stream_app.explaining.sampling`."""
        self._features = tuple(features)
        self._codes = [reason_code(feature) for feature in features]
        self._evidence = ValueEvidence(features)
        self._contributions = contributions
        self._sampled = sampled

    def of(self, vectors: Vectors, usual: Sequence[Usual], currency: str) -> list[tuple[Reason, ...]]:
        """The strongest reasons of each decision, the weightiest first; at most three, at least one where any feature raises the score.

        Args:
            vectors: float32 [decisions, features] of the decisions to explain.
            usual: the card's own norm, for each decision.
            currency: the base currency, for the texts.
        """
        added = self._evidence.without_the_payment_itself(vectors, self._contributions(vectors))
        least = np.minimum(LEAST_SHARE * np.maximum(added, 0).sum(axis=1), added.max(axis=1))
        order = np.argsort(-added, axis=1, kind="stable")
        return [
            tuple(
                self._reason(j, vectors[i], float(added[i, j]), usual[i], currency) for j in self._told(order[i], added[i], float(least[i]))
            )
            for i in range(len(vectors))
        ]

    def _told(self, order: Ints, added: Floats, least: float) -> list[int]:
        """The columns to tell of, of those in falling order of what they added."""
        told: dict[str, int] = {}
        for j in order.tolist():
            if added[j] <= 0 or added[j] < least or len(told) == REASONS_PER_ALERT:
                break
            told.setdefault(self._codes[j], j)
        return list(told.values())

    def _reason(self, column: int, vector: Vectors, contribution: float, usual: Usual, currency: str) -> Reason:
        feature, value = self._features[column], float(vector[column])
        text = sentence(feature, value, usual, currency, self._evidence.behind(column, vector))
        return Reason(self._codes[column], feature.name, value, usual_value(feature, usual), contribution, text, self._sampled)
