"""A published decision, explained in full: parts that add up, words with the card's own norm, a stranger's decision refused."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands.explain import lines_of, share_of, summary_of
from stream_app.errors import ModelError
from stream_app.explaining.contributions import Linear
from stream_app.explaining.explanation import explain, usual_of
from stream_app.explaining.sampling import Sampled
from stream_app.features.aggregations import DAY_S
from stream_app.features.definitions import CONTEXT_FEATURES, Feature
from stream_app.features.plan import compile_plan
from stream_app.messages.alert import Reason, Score
from tests.unit.scoring.test_scorer import DAY, FakeModel, Till, payment, scores

MONTH = 30 * DAY_S
FEATURES = (Feature("amount"), Feature("count", "card", MONTH), Feature("mean_amount", "card", MONTH))
WEIGHTS = (0.001, 0.0, -0.0001)
SUM = Linear(np.array(WEIGHTS), np.array([100.0, 1.0, 50.0]), 0.1)


class SumModel(FakeModel):
    """The raw score is a weighted sum, the probability the same; alerted from 0.25 on."""

    metadata = msgspec.structs.replace(FakeModel.metadata, features=tuple((f.name, f.hash) for f in FEATURES))

    def score(self, vectors: Any) -> Any:
        """See `ports.Model`."""
        raw = (SUM.expected + SUM.contributions(vectors).sum(axis=1)).astype(np.float32)
        return type(FakeModel().score(vectors))(np.clip(raw, 0, 1), raw)

    def contributions(self, vectors: Any) -> Any:
        """See `ports.Model`."""
        return SUM.contributions(vectors)


def decided(*payments: dict[str, Any]) -> list[Score]:
    """The decisions on these payments, as they are published."""
    return scores(Till(model=SumModel()).take(*payments))


def test_the_parts_add_up_and_say_what_is_usual_for_the_card() -> None:
    """20.00 twice, then 400.00: alerted; its amount raised it, its mean lowered it, and each is told against the card's past."""
    *_, last = decided(payment("a", 20), payment("b", 20, at=DAY), payment("c", 400, at=2 * DAY))
    found = explain(last, FEATURES, SUM, "EUR")
    assert found.alerted
    for parts in ([p.shapley for p in found.parts], [p.along_path for p in found.parts]):
        assert found.expected + sum(parts) == pytest.approx(found.raw_score, abs=1e-6)
    assert [p.feature for p in found.parts] == ["amount", "card_count_30d", "card_mean_amount_30d"]
    assert found.parts[0].text == "The amount is 400.00 EUR; this card's usual is 20.00."
    assert found.parts[2].shapley < 0
    told = lines_of(found)
    assert told[0] == "[bold]c  card c1  terminal t1  400.00 EUR  2018-04-03 00:00:00 UTC[/]"
    assert told[1].startswith("alerted: score")
    assert len(told) == 3 + len(FEATURES)


def test_a_summary_says_what_raised_the_score_and_what_lowered_it_each_code_once() -> None:
    """For a person: shares of all that raised it, the risk against the usual one, and where the rest is; no table of every feature."""
    *_, last = decided(payment("a", 20), payment("b", 20, at=DAY), payment("c", 400, at=2 * DAY))
    found = explain(last, FEATURES, SUM, "EUR", usual_score=last.score / 40)
    told = summary_of(found)
    assert told[0] == lines_of(found)[0]
    assert told[1].startswith("alerted: score")
    assert told[2] == f"risk {share_of(last.score)}, 40 times the usual {share_of(last.score / 40)}"
    assert told[3:6] == ["What raised it:", "  100%  The amount is 400.00 EUR; this card's usual is 20.00.", "What lowered it:"]
    assert told[6].strip().startswith("The card's mean amount over the last 30 days is 146.67 EUR, of 3 payments")
    assert told[-1] == "[dim]Of 3 features; --all shows each with its numbers.[/]"
    assert summary_of(explain(last, FEATURES, SUM, "EUR"))[2] == f"risk {share_of(last.score)}"
    twice = msgspec.structs.replace(found, parts=(*found.parts, msgspec.structs.replace(found.parts[0], feature="again", text="Again.")))
    assert "Again." not in "".join(summary_of(twice))


def test_what_a_mean_of_the_payment_alone_added_stands_with_its_amount_as_in_the_alert() -> None:
    """The card's first payment: its mean is its amount, so that one is told with what both added, and the sums stay."""
    [score] = decided(payment("a", 400))
    amount, count, mean = sorted(
        explain(score, FEATURES, SUM, "EUR").parts, key=lambda part: [f.name for f in FEATURES].index(part.feature)
    )
    assert (count.shapley, mean.shapley, mean.along_path) == (0, 0, 0)
    assert amount.shapley == pytest.approx(amount.along_path) == pytest.approx(0.001 * (400 - 100) - 0.0001 * (400 - 50))


