"""An alert of a payment whose money could not be turned into the base currency."""

from __future__ import annotations

import msgspec
import numpy as np

from stream_app.features.compute import Vectors
from tests.unit.test_scorer import FakeModel, Till, alerts, payment


class Thrifty(FakeModel):
    """The smaller the amount, the higher the score; usual are 500.00."""

    metadata = msgspec.structs.replace(FakeModel.metadata, typical=(500.0, 1.0, 0.0))

    def score(self, vectors: Vectors) -> Vectors:
        """See `ports.Model`."""
        scores: Vectors = np.float32(1) - super().score(vectors)
        return scores


def test_its_reasons_say_that_there_is_no_rate_and_name_no_amount() -> None:
    """The same payment in the base currency is told by its amount; the alert keeps the amount as it was sent."""
    unpriced, priced = alerts(Till(model=Thrifty()).take(payment("a", 10_000, currency="JPY"), payment("b", 100)))
    [reason] = unpriced.reasons
    assert (reason.feature, reason.value) == ("amount", 0)
    assert reason.text == "The amount is in another currency and there is no rate into EUR: it is taken for unknown."
    assert (unpriced.amount, unpriced.currency) == (10_000, "JPY")
    assert priced.reasons[0].text.startswith("The amount is 100.00 EUR")
