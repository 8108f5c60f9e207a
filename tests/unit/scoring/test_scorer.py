"""The use case with a small model and the store in memory: records in, decisions and state out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stream_app.features.aggregations import DAY_S
from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature
from stream_app.features.entities import ALL, KEPT_BY_DEFAULT, Entity
from stream_app.features.model_metadata import Bands, ModelMetadata, ParityVectors
from stream_app.messages.alert import Alert, ModelReference, Score, alert_id_of
from stream_app.messages.headers import Headers
from stream_app.messages.money import Money, Rates
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.scoring.already_published import AlreadyPublished
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.intake import Decoded, decode_all, merge
from stream_app.scoring.ports import Model, Scores
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Decided, Scorer
from tests.examples import examples
from tests.memory_store import MemoryStore

START, SECOND, HOUR, DAY = 1_522_540_800_000, 1000, 3_600_000, 86_400_000
NOW = START + 90 * DAY
FEATURES = (Feature("amount"), Feature("count", "card", DAY_S), Feature("mean_amount", "card", DAY_S))
SCHEMAS = Path(__file__).parents[3] / "schemas"
FULL = {
    "billing_amount": 10.0, "billing_currency": "EUR", "approved": True, "merchant_id": "m", "mcc": "5411", "country": "FR", "channel": "chip",
    "latitude": 48.8, "longitude": 2.3, "device_id": "d", "ip": "203.0.113.7", "attributes": {"v1": -1.5},
}  # fmt: skip


class FakeModel:
    """The score is the amount over 1,000, at most 1: 300.00 scores 0.3."""

    reference = ModelReference("fake", "7")
    metadata = ModelMetadata(
        features=tuple((f.name, f.hash) for f in FEATURES),
        threshold=0.25,
        bands=Bands(0.5, 0.9),
        parity=ParityVectors(((0.0, 0.0, 0.0),), (0.0,)),
        trained_at_ms=START,
        needs={"country": 0.5},
    )

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`; the raw score goes on where the probability ends."""
        raw: Vectors = vectors[:, 0] / np.float32(1000)
        return Scores(np.minimum(raw, np.float32(1)), raw)

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`: it is all the amount's."""
        return np.asarray(vectors * np.array([0.001, 0, 0]), dtype=np.float64)


@dataclass
class FakeClock:
    """It is `now` until somebody says otherwise; everything takes no time."""

    now: int = NOW

    def now_ms(self) -> int:
        """See `ports.Clock`."""
        return self.now

    def elapsed_s(self) -> float:
        """See `ports.Clock`."""
        return 0.0


@dataclass(frozen=True)
class FakeRecord:
    """A Kafka record."""

    offset: int
    key: bytes
    value: bytes
    timestamp: int = NOW
    headers: Headers = ()


@dataclass
class Till:
    """A card's payments go in here, batch by batch; state is kept as the worker keeps it."""

    scores_topic: str = "scores"
    money: Money = field(default_factory=lambda: Money("EUR"))
    threshold: float | None = None
    offset: int = 100
    model: Model = field(default_factory=FakeModel)
    headers: Headers = ()
    rules: RulesInForce | None = None

    def __post_init__(self) -> None:
        """Take partition 0 over."""
        output = Output("alerts", self.scores_topic)
        self.scorer = Scorer(self.model, self.money, output, FakeClock(), self.threshold, rules=self.rules)
        store = MemoryStore()
        store.hold([0], 1)
        self.state, cursor = asyncio.run(store.take_over(0))
        self.cursor = msgspec.structs.replace(cursor, begun=True)
        asyncio.run(self.state.begin(self.cursor))

    def take(
        self,
        *payments: dict[str, Any],
        labels: tuple[dict[str, Any], ...] = (),
        degraded: str | None = None,
        published: AlreadyPublished | None = None,
    ) -> Decided:
        """One micro-batch through decoding, reading, deciding and writing."""
        rules = IntakeRules()
        decoded = decode_all(self._records(payments), Decoder(Transaction, rules), None)
        labelled = decode_all(self._records(labels), Decoder(Label, rules), None)
        assert not decoded.refused + labelled.refused
        intake = merge(decoded, labelled, self.money)
        work = asyncio.run(self.state.read(intake.ids))
        work = replace(work, seen=(replace(work.seen[0], degraded=degraded),))
        decided = self.scorer.decide(intake, work, ("transactions", 0), published)
        asyncio.run(self.state.write(self.state.pack(work, self.cursor.position), self.cursor))
        return decided

    def _records(self, messages: tuple[dict[str, Any], ...]) -> list[FakeRecord]:
        records = [
            FakeRecord(self.offset + i, m["card_id"].encode(), msgspec.json.encode(m), headers=self.headers) for i, m in enumerate(messages)
        ]
        self.offset += len(records)
        return records


def payment(id_: str, amount: float = 10.0, at: int = 0, **more: Any) -> dict[str, Any]:
    """A payment, `at` ms after the start."""
    base = {"transaction_id": id_, "event_time": START + at, "card_id": "c1", "terminal_id": "t1", "amount": amount, "currency": "EUR"}
    return {**base, **more}


def alerts(decided: Decided) -> list[Alert]:
    """The alerts, decoded as their type."""
    return [msgspec.json.decode(m.value or b"", type=Alert) for m in decided.messages if m.topic == "alerts"]


def scores(decided: Decided) -> list[Score]:
    """The decisions, decoded as their type."""
    return [msgspec.json.decode(m.value or b"", type=Score) for m in decided.messages if m.topic == "scores"]


def counts(decided: Decided) -> dict[str, int]:
    """Only what happened."""
    return {what: n for what, n in decided.counts.items() if n}


def validate(message: Outgoing, schema: str) -> None:
    """The message is what its JSON Schema says."""
    described = json.loads((SCHEMAS / schema).read_text(encoding="utf-8"))
    Draft202012Validator(described).validate(json.loads(message.value or b""))


def test_a_payment_at_or_above_the_threshold_is_alerted_and_every_one_is_published() -> None:
    """Three payments: alerts for two, scores for three, in order, keyed by card, with the place in Kafka and the vector."""
    decided = Till().take(payment("a", 200), payment("b", 500), payment("c", 950))
    assert [(a.transaction_id, a.action) for a in alerts(decided)] == [("b", "step_up"), ("c", "decline")]
    assert [s.action for s in scores(decided)] == [None, "step_up", "decline"]
    first = scores(decided)[0].sequence
    assert [s.sequence - first for s in scores(decided)] == [0, 1, 2]
    assert [s.source.offset for s in scores(decided)] == [100, 101, 102]
    assert scores(decided)[1].features == {f.name: v for f, v in zip(FEATURES, (500.0, 2.0, 350.0), strict=True)}
    assert {m.key for m in decided.messages} == {b"c1"}
    assert counts(decided) == {"scored": 3, "alerts": 2}


@pytest.mark.parametrize("more", [FULL, {}], ids=["every field", "required fields only"])
def test_alerts_and_scores_are_what_their_schemas_say(more: dict[str, Any]) -> None:
    """With every optional field and with none; degraded or not."""
    till = Till()
    for degraded, id_ in ((None, "a"), ("windows are not full", "b")):
        decided = till.take(payment(id_, 900, **{**more, **({"billing_amount": 900.0} if more else {})}), degraded=degraded)
        for message in decided.messages:
            validate(message, {"alerts": "alert.v1.json", "scores": "score.v1.json"}[message.topic])
        [alert] = alerts(decided)
        assert (alert.degraded, alert.scored_at, alert.model) == (degraded, NOW, FakeModel.reference)


def test_without_a_scores_topic_only_alerts_are_published() -> None:
    """The topic of every decision is a setting, empty by default."""
    decided = Till(scores_topic="").take(payment("a", 10), payment("b", 900))
    assert [m.topic for m in decided.messages] == ["alerts"]
    assert counts(decided) == {"scored": 2, "alerts": 1}


@examples(100)
@given(st.integers(1, 1000), st.integers(1, 1000))
def test_an_alert_never_lacks_its_action(threshold: int, amount: int) -> None:
    """A score that is a float32 beside a threshold that is a double: alerted if and only if there is an action (0.35, 0.35)."""
    for tried in (amount, threshold):
        decided = Till(threshold=threshold / 1000).take(payment("a", tried))
        [score] = scores(decided)
        assert (score.action is not None) == (score.score >= score.threshold) == bool(alerts(decided))
        for message in decided.messages:
            if message.topic == "alerts":
                validate(message, "alert.v1.json")


def test_a_transaction_seen_again_is_neither_counted_nor_alerted_nor_scored() -> None:
    """In the same batch and in a later one; the next payment counts it once."""
    till = Till()
    first = till.take(payment("a", 900), payment("a", 900))
    again = till.take(payment("a", 900), payment("b", 10))
    assert [a.transaction_id for a in alerts(first)] == ["a"]
    assert counts(first) == {"scored": 1, "alerts": 1, "duplicates": 1}
    assert alerts(again) == []
    assert counts(again) == {"scored": 1, "duplicates": 1}
    assert scores(again)[0].features["card_count_1d"] == 2


@pytest.mark.parametrize("kind", ["refund", "reversal"])
def test_money_given_back_is_not_scored_and_not_counted(kind: str) -> None:
    """However large; the next payment does not see it."""
    decided = Till().take(payment("a", 999, type=kind), payment("b", 10))
    assert counts(decided) == {"scored": 1, "credits": 1}
    assert scores(decided)[0].features["card_count_1d"] == 1


def test_a_declined_payment_is_scored_and_alerted_but_not_counted() -> None:
    """Stolen cards are tested with declines: they are looked at, and leave the windows as they were."""
    decided = Till().take(payment("a", 900, approved=False), payment("b", 10))
    assert [a.transaction_id for a in alerts(decided)] == ["a"]
    assert [s.features["card_count_1d"] for s in scores(decided)] == [0, 1]


def test_a_payment_without_a_rate_is_scored_and_counted_and_its_money_is_not_summed() -> None:
    """10,000 JPY without a rate: no amount that could alert; the next of 10.00 EUR is the second of the day, and all of its money."""
    decided = Till().take(payment("a", 10_000, currency="JPY"), payment("b", 10))
    assert counts(decided) == {"scored": 2, "unpriced": 1}
    assert scores(decided)[0].features["amount"] == 0
    features = scores(decided)[1].features
    assert features["card_count_1d"] == 2
    assert features["card_mean_amount_1d"] * features["card_count_1d"] == 10


def test_foreign_money_is_converted_by_billing_amount_or_rate() -> None:
    """The amount billed in the base currency wins; else a rate; the alert keeps the amount as sent."""
    money = Money("EUR", Rates("v1", "EUR", {"USD": 0.5}))
    decided = Till(money=money).take(
        payment("a", 800, currency="USD"),
        payment("b", 800, currency="USD", billing_amount=700.0, billing_currency="EUR"),
        payment("c", 9, currency="JPY", billing_amount=600.0, billing_currency="USD"),
    )
    assert [s.features["amount"] for s in scores(decided)] == [400, 700, 300]
    assert [a.amount for a in alerts(decided)] == [800, 800, 9]
    assert "unpriced" not in counts(decided)


def test_alerts_of_a_card_share_a_case_until_a_day_without_one() -> None:
    """Timeline of card c1's alerts, in two batches; c2 has a case of its own.

    0 h    20 h  |  43 h     67 h
     a       b   |   c        d          case a, a, a, then d
    """  # fmt: skip
    till = Till()
    first = till.take(payment("a", 900), payment("x", 900, card_id="c2"), payment("b", 900, at=20 * HOUR))
    second = till.take(payment("c", 900, at=43 * HOUR), payment("low", 10, at=44 * HOUR), payment("d", 900, at=67 * HOUR))
    a, x, d = alert_id_of("c1", "a"), alert_id_of("c2", "x"), alert_id_of("c1", "d")
    assert [(alert.alert_id, alert.case_id) for alert in alerts(first)] == [(a, a), (x, x), (alert_id_of("c1", "b"), a)]
    assert [alert.case_id for alert in alerts(second)] == [a, d]
    assert [score.case_id for score in scores(second)] == [a, None, d]


def test_the_reason_names_the_cards_usual_amount_without_the_present_payment() -> None:
    """Two payments of 20.00 before one of 900.00: usual is 20.00; a decision without an alert has no reasons."""
    decided = Till().take(payment("a", 20), payment("b", 20, at=HOUR), payment("c", 900, at=2 * HOUR))
    [alert] = alerts(decided)
    [reason] = alert.reasons
    assert (reason.code, reason.feature, reason.value, reason.usual) == ("AMOUNT", "amount", 900, 20)
    assert reason.contribution == pytest.approx(0.9)
    assert reason.text == "The amount is 900.00 EUR; this card's usual is 20.00."
    assert [len(s.reasons) for s in scores(decided)] == [0, 0, 1]


def test_a_late_payment_is_scored_and_metered() -> None:
    """Forty days behind the card's newest."""
    decided = Till().take(payment("a", at=40 * DAY), payment("b"))
    assert counts(decided) == {"scored": 2, "late": 1}


def test_labels_alone_decide_nothing() -> None:
    """A batch of labels publishes nothing and is metered."""
    label = {**payment("a"), "is_fraud": True, "labelled_at": START + DAY}
    del label["currency"]
    decided = Till().take(labels=(label,))
    assert decided.messages == []
    assert counts(decided) == {"labels": 1, "labels_incomplete": 1}


def test_labels_that_leave_out_what_state_is_kept_of_are_counted() -> None:
    """The first names all, of the second the address is none, the third names no merchant; where neither is kept, none leaves anything out."""
    whole = {"merchant_id": "m1", "mcc": "5411", "country": "FR", "ip": "203.0.113.7"}
    given: list[dict[str, Any]] = [whole, whole | {"ip": "unknown"}, {**whole, "merchant_id": None}]
    labels = [Label(f"p{n}", "c1", "t1", START, 10.0, True, START + DAY, **named) for n, named in enumerate(given)]
    decoded = Decoded(labels, [], [], [], [])
    expected: dict[frozenset[Entity], int] = {ALL: 2, KEPT_BY_DEFAULT: 0, frozenset({"card", "merchant"}): 1, frozenset({"card", "mcc"}): 0}
    for kept, incomplete in expected.items():
        assert merge(Decoded([], [], [], [], []), decoded, Money("EUR"), kept).incomplete_labels(0) == incomplete


STREAM: Callable[[], st.SearchStrategy[list[dict[str, Any]]]] = lambda: st.lists(  # noqa: E731
    st.builds(
        payment,
        st.integers(0, 30).map(str),
        st.sampled_from([10.0, 300.0, 900.0]),
        st.integers(0, 80).map(lambda h: h * HOUR),
        card_id=st.sampled_from(["c1", "c2"]),
        type=st.sampled_from(["purchase", "purchase", "refund"]),
    ),
    max_size=12,
)


@examples(60)
@given(STREAM(), st.integers(0, 12))
def test_decisions_do_not_depend_on_where_a_batch_ends(stream: list[dict[str, Any]], cut: int) -> None:
    """Alerts, cases, reasons, scores: the same bytes from one batch as from two."""
    whole, parts = Till(), Till()
    first = whole.take(*stream).messages
    assert first == [*parts.take(*stream[:cut]).messages, *parts.take(*stream[cut:]).messages]


def test_reasons_say_whether_they_are_sampled() -> None:
    """Those of a model whose metadata have a reference are."""
    for reference in (msgspec.UNSET, (0.0, 0.0, 0.0)):
        model = FakeModel()
        model.metadata = msgspec.structs.replace(FakeModel.metadata, reference=reference)
        [alert] = alerts(Till(model=model).take(payment("a", 400)))
        assert [reason.sampled for reason in alert.reasons] == [reference is not msgspec.UNSET]
