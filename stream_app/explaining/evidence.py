"""What stands behind a feature's value, as far as the decision's other features tell: of how many payments a share is, and whether a mean is of
the present payment alone. No I/O.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature

_SAME = 1e-6
"""Of one amount and a mean of it alone, both float32."""


class ValueEvidence:
    """The features of a decision that say something of the others.

    Args:
        features: of the model, in its order. What is not among them is not known: then a share stands without its payments.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        places = {feature: place for place, feature in enumerate(features)}
        self._payments = {
            place: places[of]
            for feature, place in places.items()
            if feature.aggregation in {"risk", "mean_amount"} and (of := _count_of(feature)) in places
        }
        self._amount = places.get(Feature("amount"))
        self._means = [place for feature, place in places.items() if feature.aggregation == "mean_amount" and place in self._payments]

    def behind(self, column: int, vector: Vectors) -> int | None:
        """How many payments the value of a column rests on; None where that is not known."""
        of = self._payments.get(column)
        return None if of is None else round(float(vector[of]))

    def without_the_payment_itself(self, vectors: Vectors, added: Floats) -> Floats:
        """Contributions, where a mean of the present payment alone is what it is: its amount. What it added counts for `amount`.

        Args:
            vectors: float32 [decisions, features].
            added: what each feature added, of that shape; not changed.
        """
        if self._amount is None or not self._means:
            return added
        moved, amount = added.copy(), vectors[:, self._amount]
        for mean in self._means:
            alone = (vectors[:, self._payments[mean]] == 1) & (amount > 0) & (np.abs(vectors[:, mean] - amount) <= _SAME * amount)
            moved[alone, self._amount] += added[alone, mean]
            moved[alone, mean] = 0
        return moved


def _count_of(feature: Feature) -> Feature:
    return Feature("count", feature.entity, feature.window_s, feature.delay_s)
