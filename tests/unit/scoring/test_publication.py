"""A decision as a value, and as it is published: the same fields, written once."""

from __future__ import annotations

import asyncio
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.alert import Alert, Score
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.already_published import PublishedDecision, read_decision
from stream_app.scoring.decision import Verdict
from stream_app.scoring.intake import decode_all, merge
from stream_app.scoring.online_scoring import Decision
from tests.examples import examples
from tests.unit.scoring.test_challenger import Ring
from tests.unit.scoring.test_scorer import HOUR, Till, alerts, payment, scores

PAYMENTS = st.lists(
    st.tuples(st.sampled_from(["c1", "c2", "c3"]), st.sampled_from([10.0, 251.0, 400.0, 950.0]), st.sampled_from(["purchase", "refund"])),
    min_size=1,
    max_size=8,
)


@examples(15)
@given(PAYMENTS, st.sampled_from([0.0, 0.5, 1.0]))
def test_decisions_as_values_are_those_that_a_worker_publishes(payments: list[tuple[str, float, str]], share: float) -> None:
    """Verdict and features of each payment, whichever model decides; the state that was read is the same."""
    batch = [payment(f"t{n}", amount, n * HOUR, card_id=card, type=kind) for n, (card, amount, kind) in enumerate(payments)]
    asked, worker = Ring(share=share), Ring(share=share)
    decoded = decode_all(asked._records(tuple(batch)), Decoder(Transaction, IntakeRules()), None)
    intake = merge(decoded, decode_all([], Decoder(Label, IntakeRules()), None), asked.money)
    decided = asked.scorer.decisions(intake, asyncio.run(asked.state.read(intake.ids)))
    published = worker.take(*batch)
    assert [(decided.transaction(p).transaction_id, verdict_of(decided.verdict(p)), decided.features(p)) for p in range(len(decided))] == [
        (score.transaction_id, verdict_of(score), score.features) for score in scores(published)
    ]
    assert [decided.cases[p].alert_id for p in decided.cases] == [alert.alert_id for alert in alerts(published)]
    assert {**decided.counts(0), "hits_unjudged": 0} == published.counts


def verdict_of(of: Verdict | Score) -> dict[str, Any]:
    """The fields of a verdict."""
    return {name: getattr(of, name) for name in Verdict.__struct_fields__}


def test_alerts_and_scores_hold_every_field_of_a_verdict() -> None:
    """They are read back as one; a field that one of them lacked would be missing after a takeover only."""
    assert set(Verdict.__struct_fields__) <= set(Alert.__struct_fields__) & set(Score.__struct_fields__)
    assert PublishedDecision.__struct_fields__ == Verdict.__struct_fields__


@pytest.mark.parametrize("name", Verdict.__struct_fields__)
def test_what_is_read_back_is_held_to_the_bounds_of_a_score(name: str) -> None:
    """Anybody may write to the topic of scores: a field without bounds would stand, and be published again."""
    assert get_type_hints(PublishedDecision, include_extras=True)[name] == get_type_hints(Score, include_extras=True)[name]


def test_a_verdict_beyond_the_bounds_is_none() -> None:
    """As it is published, and with a score of 7."""
    (message,) = [m for m in Ring().take(payment("a", 100)).messages if m.topic == "scores"]
    fields = msgspec.json.decode(message.value or b"")
    assert read_decision(msgspec.json.encode(fields)) is not None
    assert read_decision(msgspec.json.encode(fields | {"score": 7.0})) is None


def test_fields_are_written_in_their_order() -> None:
    """Readers see the same text from version to version: the payment, the decision, what belongs to this message alone."""
    payment_fields = ("transaction_id", "event_time", "card_id", "terminal_id", "amount", "currency", "billing_amount", "billing_currency", "type",
        "approved", "merchant_id", "mcc", "country", "channel", "latitude", "longitude", "device_id", "ip", "attributes")  # fmt: skip
    decision = ("score", "raw_score", "threshold", "model", "reasons", "degraded", "source", "scored_at", "decided_by", "rules", "lists")
    assert Alert.__struct_fields__ == (*payment_fields, *decision, "alert_id", "case_id", "action")
    assert Score.__struct_fields__ == (*payment_fields, *decision, "case_id", "action", "features", "sequence", "beside")
    assert Decision.__struct_fields__ == ("transaction_id", "card_id", "score", "raw_score", "threshold", "action", "case_id", "model", "reasons",
        "degraded", "scored_at", "decided_by", "rules", "lists", "features")  # fmt: skip


@pytest.mark.parametrize(
    ("trace", "kept"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        (b"x" * 257, False),
        (b"\xff", False),
        (b"", False),
        (None, False),
    ],
)
def test_an_alert_belongs_to_the_trace_of_its_payment(trace: bytes | None, *, kept: bool) -> None:
    """The header `traceparent` of W3C goes along, where it can be one; other headers of the producer do not."""
    till = Till(headers=(("traceparent", trace), ("source.offset", b"9"), ("mine", b"x")))
    (alert,) = [m for m in till.take(payment("t1", 900)).messages if m.topic == "alerts"]
    assert dict(alert.headers).get("traceparent") == (trace if kept else None)
    assert [name for name, _ in alert.headers if name != "traceparent"] == ["source.offset", "source.timestamp"]
    assert dict(alert.headers)["source.offset"] == b"100"
