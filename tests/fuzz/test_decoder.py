"""Messages that are nearly right: the decoder refuses them by a code, or what it gives is within its bounds."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RecordError
from stream_app.messages.card_numbers import redact
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import MAX_MESSAGE_BYTES, Decoder, IntakeRules, Label, Transaction
from tests.examples import examples
from tests.fuzz.mangled import mangled_message

NOW_MS = 1_795_471_200_000
AHEAD_MS = 3_600_000
PAYMENT = {
    "transaction_id": "tx-1", "event_time": NOW_MS, "card_id": "card-1", "terminal_id": "term-1", "amount": 12.5, "currency": "EUR",
    "billing_amount": 13.1, "billing_currency": "USD", "type": "purchase", "approved": True, "merchant_id": "m", "mcc": "5411",
    "country": "BE", "channel": "online", "latitude": 50.8, "longitude": 4.3, "device_id": "d", "ip": "10.0.0.1", "attributes": {"a": 1.5},
}  # fmt: skip
LABEL = {
    "transaction_id": "tx-1", "event_time": NOW_MS, "card_id": "card-1", "terminal_id": "term-1", "amount": 12.5, "is_fraud": True,
    "labelled_at": NOW_MS, "source": "chargeback",
}  # fmt: skip
DECODERS: tuple[tuple[Decoder[Any], dict[str, Any]], ...] = (
    (Decoder(Transaction, IntakeRules()), PAYMENT),
    (Decoder(Label, IntakeRules()), LABEL),
)


def test_what_is_mangled_here_is_taken_where_it_is_not() -> None:
    """Else nothing but refusals would be tried."""
    for decoder, message in DECODERS:
        assert decoder.decode(json.dumps(message).encode(), b"card-1", NOW_MS, NOW_MS).card_id == "card-1"


@examples(100)
@given(data=st.data())
def test_a_message_is_taken_within_bounds_or_refused_by_a_code(data: st.DataObject) -> None:
    """Nothing else is raised, and no number reaches the features that their sums could not hold."""
    decoder, message = data.draw(st.sampled_from(DECODERS))
    value = data.draw(mangled_message(message))
    redact(value, value)
    taken = _taken(decoder, value)
    if isinstance(taken, RecordError):
        assert DeadLetterCode(taken.code)
        assert taken.message.isprintable()
        return
    assert len(value) <= MAX_MESSAGE_BYTES
    assert taken.card_id == "card-1"
    assert 0 <= taken.event_time <= NOW_MS + AHEAD_MS
    assert 0 <= taken.amount < 1e13
    for name in ("transaction_id", "terminal_id"):
        assert 0 < len(getattr(taken, name)) <= 64
        assert getattr(taken, name).isprintable()
    if isinstance(taken, Transaction):
        assert all(len(own) <= 64 if isinstance(own, str) else math.isfinite(own) for own in (taken.attributes or {}).values())
        assert -90 <= (taken.latitude or 0) <= 90
        assert -180 <= (taken.longitude or 0) <= 180


def _taken(decoder: Decoder[Any], value: bytes) -> Any:
    """The message, or its refusal."""
    try:
        return decoder.decode(value, b"card-1", NOW_MS, NOW_MS)
    except RecordError as refusal:
        return refusal
