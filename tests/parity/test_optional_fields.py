"""What a file says of a payment, trained on, is what the same payment says on Kafka: every optional field, given and missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_app.features.compute import Rows, compute
from stream_app.features.definitions import PAYMENTS, Feature
from stream_app.features.own_values import LARGEST_NUMBER
from stream_app.features.plan import compile_plan
from stream_app.messages.money import Money
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.intake import Decoded, decode_all, merge
from tests.examples import examples
from tests.parity.test_money import Record
from training.data.backfill import backfill
from training.data.dataset import read_transactions

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.features.compute import Vectors

START_MS, HOUR_MS = 1_522_540_800_000, 3_600_000
MONEY = Money("EUR")
CATEGORY = Feature("category", field="way", vocabulary=("frictionless", "été", "challenge"))
FEATURES = (*PAYMENTS, *(Feature("attributes", field=name) for name in ("v1", "v2")), CATEGORY)

OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "device_id": st.sampled_from(("d1", "d2", "")),
    "country": st.sampled_from(("BE", "FR", "ZA", "ZW", "AD")),
    "channel": st.sampled_from(("online", "chip", "moto")),
    "mcc": st.sampled_from(("0742", "5411", "9999")),
    "latitude": st.floats(-90, 90),
    "longitude": st.floats(-180, 180),
    "approved": st.booleans(),
    "type": st.sampled_from(("purchase", "refund", "withdrawal", "verification")),
    "attributes": st.fixed_dictionaries(
        {},
        optional={
            "v1": st.floats(allow_nan=False, allow_infinity=False),
            "v2": st.floats(allow_nan=False, allow_infinity=False),
            "way": st.sampled_from((*CATEGORY.vocabulary, "", "never seen", "Challenge", "été\u0301")),
        },
    ),
}
MESSAGES = st.lists(st.fixed_dictionaries({"card": st.integers(0, 1), "hours": st.integers(0, 400)}, optional=OPTIONAL), max_size=25)


def messages_of(drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Transactions in order of time, after two that have every field and hardly any: a file needs a value in each column."""
    full = {
        "device_id": "d1",
        "country": "BE",
        "channel": "online",
        "mcc": "5411",
        "latitude": 1.0,
        "longitude": 2.0,
        "approved": True,
        "type": "purchase",
    }
    first: list[dict[str, Any]] = [
        {**full, "card": 0, "hours": 0, "attributes": {"v1": 1.5, "v2": -2.0, "way": "challenge"}},
        {"card": 1, "hours": 0},
    ]
    ordered = first + sorted(drawn, key=lambda m: m["hours"])
    return [
        {
            "transaction_id": f"T{n:03}",
            "event_time": START_MS + m["hours"] * HOUR_MS,
            "card_id": f"C{m['card']}",
            "terminal_id": f"M{n % 3}",
            "amount": 10.0 + n % 5,
            "currency": "EUR",
        }
        | {name: value for name, value in m.items() if name not in {"card", "hours"}}
        for n, m in enumerate(ordered)
    ]


def served(messages: list[dict[str, Any]]) -> Vectors:
    """Vectors of the worker's path."""
    records = [Record(i, m["card_id"].encode(), msgspec.json.encode(m), m["event_time"]) for i, m in enumerate(messages)]
    decoded = decode_all(records, Decoder(Transaction, IntakeRules()), None)
    assert not decoded.refused
    labels: Decoded[Label] = Decoded.of_none()
    intake, plan = merge(decoded, labels, MONEY), compile_plan(FEATURES)
    rows = [Rows.alone(np.zeros((len(ids), e.layout.width), dtype=np.int64)) for ids, e in zip(intake.ids, plan.entities, strict=True)]
    return compute(plan, intake.events, rows, MONEY.unit).vectors


@settings(examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=MESSAGES)
def test_every_optional_field_gives_the_vectors_that_the_worker_serves(tmp_path: Path, drawn: list[dict[str, Any]]) -> None:
    """From a file and from Kafka, any field given or missing: every feature is the same to the bit, and finite."""
    messages = messages_of(drawn)
    file = tmp_path / "payments.jsonl"
    file.write_bytes(b"".join(msgspec.json.encode(m) + b"\n" for m in messages))
    vectors, trained = served(messages), backfill(read_transactions(file), FEATURES, MONEY)
    np.testing.assert_array_equal(trained.vectors[trained.scored], vectors[trained.scored])
    assert np.isfinite(vectors).all()
    assert np.isfinite(trained.vectors).all()


def test_a_number_too_large_for_a_model_is_clipped() -> None:
    """1e300 does not fit float32: it would be infinite there, and a model's score no number."""
    messages = messages_of([{"card": 0, "hours": 1, "attributes": {"v1": 1e300, "v2": -1e300}}])
    names = [f.name for f in FEATURES]
    vector = served(messages)[-1]
    assert vector[names.index("attributes.v1")] == np.float32(LARGEST_NUMBER)
    assert vector[names.index("attributes.v2")] == np.float32(-LARGEST_NUMBER)


@pytest.mark.parametrize(
    ("own", "place"),
    [
        ({"way": "frictionless"}, 2),
        ({"way": "challenge"}, 4),
        ({"way": "never seen"}, 1),
        ({"way": 7.5}, 1),
        ({"way": ""}, 0),
        ({"v1": 1.0}, 0),
    ],
)
def test_a_text_is_its_place_in_the_vocabulary(own: dict[str, Any], place: int) -> None:
    """Values that training did not know, or of another type, and missing ones have places of their own; a text is no number of another column."""
    vector = dict(zip(FEATURES, served(messages_of([{"card": 0, "hours": 1, "attributes": own}]))[-1].tolist(), strict=True))
    assert vector[CATEGORY] == place
    text_for_number = served(messages_of([{"card": 0, "hours": 1, "attributes": {"v1": "1.0"}}]))[-1]
    assert text_for_number[FEATURES.index(Feature("attributes", field="v1"))] == 0


def test_a_payment_without_optional_fields_has_the_neutral_values() -> None:
    """The first payment of a card that says nothing but what it must."""
    vector = dict(zip(FEATURES, served(messages_of([]))[1].tolist(), strict=True))
    needing = [f for f in FEATURES if f.entity == "device" or f.aggregation in {"attributes", "category", "distance_km", "speed_kmh"}]
    needing += [f for f in FEATURES if f.field in {"country", "device_id"}]
    assert {f.name: vector[f] for f in needing} == {f.name: f.of.neutral for f in needing}