@pytest.mark.parametrize(
    ("share", "told"), [(1.0, "100%"), (0.874, "87%"), (0.0132, "1.3%"), (0.00033, "0.033%"), (0.000001, "less than 0.001%"), (0.0, "0%")]
)
def test_a_small_share_keeps_digits_that_count(share: float, told: str) -> None:
    """Two of them; less than a hundred-thousandth is told as that."""
    assert share_of(share) == told


def test_a_transaction_that_was_not_alerted_is_explained_alike() -> None:
    """Its parts are there, and add up; it had no reasons of its own."""
    [score] = decided(payment("a", 20))
    found = explain(score, FEATURES, SUM, "EUR")
    assert not found.alerted
    assert score.reasons == ()
    assert found.expected + sum(p.shapley for p in found.parts) == pytest.approx(score.raw_score, abs=1e-6)
    assert "not alerted" in lines_of(found)[1]
    assert "degraded: windows are not full" in lines_of(msgspec.structs.replace(found, degraded="windows are not full"))[1]


def test_sampled_parts_are_told_as_sampled() -> None:
    """They add up like exact ones, and are not called exact."""
    [score] = decided(payment("a", 400))

    def raw(vectors: Any) -> Any:
        return SUM.expected + SUM.contributions(vectors).sum(axis=1)

    reference = np.array([100, 1, 50], dtype=np.float32)
    found = explain(score, FEATURES, Sampled(raw, reference, float(raw(reference[None])[0])), "EUR")
    assert found.expected + sum(p.shapley for p in found.parts) == pytest.approx(score.raw_score, abs=1e-6)
    assert "by feature (sampled, as alerts have it):" in lines_of(found)[2]
    assert "by feature (exact, as alerts have it):" in lines_of(explain(score, FEATURES, SUM, "EUR"))[2]


def test_a_decision_that_the_model_did_not_take_is_refused() -> None:
    """Another raw score than its features give: an explanation would be of something else."""
    [score] = decided(payment("a", 20))
    with pytest.raises(ModelError, match=r"published with raw score 0\.5.*not this model's"):
        explain(msgspec.structs.replace(score, raw_score=0.5), FEATURES, SUM, "EUR")


def test_what_the_payment_does_not_say_is_told_as_that_whatever_the_alert_said() -> None:
    """A payment without a place, alerted by a version that told of 0 km; the same with a place keeps the alert's own words."""
    distance = Feature("distance_km", "card")
    reason = Reason("CARD_TRAVEL", distance.name, 0.0, None, 0.1, "The payment is 0 km from the place of the card's last one.")
    [score] = decided(payment("a", 400))
    score = msgspec.structs.replace(score, features={distance.name: 0.0}, reasons=(reason,), raw_score=0.1)
    flat = Linear(np.array([0.0]), np.array([0.0]), 0.1)
    [part] = explain(score, (distance,), flat, "EUR").parts
    assert part.text == "The payment does not say where it was made."
    [part] = explain(msgspec.structs.replace(score, latitude=1.0, longitude=1.0), (distance,), flat, "EUR").parts
    assert part.text == reason.text


@given(
    st.lists(
        st.builds(
            lambda amount, approved, day: {"amount": amount, "approved": approved, "at": day * DAY},
            st.integers(1, 900),
            st.booleans(),
            st.integers(0, 40),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_usual_is_what_the_worker_has_for_its_reasons(stream: list[dict[str, Any]]) -> None:
    """From the published 30-day features, without the present payment: the context features of the kernel."""
    context = compile_plan(FEATURES + CONTEXT_FEATURES)
    columns = [f.name for f in context.features]
    at = [columns.index(f.name) for f in CONTEXT_FEATURES]
    till = Till(model=SumModel())
    seen: list[tuple[float, float]] = []
    original = till.scorer._explain

    def spy(intake: Any, computed: Any, scored: Any, places: list[int]) -> Any:
        seen.extend(tuple(row) for row in computed.vectors[scored.events][:, at].tolist())
        return original(intake, computed, scored, places)

    till.scorer._explain = spy  # type: ignore[method-assign] # the kernel's own values are shown nowhere else
    found = scores(till.take(*(payment(str(i), **p) for i, p in enumerate(stream))))
    for score, (payments, mean) in zip(found, seen, strict=True):
        usual = usual_of(score)
        assert usual.payments == payments
        assert usual.mean_amount == pytest.approx(mean, abs=1e-3)
