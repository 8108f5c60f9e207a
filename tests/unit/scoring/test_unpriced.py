"""An alert of a payment whose money could not be turned into the base currency."""

from __future__ import annotations

import numpy as np

from stream_app.features.compute import Floats, Vectors
from stream_app.scoring.ports import Scores
from tests.unit.scoring.test_scorer import FakeModel, Till, alerts, payment


class Thrifty(FakeModel):
    """The smaller the amount, the higher the score; the mean payment is of 500.00."""

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        raw: Vectors = np.float32(1) - super().score(vectors).raw
        return Scores(raw, raw)

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`."""
        return np.array([0.5, 0, 0]) - super().contributions(vectors)


def test_its_reasons_say_that_there_is_no_rate_and_name_no_amount() -> None:
    """The same payment in the base currency is told by its amount; the alert keeps the amount as it was sent."""
    unpriced, priced = alerts(Till(model=Thrifty()).take(payment("a", 10_000, currency="JPY"), payment("b", 100)))
    [reason] = unpriced.reasons
    assert (reason.feature, reason.value) == ("amount", 0)
    assert reason.text == "The amount is in another currency and there is no rate into EUR: it is taken for unknown."
    assert (unpriced.amount, unpriced.currency) == (10_000, "JPY")
    assert priced.reasons[0].text.startswith("The amount is 100.00 EUR")
