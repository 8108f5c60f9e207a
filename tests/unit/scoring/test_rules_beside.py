"""Rules and lists beside the model, in the scorer: what is decided, what is told of it, and what stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RuleError
from stream_app.features.definitions import Feature
from stream_app.messages.alert import Reason
from stream_app.messages.money import Money, Rates
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists import Lists
from stream_app.rules.rule import ReleasePolicy, Rule
from stream_app.rules.verdicts import RuleBook, Verdicts
from stream_app.scoring.already_published import AlreadyPublished, read_decision
from stream_app.scoring.bound_model import Challenger
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.observation import EVERY_RULE
from stream_app.scoring.provenance import SOURCE_RULES, RulesRead, read_provenance, rules_read
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Decided, Scorer
from tests.examples import examples
from tests.unit.rules.made import lists, rule, rules
from tests.unit.scoring.test_challenger import Rival
from tests.unit.scoring.test_scorer import HOUR, STREAM, FakeClock, FakeModel, Till, alerts, counts, payment, scores, validate

READ = RulesRead("id-r", 7, "id-l", 9)


def till(*asked: Rule, beside: Lists | None = None, policy: ReleasePolicy | None = None, **given: Any) -> Till:
    """A till with rules, and lists beside them."""
    return Till(rules=RulesInForce(tuple(rules(*asked)), beside or Lists(), policy, READ.header), **given)


def headers_of(decided: Decided, topic: str) -> list[dict[str, bytes]]:
    """Those of each message of a topic."""
    return [dict(m.headers) for m in decided.messages if m.topic == topic]


def test_without_rules_nothing_is_asked_and_messages_say_that_the_model_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty book is never opened, and there is no header; one whose lists are all empty, or are only asked by rules, neither."""
    monkeypatch.setattr(RuleBook, "verdicts", lambda *_: pytest.fail("asked"))
    alone, idle = Till(), till(beside=lists(empty=("card", "block", []), asked=("card", "ask", ["c1"])))
    batch = payment("a", 900), payment("b", 10)
    decided, beside = alone.take(*batch), idle.take(*batch)
    assert [m.value for m in decided.messages] == [m.value for m in beside.messages]
    assert [(s.decided_by, s.rules, s.lists) for s in scores(decided)] == [("model", (), ())] * 2
    assert SOURCE_RULES not in headers_of(decided, "scores")[0]
    assert headers_of(beside, "scores")[0][SOURCE_RULES] == READ.header()
    assert decided.decisions is not None
    assert decided.decisions.rules is None


def test_a_rule_alerts_what_the_model_does_not_and_says_so_first() -> None:
    """By a feature that no model uses, which stands in the score behind the model's; the hit is in alert and score; the model's own reasons are
    those of its own alerts alone.
    """
    asked = rule("card_prior_count_1h >= 1", sentence="{card_prior_count_1h} before, {amount}", action="step_up", code="again")
    shadow = rule("amount > 5", mode="shadow", action="decline", code="quiet")
    decided = till(asked, shadow).take(payment("a", 10), payment("b", 20), payment("c", 900))
    assert [(a.transaction_id, a.action, a.decided_by) for a in alerts(decided)] == [("b", "step_up", "rule"), ("c", "step_up", "rule")]
    told = {s.transaction_id: s for s in scores(decided)}
    assert [told[name].features["card_prior_count_1h"] for name in "abc"] == [0, 1, 2]
    assert list(told["a"].features) == ["amount", "card_count_1d", "card_mean_amount_1d", "card_prior_count_1h"]
    assert (told["a"].action, told["a"].decided_by, [hit.code for hit in told["a"].rules]) == (None, "model", ["quiet"])
    b, c = alerts(decided)
    assert [(hit.code, hit.mode, hit.values, hit.text) for hit in b.rules] == [
        ("again", "live", {"card_prior_count_1h": 1, "amount": 20}, "1 before, 20"),
        ("quiet", "shadow", {"amount": 20}, "It hit."),
    ]
    assert b.reasons == (Reason("RULE", "again", 1.0, None, 0.0, "1 before, 20"),)
    assert [reason.code for reason in c.reasons] == ["RULE", "AMOUNT"]
    assert (b.case_id, told["b"].case_id, told["b"].rules) == (b.alert_id, b.alert_id, b.rules)
    for message in decided.messages:
        validate(message, f"{message.topic[:-1]}.v1.json")
    assert decided.decisions is not None
    assert decided.decisions.rules is not None
    assert decided.decisions.rules.hits == {("again", "live"): 2, ("quiet", "shadow"): 3}
    assert decided.decisions.rules.decided == {"model": 1, "rule": 2}
    assert counts(decided)["alerts"] == 2


