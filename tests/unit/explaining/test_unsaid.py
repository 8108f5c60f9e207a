"""An alert's reasons state nothing of what the payment does not say, though a neutral value raised the score."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from stream_app.features.aggregations import HORIZON_S, HOUR_S
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature
from stream_app.scoring.ports import Scores
from tests.unit.scoring.test_scorer import FULL, HOUR, FakeModel, Till, alerts, payment

FEATURES = (
    Feature("distance_km", "card"),
    Feature("mean_amount", "device", HOUR_S),
    Feature("first_time", "card", HORIZON_S, field="country"),
)


class Suspicious(FakeModel):
    """Alerts everything, for each of three features."""

    metadata = msgspec.structs.replace(FakeModel.metadata, features=tuple((f.name, f.hash) for f in FEATURES))

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        return Scores(np.ones(len(vectors), dtype=np.float32), np.ones(len(vectors), dtype=np.float32))

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`: the first most."""
        return np.tile(np.array([0.5, 0.3, 0.2]), (len(vectors), 1))


def told(*payments: dict[str, Any]) -> list[list[str]]:
    """The reasons of each alert, in words."""
    return [[reason.text for reason in alert.reasons] for alert in alerts(Till(model=Suspicious()).take(*payments))]


def test_what_is_told_follows_from_what_each_payment_says_itself() -> None:
    """One says it all, the next nothing, the third all again from elsewhere: in one batch, each by itself."""
    everything: dict[str, Any] = dict(FULL)
    elsewhere = everything | {"latitude": 50.8, "longitude": 4.3}
    first, plain, last = told(payment("a", 20, **everything), payment("b", 20, at=HOUR), payment("c", 20, at=2 * HOUR, **elsewhere))
    assert first == [
        "The payment is at the card's last known place, or none is known.",
        "The device's mean amount over the last hour is 10.00 EUR.",
        "The card pays in this country for the first time in the 38 days before.",
    ]
    assert plain == ["The payment does not say where it was made.", "The payment names no device.", "The payment names no country."]
    assert last[0] == "The payment is 265 km from the card's last known place."
    assert last[2] == "The card has paid in this country before."
