"""A challenger beside the champion: the same features, a say on every payment, decisions for a fixed share of the cards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.features.compute import Floats, Vectors
from stream_app.features.definitions import Feature
from stream_app.features.model_metadata import ParityVectors
from stream_app.messages.alert import ModelReference, Score
from stream_app.scoring.bound_model import Challenger, is_challengers
from stream_app.scoring.ports import Scores
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Decided, Scorer
from tests.examples import examples
from tests.unit.scoring.test_scorer import HOUR, FakeClock, FakeModel, Till, alerts, counts, payment, scores, validate

FEATURES = (Feature("count", "terminal", 3600), Feature("amount"))


class Rival(FakeModel):
    """The score is the amount over 500: twice the champion's; from other features in another order."""

    reference = ModelReference("fake", "8")
    metadata = msgspec.structs.replace(
        FakeModel.metadata, features=tuple((f.name, f.hash) for f in FEATURES), threshold=0.5, parity=ParityVectors(((0.0, 0.0),), (0.0,))
    )

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        assert vectors.shape[1] == len(FEATURES)
        raw: Vectors = vectors[:, 1] / np.float32(500)
        return Scores(np.minimum(raw, np.float32(1)), raw)

    def contributions(self, vectors: Vectors) -> Floats:
        """See `ports.Model`: it is all the amount's."""
        return np.asarray(vectors * np.array([0, 0.002]), dtype=np.float64)


@dataclass
class Ring(Till):
    """A till with a challenger."""

    share: float = 0.0
    rival: FakeModel | None = field(default_factory=Rival)

    def __post_init__(self) -> None:
        """As `Till`."""
        super().__post_init__()
        beside = Challenger(self.rival, self.share) if self.rival else None
        output = Output("alerts", self.scores_topic)
        self.scorer = Scorer(self.model, self.money, output, FakeClock(), self.threshold, beside)


def plain(decided: Decided) -> list[dict[str, Any]]:
    """The scores without what the challenger says."""
    return [{k: v for k, v in msgspec.structs.asdict(s).items() if k != "beside"} for s in scores(decided)]


AMOUNTS = st.lists(
    st.tuples(st.sampled_from(["c1", "c2", "c3"]), st.sampled_from([10.0, 150.0, 251.0, 400.0, 950.0])), min_size=1, max_size=8
)


@examples(15)
@given(AMOUNTS)
def test_a_challenger_in_shadow_changes_no_decision_and_is_told_beside_it(payments: list[tuple[str, float]]) -> None:
    """Alerts and scores are those of the champion alone; the challenger's say is its own."""
    batch = [payment(f"t{n}", amount, n * HOUR, card_id=card) for n, (card, amount) in enumerate(payments)]
    both, alone = Ring().take(*batch), Ring(rival=None).take(*batch)
    assert plain(both) == plain(alone)
    assert alerts(both) == alerts(alone)
    for (_, amount), score in zip(payments, scores(both), strict=True):
        assert score.beside is not None
        assert (score.beside.role, score.beside.model.version, score.beside.threshold) == ("challenger", "8", 0.5)
        assert score.beside.score == pytest.approx(min(1, amount / 500))
        assert (score.beside.action is None) == (amount < 250)
    assert [s.beside for s in scores(alone)] == [None] * len(batch)
    assert both.decisions is not None
    assert both.decisions.of_challenger == pytest.approx([min(1, amount / 500) for _, amount in payments])
    assert alone.decisions is not None
    assert alone.decisions.of_challenger is None


@examples(15)
@given(AMOUNTS, st.sampled_from([0.0, 0.3, 0.7, 1.0]))
def test_the_challenger_decides_for_its_share_of_the_cards(payments: list[tuple[str, float]], share: float) -> None:
    """Score, threshold, action, model, vector and reasons are its own there; what the champion says is told beside."""
    batch = [payment(f"t{n}", amount, n * HOUR, card_id=card) for n, (card, amount) in enumerate(payments)]
    decided = Ring(share=share).take(*batch)
    alerted = {a.transaction_id: a for a in alerts(decided)}
    for (card, amount), score in zip(payments, scores(decided), strict=True):
        is_its = is_challengers(card, share)
        version, over, threshold = ("8", 500, 0.5) if is_its else ("7", 1000, 0.25)
        assert (score.model.version, score.threshold) == (version, threshold)
        assert score.score == pytest.approx(min(1, amount / over))
        assert set(score.features) == ({f.name for f in FEATURES} if is_its else {"amount", "card_count_1d", "card_mean_amount_1d"})
        assert score.beside is not None
        assert (score.beside.role, score.beside.model.version) == (("champion", "7") if is_its else ("challenger", "8"))
        assert (score.transaction_id in alerted) == (score.score >= threshold)
        if score.transaction_id in alerted:
            alert = alerted[score.transaction_id]
            assert (alert.model.version, alert.score, alert.reasons[0].feature) == (version, score.score, "amount")


def test_what_only_one_would_alert_is_counted() -> None:
    """250 of 1,000 is the champion's threshold, 250 of 500 the challenger's: thresholds of one make the difference."""
    seen = counts(Ring(threshold=0.3).take(payment("a", 100), payment("b", 200), payment("c", 900)))
    assert (seen["challenger_scored"], seen["challenger_only"]) == (3, 1)
    assert ("champion_only" in seen, "challenger_decided" in seen) == (False, False)


def test_messages_with_a_challenger_are_what_their_schema_says() -> None:
    """With and without one."""
    for ring in (Ring(share=1.0), Ring(), Ring(rival=None)):
        for message in ring.take(payment("a", 300)).messages:
            validate(message, "alert.v1.json" if message.topic == "alerts" else "score.v1.json")


def test_a_score_of_an_earlier_version_is_read() -> None:
    """It has no field `beside`."""
    old = msgspec.json.decode(Ring().take(payment("a", 300)).messages[-1].value or b"")
    del old["beside"]
    assert msgspec.convert(old, Score).beside is None


@given(st.lists(st.text(min_size=1, max_size=64), min_size=1, max_size=50), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_has_all_cards_of_a_smaller_one(cards: list[str], one: float, other: float) -> None:
    """So that raising it moves no card back."""
    small, large = sorted((one, other))
    assert {c for c in cards if is_challengers(c, small)} <= {c for c in cards if is_challengers(c, large)}


def test_a_share_is_about_that_share_of_the_cards() -> None:
    """5 % and 50 % of 20,000."""
    for share in (0.0, 0.05, 0.5, 1.0):
        found = sum(is_challengers(f"card-{n}", share) for n in range(20_000)) / 20_000
        assert found == pytest.approx(share, abs=0.01)
