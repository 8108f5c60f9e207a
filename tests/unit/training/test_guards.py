"""What a person is told before a model is used, and which model is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from stream_app.features.aggregations import DAY_MS
from stream_app.features.definitions import Feature
from training.fitting.evaluate import Scored, bands_for, scored
from training.fitting.guards import Usefulness, warnings_of
from training.fitting.measure import ChosenOnValidation, ThresholdTarget

if TYPE_CHECKING:
    from stream_app.features.compute import Floats

FRAUDS, PAYMENTS = 10, 1_000
NAMED = (Feature("amount"), Feature("night"))
PLAIN = np.random.default_rng(0).random((PAYMENTS, 2)).astype(np.float32)


def validation(scores: Floats, amounts: Floats | None = None) -> Scored:
    """Ten days of a hundred payments; the first ten are frauds."""
    times = np.arange(PAYMENTS, dtype=np.int64) % 10 * DAY_MS
    money = np.full(PAYMENTS, 100.0) if amounts is None else amounts
    return scored(scores, np.arange(PAYMENTS) < FRAUDS, times, np.arange(PAYMENTS, dtype=np.int64), money)


def told(what: Scored, target: ThresholdTarget | None = None) -> list[str]:
    """The warnings of these scores, with features that say nothing."""
    chosen = target or ThresholdTarget(alerts_a_day=1)
    threshold = chosen.threshold(what)
    return list(warnings_of(ChosenOnValidation(threshold, bands_for(what, threshold), what, chosen), PLAIN, NAMED))


def falling() -> Floats:
    """Frauds score highest, no two alike."""
    return np.linspace(0.9, 0.1, PAYMENTS)


def test_a_model_that_finds_the_frauds_is_useful_and_nothing_is_told_of_it() -> None:
    """One alert a day, all of them frauds."""
    assert Usefulness.of(validation(falling())).is_useful
    assert told(validation(falling())) == []


def test_a_model_that_is_no_better_than_chance_is_of_no_use() -> None:
    """Of scores that are drawn about one in 44 passes, though every other one is above .5; ranks turned around never do."""
    drawn = [Usefulness.of(validation(np.random.default_rng(seed).random(PAYMENTS))) for seed in range(200)]
    assert sum(found.is_useful for found in drawn) <= 12
    assert sum(found.auc_roc > 0.5 and found.average_precision > found.by_chance for found in drawn) > 50
    assert {found.by_chance for found in drawn} == {FRAUDS / PAYMENTS}
    assert not Usefulness.of(validation(falling()[::-1])).is_useful


def test_a_model_that_the_amount_alone_outdoes_is_of_no_use() -> None:
    """Nine in ten of its ranks are right, and sorting by amount finds all."""
    scores = falling()
    scores[:FRAUDS] = 0.8
    amounts = np.where(np.arange(PAYMENTS) < FRAUDS, 900.0, 10.0)
    found = Usefulness.of(validation(scores, amounts))
    assert found.auc_roc > 0.8
    assert found.by_amount == 1.0
    assert not found.is_useful
    assert str(found).endswith("by the amount alone 1.0000")


def test_a_budget_that_cannot_be_met_is_told_with_what_would_come() -> None:
    """Eighty payments share the highest score, and one alert a day was asked for."""
    scores = falling()
    scores[:80] = 0.95
    (budget,) = [text for text in told(validation(scores)) if "budget" in text]
    assert budget == (
        "The budget, 1.0 alerts a day, cannot be met: the payments of the highest score are alerted together, 80 in the validation window, 8.0 a day."
    )


def test_ties_at_the_threshold_are_told_with_the_alerts_that_hang_on_them() -> None:
    """Half of the alerts have the lowest score that alerts."""
    scores = falling()
    scores[5:10] = scores[9]
    (ties,) = told(validation(scores))
    assert ties.startswith("5 payments of validation share the lowest score that alerts, ")
    assert ties.endswith("with them there are 1.0 alerts a day, without them 0.5.")


def test_the_threshold_that_saves_most_is_named_where_another_is_taken() -> None:
    """Ten alerts a day are asked for, nine of which cost a review each and find nothing."""
    (more,) = told(validation(falling()), ThresholdTarget(alerts_a_day=10))
    assert "would save most, at 5 a review: 95.00 a day with 1.0 alerts, where the chosen threshold saves 50.00" in more
    assert told(validation(falling()), ThresholdTarget(review_cost=5.0)) == []


@pytest.mark.parametrize("sign", [1, -1])
def test_a_feature_that_gives_the_truth_away_is_told_by_its_name(sign: int) -> None:
    """Whether it is high or low where there is fraud."""
    what, vectors = validation(falling()), PLAIN.copy()
    vectors[:, 1] = sign * what.is_fraud
    threshold = ThresholdTarget(alerts_a_day=1).threshold(what)
    chosen = ChosenOnValidation(threshold, bands_for(what, threshold), what, ThresholdTarget(alerts_a_day=1))
    (told_of,) = warnings_of(chosen, vectors, NAMED)
    assert told_of.startswith("night alone tells frauds from the rest (AUC 1.0000)")
