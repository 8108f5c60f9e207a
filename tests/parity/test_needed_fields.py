"""What a model's features are said to need of a payment is what changes them: a field that is not there is seen in no other feature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, Feature
from stream_app.features.needed_fields import fields_read
from stream_app.messages.transaction import ATTRIBUTE
from training.data.backfill import EUR, backfill

FEATURES = (*(f for f in CATALOGUE if f not in CONTEXT_FEATURES), Feature("attributes", field="v1"))
ROWS = 400


def history() -> pd.DataFrame:
    """Payments of a few cards with everything that a payment may have, four in a hundred declined or given back."""
    rng = np.random.default_rng(3)
    is_fraud = rng.random(ROWS) < 0.1
    times = 1_522_540_800_000 + np.sort(rng.integers(0, 40 * 86_400_000, ROWS))
    columns = {
        "transaction_id": [f"t{i}" for i in range(ROWS)], "event_time": times,
        "card_id": pd.Categorical([f"c{n}" for n in rng.integers(0, 8, ROWS)]), "terminal_id": pd.Categorical([f"s{n}" for n in rng.integers(0, 5, ROWS)]),
        "amount": rng.integers(1, 9_999, ROWS) / 100, "currency": pd.Categorical(["EUR"] * ROWS),
        "type": pd.Categorical(rng.choice(["purchase", "refund"], ROWS, p=[0.8, 0.2])), "approved": pd.array(rng.random(ROWS) < 0.8, dtype="boolean"),
        "country": pd.Categorical(rng.choice(["DE", "FR", "NO"], ROWS)), "channel": pd.Categorical(rng.choice(["online", "chip"], ROWS)),
        "device_id": pd.Categorical([f"d{n}" for n in rng.integers(0, 9, ROWS)]), "latitude": rng.uniform(40, 60, ROWS), "longitude": rng.uniform(0, 20, ROWS),
        "merchant_id": pd.Categorical(["m"] * ROWS), "mcc": pd.Categorical(["5411"] * ROWS), "ip": pd.Categorical(["203.0.113.7"] * ROWS),
        "attributes.v1": rng.normal(size=ROWS), "is_fraud": is_fraud, "labelled_at": pd.array(times + 86_400_000, dtype="Int64"),
    }  # fmt: skip
    return pd.DataFrame(columns)


WHOLE = history()
MAY_LACK = ["approved", "attributes.v1", "channel", "country", "device_id", "ip", "latitude", "longitude", "mcc", "merchant_id"]


def vectors(frame: pd.DataFrame) -> pd.DataFrame:
    """A column for each feature, of the payments that are scored whether or not there are refunds."""
    found = backfill(frame, FEATURES, EUR)
    kept = (WHOLE["type"] == "purchase").to_numpy()
    return pd.DataFrame(found.vectors[kept], columns=[f.name for f in FEATURES])


@pytest.mark.parametrize("field", [*MAY_LACK, "type"])
def test_a_field_that_is_taken_away_changes_the_features_that_are_said_to_read_it_and_no_other(field: str) -> None:
    """Declines and refunds are in all that is counted of a card, terminal or device; here they need not change each of those."""
    lacking = WHOLE.assign(**{field: np.nan}) if field.startswith(ATTRIBUTE) else WHOLE.drop(columns=field)
    before, after = vectors(WHOLE), vectors(lacking)
    changed = {name for name in before if not before[name].equals(after[name])}
    said = {f.name for f in FEATURES if field in fields_read([f])}
    if field in {"approved", "type"}:
        assert changed < said == {f.name for f in FEATURES if f.entity or f.name == f"{field}_code"}
        assert len(changed) > len(said) / 2
    else:
        assert said == changed
        assert said