def test_what_rules_hit_is_noted_alerted_or_not_and_its_money_is_counted() -> None:
    """So that labels judge rules in shadow too; a payment that no rule hits and nobody alerts leaves no note."""
    live, shadow = rule("amount > 15", code="large"), rule("amount > 5", mode="shadow", code="quiet")
    decided = till(live, shadow).take(payment("a", 10), payment("b", 20), payment("c", 2), payment("d", 900))
    assert [(n.transaction_id, n.minor, n.alerted, n.live, n.shadow) for n in decided.noted] == [
        ("a", 1000, False, (), ("quiet",)),
        ("b", 2000, True, ("large",), ("quiet",)),
        ("d", 90000, True, ("large",), ("quiet",)),
    ]
    assert decided.counts["hits_unjudged"] == 0
    assert decided.decisions is not None
    assert decided.decisions.rules is not None
    assert decided.decisions.rules.money == {("large", "live"): 920.0, ("quiet", "shadow"): 930.0}


def test_a_list_blocks_a_terminal_and_a_suppression_hides_the_models_alert() -> None:
    """The list is named, and is the reason; what is suppressed is no alert, and is told in the score."""
    beside = lists(bad=("terminal", "block", ["t9"]), vip=("card", "allow", ["c7"]))
    quiet = rule("amount > 100", effect="suppress", action=None, code="quiet")
    decided = till(quiet, beside=beside).take(
        payment("a", 900), payment("b", 900, terminal_id="t9"), payment("c", 900, terminal_id="t9", card_id="c7"), payment("d", 10)
    )
    (alert,) = alerts(decided)
    assert (alert.transaction_id, alert.action, alert.decided_by, alert.lists) == ("b", "decline", "block", ("bad",))
    assert alert.reasons[0].text == "Terminal t9 is on the list bad."
    assert [(s.decided_by, s.action, s.lists) for s in scores(decided)] == [
        ("suppression", None, ()),
        ("block", "decline", ("bad",)),
        ("allow", None, ("bad", "vip")),
        ("model", None, ()),
    ]


def test_the_releases_threshold_and_bands_stand_in_place_of_the_models_and_the_settings() -> None:
    """Of champion and challenger alike, with or without a rule."""
    policy = ReleasePolicy(threshold=0.625, step_up=0.75, decline=0.875)
    for asked in ((), (rule("amount > 100000"),)):
        decided = till(*asked, policy=policy, threshold=0.1).take(
            payment("a", 620), payment("b", 625), payment("c", 750), payment("d", 875)
        )
        assert [(s.action, s.threshold) for s in scores(decided)] == [(a, 0.625) for a in (None, "review", "step_up", "decline")]
    scorer = Scorer(
        FakeModel(), Till().money, Output("a", ""), FakeClock(), None, Challenger(Rival(), 1.0), RulesInForce((), Lists(), policy)
    )
    assert scorer.policy.threshold == 0.625


@examples(40)
@given(st.lists(st.floats(0, 1, width=32), max_size=20), st.tuples(*[st.floats(0, 1)] * 3))
def test_actions_of_many_scores_are_those_of_each(given_scores: list[float], bounds: tuple[float, float, float]) -> None:
    """By place in `ACTIONS`, at and around every bound."""
    policy = till(policy=ReleasePolicy(*sorted(bounds))).scorer.policy
    several = np.array([*given_scores, *map(np.float32, bounds)], dtype=np.float32)
    assert [(None, "review", "step_up", "decline")[n] for n in policy.actions(several)] == [
        policy.action(score) for score in several.astype(np.float64).tolist()
    ]


def test_a_rule_that_cannot_be_run_hits_nothing_is_told_and_the_others_go_on() -> None:
    """A list that is not there: its rule is as if it were not."""
    failed: list[Mapping[str, str]] = []
    in_force = RulesInForce(
        tuple(rules(rule("card_id in @gone or amount > 0", code="torn"), rule("amount > 15", code="runs"))), failed=failed.append
    )
    decided = Till(rules=in_force).take(payment("a", 10), payment("b", 20))
    assert [(a.transaction_id, [hit.code for hit in a.rules]) for a in alerts(decided)] == [("b", ["runs"])]
    assert [list(told) for told in failed] == [["torn"]]


