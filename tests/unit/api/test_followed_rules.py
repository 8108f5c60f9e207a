"""An API that does not know which rules and lists are in force answers nothing that they have a say in."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from stream_app.bootstrap_api import build_api
from stream_app.errors import Unavailable
from stream_app.messages.alert import ModelReference, RuleHit
from stream_app.messages.transaction import Transaction
from stream_app.scoring.online_scoring import Answered, Decision
from stream_app.settings import Settings
from tests.unit.scoring.test_scorer import payment


def test_each_answer_is_counted_by_who_decided_whether_or_not_answers_are_published() -> None:
    """And by the rules that hit; what no release names stands under one name."""
    hit = RuleHit("large", 1, "live", "alert", "review", {}, "large")
    model = ModelReference("fake", "1")
    for topic in ("", "answers"):
        built = build_api(Settings(answers_topic=topic))
        tx = msgspec.convert(payment("a"), Transaction)
        decision = Decision(
            transaction_id="a", card_id="c1", score=0.1, raw_score=0.1, threshold=0.5, action="review", case_id=None, model=model, reasons=(),
            degraded=None, scored_at=1, decided_by="rule", rules=(hit,), features={},
        )  # fmt: skip
        built.answered(Answered(tx, decision, ()), 100)
        page = built.metrics.render()
        assert b'fraudstream_api_decided_by_total{by="rule"} 1.0' in page
        assert b'fraudstream_api_rule_hits_total{code="(other)",mode="live"} 1.0' in page


def test_an_api_that_has_not_read_rules_and_lists_is_not_ready_and_decides_nothing() -> None:
    """Neither a payment nor a vector, whose threshold a release may set; the log says why."""
    built = build_api(Settings())
    told = "Rules and lists are not read yet; the log says why."
    assert built.not_ready() == told
    with pytest.raises(Unavailable, match=told):
        asyncio.run(built.online.decide(msgspec.convert(payment("a"), Transaction)))
    with pytest.raises(Unavailable, match=told):
        built.online.predict([])
