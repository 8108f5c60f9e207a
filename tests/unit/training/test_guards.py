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


@pytest.mark.parametrize(("passed_by", "is_told"), [(50, True), (150, False)])
def test_a_feature_gives_the_truth_away_from_an_auc_of_99_percent_on(passed_by: int, is_told: bool) -> None:  # noqa: FBT001 - a case
    """One fraud of ten stands below so many of the 990 genuine payments: an AUC of .995, or of .985."""
    what, vectors = validation(falling()), PLAIN.copy()
    vectors[:, 1] = np.where(what.is_fraud, 1.0, np.arange(PAYMENTS) / PAYMENTS)
    vectors[0, 1] = vectors[PAYMENTS - passed_by, 1] - 1e-4
    threshold = ThresholdTarget(alerts_a_day=1).threshold(what)
    chosen = ChosenOnValidation(threshold, bands_for(what, threshold), what, ThresholdTarget(alerts_a_day=1))
    assert bool(warnings_of(chosen, vectors, NAMED)) is is_told


def tied(alerts: int) -> bool:
    """Whether ties are told of, where the two lowest of so many alerts share a score."""
    scores = falling()
    scores[alerts - 2] = scores[alerts - 1]
    return any("share the lowest score" in text for text in told(validation(scores), ThresholdTarget(alerts_a_day=alerts / 10)))


def test_few_ties_at_the_threshold_are_not_told() -> None:
    """A tenth of the alerts is: those that tie among them."""
    assert [tied(alerts) for alerts in (10, 20, 21, 30)] == [True, True, False, False]


def test_a_threshold_that_follows_from_money_has_no_budget_to_meet() -> None:
    """Eighty payments share the highest score, and all of them together save the most."""
    scores = falling()
    scores[:80] = 0.95
    (ties,) = told(validation(scores), ThresholdTarget(review_cost=5.0))
    assert ties.startswith("80 payments of validation share the lowest score that alerts")


@pytest.mark.parametrize(("last", "is_told"), [(10.0, False), (15.0, True)])
def test_a_threshold_that_saves_hardly_more_is_not_named(last: float, is_told: bool) -> None:  # noqa: FBT001 - a case
    """Nine frauds of 100 save 85.50 a day: one of 10 more, less its review, is less than a hundredth of that."""
    amounts = np.full(PAYMENTS, 100.0)
    amounts[FRAUDS - 1] = last
    assert bool(told(validation(falling(), amounts), ThresholdTarget(alerts_a_day=0.9))) is is_told


def test_where_nothing_saves_the_threshold_that_loses_least_is_not_named_against_itself() -> None:
    """Frauds of 1 are not worth a review: the fewest alerts are the best, and they are those that were asked for."""
    assert told(validation(falling(), np.ones(PAYMENTS)), ThresholdTarget(alerts_a_day=0.1)) == []


def test_the_saving_that_is_named_is_by_the_teams_own_cost() -> None:
    """At 120 a review not even the frauds pay, at 5 all of them do."""
    dear = told(validation(falling()), ThresholdTarget(alerts_a_day=10, review_cost=120.0))
    assert [text.split(":")[0] for text in dear] == ["An alert from 0.89999 on would save most, at 120 a review"]
    assert "-2.00 a day with 0.1 alerts, where the chosen threshold saves -1,100.00 (--review-cost 120" in dear[0]
