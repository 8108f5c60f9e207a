"""Whether a source supplies what a model needs: refused by its mapping, told by its payments; older models say nothing of it."""

from __future__ import annotations

import msgspec
import pytest

from stream_app.errors import ModelError
from stream_app.features.definitions import PAYMENTS, VELOCITY
from stream_app.features.entities import ALL, KEPT_BY_DEFAULT, kept_of
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.transaction import Transaction
from stream_app.scoring.supply import ENOUGH, SuppliedFields, refuse_unkept, refuse_unsupplied
from stream_app.wire.mapping_text import mapping_of
from tests.unit.scoring.test_scorer import FakeModel

NEEDS = {"country": 0.98, "device_id": 0.005, "attributes.gateway": 0.5}
MODEL = msgspec.structs.replace(FakeModel.metadata, needs=NEEDS)


def payments(count: int, **fields: object) -> list[Transaction]:
    """Of one card, with these fields."""
    return [Transaction(f"t{n}", 1_795_471_200_000, "c", "s", 1.0, "EUR", **fields) for n in range(count)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "lacking"),
    [
        ("country: land, attributes.gateway: score", None),
        ("country: country, attributes.gateway: attributes.gateway", None),
        ("attributes.gateway: score", "country (98%"),
        ("country: land", "attributes.gateway (50%"),
        ("merchant_id: country", "country (98%"),
    ],
)
def test_a_model_is_refused_where_the_mapping_does_not_say_where_a_needed_field_is(more: str, lacking: str | None) -> None:
    """Also where it has our name, which nobody can know before payments come; a field that hardly any had is not needed."""
    mapping = mapping_of(f"columns: {{card_id: pan, {more}}}")
    if lacking is None:
        refuse_unsupplied("Model m version 3", MODEL, mapping)
        return
    with pytest.raises(ModelError, match="FRAUDSTREAM_MAPPING_FILE does not say") as refused:
        refuse_unsupplied("Model m version 3", MODEL, mapping)
    assert "Model m version 3 needs " in str(refused.value)
    assert lacking in str(refused.value)
    assert "device_id" not in str(refused.value)


def test_a_model_that_needs_an_entity_of_which_no_state_is_kept_is_refused() -> None:
    """With what to set, which keeps what is kept; one whose entities are kept is not."""
    refuse_unkept("m", VELOCITY, KEPT_BY_DEFAULT)
    refuse_unkept("m", PAYMENTS, ALL)
    with pytest.raises(ModelError, match=r"Model m version 3 needs state of merchant \(as merchant_risk_30d_delay_7d\)") as refused:
        refuse_unkept("Model m version 3", PAYMENTS, KEPT_BY_DEFAULT)
    assert "Set FRAUDSTREAM_ENTITIES=terminal,device,merchant,mcc,country,ip for every worker" in str(refused.value)
    with pytest.raises(ModelError, match=r"needs state of terminal .* FRAUDSTREAM_ENTITIES=terminal,device for"):
        refuse_unkept("m", VELOCITY, kept_of("device"))


def test_a_constant_supplies_a_field() -> None:
    """The mapping says what it always is."""
    refuse_unsupplied("m", MODEL, mapping_of("columns: {attributes.gateway: score}\nconstants: {country: NO}"))


def test_a_model_of_before_is_served_as_ever() -> None:
    """It says nothing of what it needs, and what it says of itself is written as it was."""
    before = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(MODEL, needs=msgspec.UNSET)), type=ModelMetadata)
    assert before.needs is msgspec.UNSET
    assert b"needs" not in msgspec.json.encode(before)
    refuse_unsupplied("m", before, mapping_of("columns: {card_id: pan}"))
    seen = SuppliedFields(before)
    seen.add(payments(ENOUGH))
    assert seen.differences() == []


def test_a_share_far_from_that_of_training_is_told_either_way() -> None:
    """Of enough payments; an own value counts where the payment has it."""
    seen = SuppliedFields(MODEL)
    seen.add(payments(ENOUGH - 1, country="FR"))
    assert seen.differences() == []
    seen.add(payments(101, device_id="d", attributes={"gateway": 0.0}))
    assert seen.differences() == [
        "country stands in 50% of them, in training in 98%",
        "device_id stands in 50% of them, in training in 0%",
    ]