def test_where_asking_breaks_as_a_whole_the_model_decides_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No payment goes to the dead letters for a fault of rules."""

    def broken(_book: RuleBook, _batch: ScoredBatch) -> Verdicts:
        raise RuleError("torn")

    monkeypatch.setattr(RuleBook, "verdicts", broken)
    failed: dict[str, str] = {}
    decided = Till(rules=RulesInForce(tuple(rules(rule("amount > 0"))), failed=failed.update)).take(payment("a", 950), payment("b", 10))
    assert [s.action for s in scores(decided)] == ["decline", None]
    assert list(failed) == [EVERY_RULE]


def test_what_stands_is_copied_with_its_rules_and_how_far_they_were_read() -> None:
    """An alert by a rule stands, its score is missing: another release, which would decide otherwise, publishes that very decision."""
    before = till(rule("amount > 15", sentence="{amount} then", code="then", action="step_up"))
    (alert,) = [m for m in before.take(payment("a", 20)).messages if m.topic == "alerts"]
    decision = read_decision(alert.value)
    assert decision is not None
    published = AlreadyPublished()
    published.add_alert(100, decision, dict(alert.headers)[SOURCE_RULES])
    now = till(rule("amount > 0", code="now", effect="suppress", action=None))
    now.scorer._rules._in_force = RulesInForce(read=RulesRead("id-r", 70, "id-l", 90).header)
    decided = now.take(payment("a", 20), payment("b", 30), published=published)
    a, b = scores(decided)
    assert (a.action, a.decided_by, [hit.text for hit in a.rules], a.reasons) == ("step_up", "rule", ["20 then"], decision.reasons)
    assert (b.action, b.decided_by) == (None, "suppression")
    assert alerts(decided) == []
    assert [rules_read(list(headers.items())) for headers in headers_of(decided, "scores")] == [READ, RulesRead("id-r", 70, "id-l", 90)]
    assert decided.decisions is not None
    assert decided.decisions.rules is not None
    assert decided.decisions.rules.hits == {("now", "live"): 1}


def test_how_far_rules_were_read_is_part_of_the_provenance() -> None:
    """As it was written; what is no such header says nothing, and is none to a reader of before."""
    assert rules_read([(SOURCE_RULES, READ.header())]) == READ
    for torn in (b"", b"x", b"a:1", b"a:1,b:x", b"a:1,b:2,c:3", b"a:-1,b:2"):
        assert rules_read([(SOURCE_RULES, torn)]) is None
    of_score = [("source.cursor", b"a:1,b:2"), ("source.labels", b"2"), ("source.seen", b"1:2"), (SOURCE_RULES, READ.header())]
    found = read_provenance(of_score)
    assert found is not None
    assert found.rules == READ
    assert read_provenance(of_score[:3]) is not None


@examples(30)
@given(STREAM(), st.integers(0, 12))
def test_decisions_by_rules_do_not_depend_on_where_a_batch_ends(stream: list[dict[str, Any]], cut: int) -> None:
    """The same bytes from one batch as from two, with rules that ask for state, and lists."""

    def made() -> Till:
        asked = rule("card_count_1h >= 2 and amount > 5", code="often"), rule("hour(event_time) < 3", code="night", mode="shadow")
        return till(*asked, beside=lists(bad=("card", "block", ["c2"])))

    whole, parts = made(), made()
    first = whole.take(*stream).messages
    assert first == [*parts.take(*stream[:cut]).messages, *parts.take(*stream[cut:]).messages]


def test_features_of_rules_change_no_vector_of_the_model() -> None:
    """Scores and reasons are the same to the bit, whatever else is computed beside them."""
    asked = rule("card_speed_kmh > 1 and terminal_risk_30d_delay_7d > 2", mode="shadow")
    batch = [payment(str(n), 100.0 * n, n * HOUR) for n in range(1, 9)]
    alone, beside = Till().take(*batch), till(asked).take(*batch)
    names = [f.name for f in (Feature("amount"), Feature("count", "card", 86_400), Feature("mean_amount", "card", 86_400))]
    for one, other in zip(scores(alone), scores(beside), strict=True):
        assert {name: other.features[name] for name in names} == one.features
        assert msgspec.structs.replace(other, features=one.features) == one


def test_money_without_a_rate_is_unknown_to_a_rule() -> None:
    """Neither below nor above anything; foreign money with a rate is in the base currency, exact."""
    money = Money("EUR", Rates("v1", "EUR", {"USD": 0.5}))
    asked = rule("amount < 50", code="less"), rule("amount >= 50", code="more"), rule("missing(amount)", code="none")
    decided = till(*asked, money=money).take(payment("a", 10_000, currency="JPY"), payment("b", 100, currency="USD"))
    assert [[hit.code for hit in score.rules] for score in scores(decided)] == [["none"], ["more"]]
