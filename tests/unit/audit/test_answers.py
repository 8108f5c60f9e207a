"""Answers of the API beside the decisions of the stream: agreed, different and why, not decided, not asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.audit import answers
from stream_app.audit.answers import AnswerComparison
from stream_app.errors import DataError
from stream_app.messages.alert import AnsweredPayment, Score
from stream_app.messages.headers import Headers
from stream_app.messages.transaction import PaymentKey
from tests.contract.schemas import SCHEMAS

AT, RULES = 1_795_471_200_004, (("source.rules", b"a:2,b:3"),)


def answer(id_: str, **changes: Any) -> AnsweredPayment:
    """An answer, that nothing is to be done."""
    return msgspec.convert(SCHEMAS["answer"]["examples"][1] | {"transaction_id": id_} | changes, AnsweredPayment)


def score(id_: str, **changes: Any) -> Score:
    """The stream's decision, the same."""
    return msgspec.convert(SCHEMAS["score"]["examples"][1] | {"transaction_id": id_} | changes, Score)


@pytest.mark.parametrize(
    ("why", "changes", "headers"),
    [
        ("model", {"model": {"name": "fraudstream", "version": "8"}, "features": {"amount": 1.0}}, RULES),
        ("model", {"threshold": 0.01}, RULES),
        ("rules", {"decided_by": "block", "lists": ["bad"], "features": {"amount": 1.0}}, (("source.rules", b"a:2,b:4"),)),
        ("rules", {}, (("source.rules", b"a:3,b:3"),)),
        ("history", {"features": {"amount": 1.0}}, (("source.rules", b"a:3,b:3"),)),
        ("history", {"features": {"amount": 1.0}}, RULES),
        ("degraded", {"degraded": "windows are not full"}, RULES),
        ("unexplained", {}, RULES),
    ],
)
def test_why_the_stream_decided_otherwise_is_the_first_cause_that_both_decisions_show(
    why: str, changes: dict[str, Any], headers: Headers
) -> None:
    """Another model, other rules or lists, payments counted in between, state that was not whole; or nothing of these."""
    found = AnswerComparison()
    found.answer(answer("a"), RULES)
    found.score(score("a", action="decline", **changes), headers)
    assert (found.agreed, found.different) == (0, {why: 1})
    assert [(one.payment.transaction_id, one.why) for one in found.examples] == [("a", why)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(0, 3))), st.lists(st.sampled_from("abcd"), unique=True))
def test_each_answer_is_counted_once_under_one_word(asked: list[tuple[str, bool, int]], decided: list[str]) -> None:
    """Asked about again, a payment has several; what stands twice in the topic is one; the oracle is a set."""
    found = AnswerComparison(until_ms=AT + 3)
    for id_, alerts, later in asked:
        found.answer(answer(id_, action="review" if alerts else None, scored_at=AT + later), RULES)
    for id_ in decided:
        found.score(score(id_, action="review", scored_at=AT + 2 + 2 * (id_ == "d")), RULES)
    every = set(asked)
    met = {one for one in every if one[0] in decided}
    newest = max((2 + 2 * (id_ == "d") for id_ in decided), default=-AT)
    left = {
        "not decided": [one for one in every - met if one[2] <= newest],
        "not decided yet": [one for one in every - met if one[2] > newest],
    }
    assert (found.answers, found.agreed) == (len(every), sum(alerts for _, alerts, _ in met))
    assert found.different.total() == len(met) - found.agreed
    assert found.unmatched() == {name: len(those) for name, those in left.items() if those}
    assert found.unasked == len({id_ for id_ in decided if id_ != "d"} - {id_ for id_, *_ in every})


def test_a_transactions_id_is_unique_on_its_card_only() -> None:
    """Another card's payment of the same id is another payment."""
    found = AnswerComparison()
    found.answer(answer("a"), RULES)
    found.score(score("a", card_id="other"), RULES)
    assert (found.agreed, found.unasked, found.unmatched()) == (0, 1, {"not decided": 1})
    assert PaymentKey("other", "a") != PaymentKey.of(answer("a"))


def test_more_answers_than_are_compared_at_once_are_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded in answers."""
    monkeypatch.setattr(answers, "MOST_ANSWERS", 2)
    found = AnswerComparison()
    found.answer(answer("a"), RULES)
    found.answer(answer("b"), RULES)
    with pytest.raises(DataError, match=r"more than 2 answers in that time\. Narrow it: --since and --until"):
        found.answer(answer("c"), RULES)
