"""Decisions by rules and lists, taken again by those of their moment; by any others they differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_app.audit.decisions import DecisionReader, ServedDecision
from stream_app.audit.history import PartitionHistory
from stream_app.audit.rulings import MADE_ANEW, OUT_OF_REACH, RulesOfThen, Rulings, beside_models
from stream_app.audit.verification import VerificationReport
from stream_app.messages.headers import Headers
from stream_app.messages.money import Money
from stream_app.messages.transaction import Transaction
from stream_app.rules.lists import CardList, ListedValue, ListEntries, ListRemoval
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import ReleasePolicy, Rule, release_of
from stream_app.rules.rules_log import InForce, RulesLog
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.intake import Decoded
from stream_app.scoring.provenance import RulesRead
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from tests.examples import examples
from tests.unit.rules.made import rule
from tests.unit.scoring.test_scorer import NOW, FakeClock, FakeModel, FakeRecord, Till, payment

LARGE, OFTEN = rule("amount > 15", code="large"), rule("card_prior_count_1h >= 2", code="often", action="step_up", sentence="{card_id}")
QUIET = rule("terminal_id in @watched", code="quiet", effect="suppress", action=None, mode="shadow")
RELEASES: list[tuple[tuple[Rule, ...], ReleasePolicy | None]] = [
    ((), None),
    ((LARGE,), None),
    ((LARGE, OFTEN, QUIET), None),
    ((OFTEN,), ReleasePolicy(0.5, 0.5, 0.75)),
]
BLOCK, WATCHED = CardList("bad", "terminal", "block", "ann", "tests"), CardList("watched", "terminal", "ask", "ann", "tests")


class Scored(NamedTuple):
    """A record of the topic of scores."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers


@dataclass
class Office:
    """Topics of rules and lists that change, and payments that are decided meanwhile."""

    till: Till = field(default_factory=Till)
    rules: RulesLog = field(default_factory=lambda: RulesLog(1_000))
    lists: ListsLog = field(default_factory=ListsLog)
    list_records: list[FakeRecord] = field(default_factory=list)
    payments: list[Transaction] = field(default_factory=list)
    decisions: list[ServedDecision] = field(default_factory=list)
    reader: DecisionReader = field(default_factory=DecisionReader)

    def release(self, rules: tuple[Rule, ...], policy: ReleasePolicy | None = None) -> None:
        """Put rules, and a release of them."""
        before = self.rules.in_force.name if self.rules.in_force else None
        for record in (*rules, release_of(rules, "ann", "for tests", before, policy)):
            assert self.rules.apply(self.rules.offset, msgspec.json.encode(record), 0) is None

    def list(self, change: Any) -> None:
        """Change a list; what is refused stands in the topic too."""
        record = FakeRecord(self.lists.offset, b"", msgspec.json.encode(change), 0)
        self.list_records.append(record)
        self.lists.apply(record.offset, record.value, record.timestamp)

    def pay(self, *payments: dict[str, Any]) -> None:
        """Decide, by what is in force now."""
        now, first = self.rules.in_force, self.till.offset
        read = RulesRead("id-r", self.rules.offset, "id-l", self.lists.offset)
        in_force = RulesInForce(now.rules if now else (), self.lists.lists, now.policy if now else None, read.header)
        self.till.scorer = Scorer(FakeModel(), Money("EUR"), Output("alerts", "scores"), FakeClock(), rules=in_force)
        self.payments += [msgspec.convert(p, Transaction) for p in payments]
        for message in self.till.take(*payments).messages:
            if message.topic == "scores":
                seen = (("source.cursor", b"a:%d,b:0" % first), ("source.labels", b"0"), ("source.seen", b"%d:0" % first))
                found = self.reader.read(Scored(0, message.key, message.value, 0, (*message.headers, *seen)))
                assert found is not None
                self.decisions.append(found)

    def again(self, then: RulesOfThen | None = None) -> VerificationReport:
        """All decisions taken again."""
        offsets = list(range(100, 100 + len(self.payments)))
        decoded = Decoded(self.payments, [], offsets, [NOW] * len(offsets), [])
        history = PartitionHistory.of(decoded, Decoded.of_none(), Money("EUR"))
        then = then or RulesOfThen(self.rules, ListsLog(), self.lists.offset, ("id-r", "id-l"))
        rulings = Rulings(self.decisions, [history], {("fake", "7"): FakeModel.metadata}, then, 100)
        rulings.read(self.list_records)
        return rulings.finish()


type Step = tuple[Literal["release", "list", "pay"], Any]
TERMINALS = st.sampled_from(["t1", "t2", "t3"])
CHANGES = st.one_of(
    st.sampled_from([BLOCK, WATCHED]),
    st.builds(lambda name, t: ListEntries(name, (ListedValue(t),), "ann", "x"), st.sampled_from(["bad", "watched"]), TERMINALS),
    st.builds(lambda name, t: ListRemoval(name, (t,), "ann", "x"), st.sampled_from(["bad", "watched"]), TERMINALS),
)
PAID = st.lists(st.tuples(st.sampled_from([10.0, 20.0, 300.0, 600.0]), TERMINALS), min_size=1, max_size=4)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("release"), st.sampled_from(RELEASES)),
        st.tuples(st.just("list"), CHANGES),
        st.tuples(st.just("pay"), PAID),
    ),
    max_size=16,
)


