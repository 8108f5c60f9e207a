"""The JSON Schemas of the project beside the Python types that go with them, for the tests that hold the two together."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from stream_app.errors import RecordError
from stream_app.messages.alert import Alert, AnsweredPayment, Beside, ModelReference, Reason, RuleHit, Score, Source
from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from tests.conftest import ROOT

SCHEMAS = {p.name.removesuffix(".v1.json"): json.loads(p.read_text()) for p in (ROOT / "schemas").glob("*.v1.json")}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
READ: dict[str, type[Transaction | Label]] = {"transaction": Transaction, "label": Label}
PUBLISHED: dict[str, type[Alert | AnsweredPayment | Score]] = {"alert": Alert, "answer": AnsweredPayment, "score": Score}
NESTED: dict[str, type[Beside | ModelReference | Reason | RuleHit | Source]] = {
    "beside": Beside,
    "model": ModelReference,
    "reason": Reason,
    "rule_hit": RuleHit,
    "source": Source,
}
NOT_IN: dict[str, set[str]] = {"alert": {"beside"}, "answer": {"beside", "source"}, "score": set()}
"""Of the parts of what is published, those that one of them has not."""

RULES = IntakeRules(refuse_card_numbers=False)
DECODERS: dict[str, Decoder[Any]] = {"transaction": Decoder(Transaction, RULES), "label": Decoder(Label, RULES)}


def refusal_of_intake(name: str, value: bytes) -> DeadLetterCode | None:
    """The code with which the intake refuses `value`; None where only a rule beyond the schema is broken."""
    message = json.loads(value)
    card_id = message.get("card_id")
    try:
        DECODERS[name].decode(value, card_id.encode() if isinstance(card_id, str) else b"", 2 * MAX_EVENT_TIME_MS, None)
    except RecordError as refusal:
        code = DeadLetterCode(refusal.code)
        if code is not DeadLetterCode.LABEL_BEFORE_EVENT:
            return code
        # Looked at before the rest is: what else is wrong shows in the same label with its times in order.
        return refusal_of_intake(name, json.dumps(message | {"labelled_at": message["event_time"]}).encode())
    return None
