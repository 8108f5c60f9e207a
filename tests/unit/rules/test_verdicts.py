"""Rules and lists over a micro-batch: who decides, what is told of it, and what a rule that fails does not stop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RuleError
from stream_app.messages.alert import Action, RuleHit
from stream_app.rules.columns import in_share
from stream_app.rules.lists import Lists
from stream_app.rules.power import DecidedBy, places_of
from stream_app.rules.rule import Rule, checked_rule
from stream_app.rules.verdicts import RuleBook
from tests.examples import examples
from tests.unit.rules.made import FEATURES, NOW_MS, batch, lists, payment, rule, rules, verdicts


def test_without_rules_and_lists_the_model_decides() -> None:
    """As it would have done."""
    actions: list[Action | None] = [None, "review", "decline"]
    found = verdicts(batch([payment()] * 3, actions=places_of(actions)))
    assert [found.action(n) for n in range(3)] == actions
    assert found.decided_by.tolist() == [DecidedBy.MODEL] * 3
    assert found.places().tolist() == []


def test_the_worst_action_of_live_rules_wins_and_all_that_hit_are_told() -> None:
    """Those in shadow are told and do nothing."""
    found = verdicts(
        batch([payment(amount=700.0), payment(amount=3.0)], actions=places_of(["review", "review"])),
        rule("amount > 500", code="large", action="step_up"),
        rule("amount > 600", code="larger", action="decline", mode="shadow"),
        rule("amount > 1", code="any"),
    )
    assert (found.action(0), found.action(1)) == ("step_up", "review")
    assert found.decided_by.tolist() == [DecidedBy.RULE, DecidedBy.RULE]
    assert [(hit.code, hit.mode, hit.action) for hit in found.rule_hits(0)] == [
        ("large", "live", "step_up"),
        ("larger", "shadow", "decline"),
        ("any", "live", "review"),
    ]
    assert [hit.code for hit in found.rule_hits(1)] == ["any"]


def test_a_suppression_hides_rules_and_model_and_no_block() -> None:
    """In shadow it hides nothing."""
    some = [payment(terminal_id="a"), payment(terminal_id="b"), payment(terminal_id="c")]
    asked = rule("terminal_id != 'c'", code="quiet", effect="suppress", action=None)
    whole = batch(some, actions=places_of(["decline"] * 3))
    found = verdicts(whole, asked, rule("amount > 0", code="any"), beside=lists(bad=("terminal", "block", ["b"])))
    assert [found.action(n) for n in range(3)] == [None, "decline", "review"]
    assert found.decided_by.tolist() == [DecidedBy.SUPPRESSION, DecidedBy.BLOCK, DecidedBy.RULE]
    assert (found.lists(0), found.lists(1)) == ((), ("bad",))
    shadow = rule("terminal_id != 'c'", code="quiet", effect="suppress", action=None, mode="shadow")
    assert verdicts(whole, shadow).action(0) == "decline"


def test_lists_decide_by_their_power_whatever_the_rules_say() -> None:
    """One that rules ask does nothing by itself; all that hold something of a payment are told."""
    beside = lists(
        vip=("card", "allow", ["card-1"]),
        stolen=("card", "final_block", ["card-9"]),
        bad=("device", "block", ["d", "e"]),
        watched=("country", "ask", ["FR"]),
    )
    some = [
        payment(device_id="d"),
        payment(card_id="card-2", device_id="d"),
        payment(card_id="card-9"),
        payment(card_id="card-3", country="FR"),
    ]
    found = verdicts(batch(some), rule("amount > 0"), beside=beside)
    assert [found.action(n) for n in range(4)] == [None, "decline", "decline", "review"]
    assert found.decided_by.tolist() == [DecidedBy.ALLOW, DecidedBy.BLOCK, DecidedBy.FINAL_BLOCK, DecidedBy.RULE]
    assert [found.lists(n) for n in range(4)] == [("vip", "bad"), ("bad",), ("stolen",), ()]
    assert found.places().tolist() == [0, 1, 2, 3]


def test_a_hit_tells_the_values_that_the_rule_saw() -> None:
    """Those of the expression and of the sentence; what is unknown is told as that."""
    asked = rule(
        "amount > 500 and card_declines_in_a_row >= 3 and not missing(event_time) and (approved or card_count_1h == 0.5)",
        sentence="{amount} at {terminal_id} after {card_declines_in_a_row} declines, at {event_time}, {{so}} {device_id} {attributes.v1} {approved}",
    )
    one = payment(amount=1234.5, approved=True, attributes={"v1": -0.25}, terminal_id="t\u0007 4111111111111111")
    found = verdicts(batch([one], [{"card_declines_in_a_row": 3}]), asked)
    values: dict[str, Any] = {
        "amount": 1234.5,
        "card_declines_in_a_row": 3.0,
        "event_time": NOW_MS,
        "approved": True,
        "card_count_1h": 0.0,
        "terminal_id": "t\u0007 4111111111111111",
        "device_id": None,
        "attributes.v1": -0.25,
    }
    text = "1,234.5 at t? REDACTED after 3 declines, at 2026-11-23 22:00 UTC, {so} unknown -0.25 yes"
    assert found.rule_hits(0) == (RuleHit("a_rule", 1, "live", "alert", "review", values, text),)


def test_a_rule_that_fails_hits_nothing_is_told_and_stops_no_other() -> None:
    """A feature that nobody computed, a list that is not there or of another kind: even where the rest of the expression would hit."""
    asked = [
        rule("card_count_30d > 1 or amount > 0", code="no_feature"),
        rule("terminal_id in @gone or amount > 0", code="no_list"),
        rule("terminal_id in @cards or amount > 0", code="other_kind"),
        rule("missing(card_count_30d)", code="missing"),
        rule("amount > 0", code="runs", sentence="{card_count_30d}"),
    ]
    found = verdicts(batch([payment()]), *asked, beside=lists(cards=("card", "ask", ["x"])))
    assert [hit.code for hit in found.rule_hits(0)] == ["runs"]
    assert found.rule_hits(0)[0].text == "unknown"
    assert {code: why.split(".")[0] for code, why in found.failed.items()} == {
        "no_feature": "card_count_30d is not computed: the scorer was bound before a rule asked for it",
        "no_list": "There is no list 'gone'",
        "other_kind": "List 'cards' holds values of card_id, not of terminal_id",
        "missing": "card_count_30d is not computed: the scorer was bound before a rule asked for it",
    }
    assert found.action(0) == "review"


def test_a_rule_looks_at_its_span_of_event_time() -> None:
    """The end is not included."""
    asked = rule("amount > 0", valid_from=NOW_MS + 1, valid_until=NOW_MS + 3)
    found = verdicts(batch([payment(event_time=NOW_MS + n) for n in range(5)]), asked)
    assert found.hits[0].tolist() == [False, True, True, False, False]


def test_a_rule_looks_at_its_share_of_the_cards() -> None:
    """Always the same, a larger share has those of a smaller one, and rules have others than each other."""
    cards = [f"card-{n}" for n in range(4_000)]
    small, large, other = in_share(cards, "a", 0.1), in_share(cards, "a", 0.5), in_share(cards, "b", 0.1)
    assert 300 < small.sum() < 500
    assert (small <= large).all()
    assert 10 < (small & other).sum() < 80
    assert in_share(cards, "a", 1.0).all()
    found = verdicts(batch([payment(card_id=card) for card in cards]), rule("amount > 0", code="a", share=0.1))
    assert found.hits[0].tolist() == small.tolist()
    assert np.flatnonzero(in_share(cards[:20], "a", 0.5)).tolist() == [
        3,
        5,
        6,
        8,
        10,
        11,
        14,
        16,
        17,
        18,
        19,
    ]  # of no process, of no version


def test_a_book_says_which_features_it_needs() -> None:
    """Those of expressions and sentences, once each; `amount` and attributes come with the payment."""
    book = RuleBook(
        rules(
            rule("card_count_1h > 1 and amount > 0 and attributes.v1 > 0", sentence="{terminal_prior_count_1d}"),
            rule("card_count_1h > 2", code="b"),
        ),
        Lists(),
    )
    assert [feature.name for feature in book.features] == ["card_count_1h", "terminal_prior_count_1d"]
    assert set(FEATURES) > {"card_count_1h"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"expression": "amont > 1"}, "Rule 'a_rule', version 1, expression, column 1: there is no 'amont'"),
        ({"action": None}, "one that alerts has an action"),
        ({"effect": "suppress"}, "one that suppresses has none"),
        ({"valid_from": NOW_MS, "valid_until": NOW_MS}, "valid_until is not after valid_from"),
        ({"sentence": "{amont}"}, "sentence: there is no 'amont'; the nearest is 'amount'"),
        ({"sentence": "{amount:.2f}"}, "{amount} stands for a value; nothing follows the name"),
        ({"sentence": "{amount!r}"}, "nothing follows the name"),
        ({"sentence": "{amount.real}"}, "there is no 'amount.real'"),
        ({"sentence": "{}"}, "{} names no value"),
        ({"sentence": "{amount"}, "its braces do not fit"),
        ({"sentence": "a\nb"}, "a control character or a line end"),
    ],
)
def test_a_rule_that_cannot_be_run_is_refused(fields: dict[str, Any], told: str) -> None:
    """Naming the rule and the place."""
    with pytest.raises(RuleError) as refused:
        checked_rule(rule(fields.pop("expression", "amount > 1"), **fields))
    assert told in str(refused.value)


@examples(60)
@given(st.lists(st.sampled_from(["alert", "suppress", "shadow"]), max_size=6), st.integers(0, 5))
def test_many_rules_decide_as_each_alone_would(effects: list[str], count: int) -> None:
    """The worst of those that hit, unless one suppresses."""
    actions: tuple[Action, ...] = ("review", "step_up", "decline")
    asked: list[Rule] = []
    for n, effect in enumerate(effects):
        fields: dict[str, Any] = {"code": f"r{n}", "mode": "shadow" if effect == "shadow" else "live", "action": actions[n % 3]}
        fields |= {"effect": "suppress", "action": None} if effect == "suppress" else {}
        asked.append(rule(f"amount > {n}", **fields))
    found = verdicts(batch([payment(amount=float(n)) for n in range(count)]), *asked)
    for place in range(count):
        hits = [one for n, one in enumerate(asked) if place > n and one.mode == "live"]
        worst = max((places_of([one.action])[0] for one in hits), default=0)
        expected = 0 if any(one.effect == "suppress" for one in hits) else worst
        assert found.actions[place] == expected