@examples(60)
@given(STEPS)
def test_whatever_changed_between_two_decisions_each_is_the_same_again(steps: list[Step]) -> None:
    """Releases, thresholds, lists, records that are refused: in any order, amid payments."""
    office = Office()
    for what, of in steps:
        if what == "release":
            office.release(*of)
        elif what == "list":
            office.list(of)
        else:
            office.pay(*(payment(f"p{len(office.payments) + n}", amount, terminal_id=t) for n, (amount, t) in enumerate(of)))
    report = office.again()
    assert (report.rulings, report.ruling_differences, report.first_ruling) == (len(office.decisions), 0, "")
    assert report.apart == {}
    assert beside_models(office.decisions) is not None


def changed() -> Office:
    """Decisions amid a release, a list, and going back."""
    office = Office()
    office.release((LARGE,))
    office.pay(payment("a", 20))
    office.list(BLOCK)
    office.list(ListEntries("bad", (ListedValue("t9"),), "ann", "x"))
    office.pay(payment("b", 10, terminal_id="t9"))
    office.list(ListRemoval("bad", ("t9",), "ann", "x"))
    office.release(())
    office.pay(payment("c", 20))
    return office


class OfToday(RulesOfThen):
    """The control: the rules of now in the place of those of the moment."""

    def release(self, offset: int) -> InForce | None:
        """In force now."""
        assert offset >= -1
        return None if self.rules is None else self.rules.in_force


def test_the_rules_of_today_and_the_lists_of_today_give_other_decisions_which_are_told() -> None:
    """So a comparison can fail: the rule that alerted then is gone, the terminal is no longer listed."""
    office = changed()
    assert office.again().ruling_differences == 0
    today = office.again(OfToday(office.rules, ListsLog(), office.lists.offset, ("id-r", "id-l")))
    assert today.ruling_differences == 1
    assert "transaction a of card c1" in today.first_ruling
    assert "it is no alert by model" in today.first_ruling
    assert "served was threshold 0.25, review by rule, rules that hit: large v1 (live) {'amount': 20.0}" in today.first_ruling
    office.list_records = []
    without_lists = office.again()
    assert without_lists.ruling_differences == 1
    assert "transaction b of card c1" in without_lists.first_ruling
    assert not without_lists.equal


def test_a_decision_that_was_changed_in_the_topic_is_found() -> None:
    """Its action, who decided, what a rule saw, or the threshold."""
    forgeries: dict[str, Any] = {"action": None, "decided_by": "model", "rules": (), "lists": ("bad",)}
    for name, forged in forgeries.items():
        office = changed()
        first = office.decisions[0]
        office.decisions[0] = _with(first, ruling=first.ruling._replace(**{name: forged}))
        assert office.again().ruling_differences == 1
    office = Office()
    office.release((), ReleasePolicy(0.5, 0.5, 0.75))
    office.pay(payment("a", 10))
    office.decisions[0] = _with(office.decisions[0], threshold=0.25)
    assert office.again().ruling_differences == 1


def _with(decision: ServedDecision, **changes: Any) -> ServedDecision:
    fields = {name: getattr(decision, name) for name in ServedDecision.__dataclass_fields__}
    return ServedDecision(**fields | changes)


def test_decisions_by_what_is_out_of_reach_are_counted_apart_and_never_passed_over() -> None:
    """Topics made anew, a beginning that is gone, an end that was cut; those by what is known are compared."""
    office = changed()
    known = office.rules, ListsLog(), office.lists.offset
    for then, why in (
        (RulesOfThen(*known, ids=("id-r", "other")), MADE_ANEW),
        (RulesOfThen(*known, ids=("other", "id-l")), MADE_ANEW),
        (RulesOfThen(None, ListsLog(), office.lists.offset, ("id-r", "id-l")), OUT_OF_REACH),
        (RulesOfThen(office.rules, None, office.lists.offset, ("id-r", "id-l")), OUT_OF_REACH),
    ):
        report = office.again(then)
        assert (report.rulings, report.apart) == (0, {why: 3})
    short = RulesLog(1)
    before = changed().rules
    for record in [*before.records(0)]:
        short.restore(record)
    short.offset = office.rules.offset
    short._known_from = office.rules.offset
    report = office.again(RulesOfThen(short, ListsLog(), office.lists.offset, ("id-r", "id-l")))
    assert (report.rulings, report.ruling_differences, report.apart) == (1, 0, {OUT_OF_REACH: 2})


def test_where_nobody_read_rules_the_model_decided_and_nothing_else_passes() -> None:
    """Decisions of before, and of a process whose topics were not there."""
    office = changed()
    provenance = office.decisions[2].provenance
    assert provenance is not None
    for read in (None, RulesRead("", 0, "", 0)):
        office.decisions = [
            _with(d, provenance=type(provenance)(provenance.start, 0, provenance.seen, rules=read)) for d in office.decisions
        ]
        report = office.again()
        assert (report.rulings, report.ruling_differences, report.apart) == (3, 2, {})
