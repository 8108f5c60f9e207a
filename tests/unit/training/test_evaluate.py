"""Metrics against oracles of a few lines; threshold and bands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.scoring.decision import Policy
from training.fitting.evaluate import (
    STEP,
    Scored,
    bands_for,
    card_precision,
    evaluate,
    precise_from,
    scored,
    threshold_by_cost,
    threshold_for,
)


def sample(count: int = 600, days: int = 5, seed: int = 3) -> Scored:
    """Scores of two digits, so that there are ties; frauds score higher."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(count) < 0.2
    scores = np.clip(rng.normal(0.3 + 0.3 * is_fraud, 0.2), 0, 1).round(2)
    return scored(
        scores, is_fraud, np.sort(rng.integers(0, days * DAY_MS, count)), rng.integers(0, 60, count), rng.exponential(50, count).round(2)
    )


def made(scores: list[float], frauds: list[int], days: list[int] | None = None, cards: list[int] | None = None) -> Scored:
    """A handful of transactions."""
    count = len(scores)
    times = np.array(days or [0] * count, dtype=np.int64) * DAY_MS
    return scored(
        np.array(scores), np.array(frauds, dtype=np.bool_), times, np.array(cards or range(count), dtype=np.int64), np.ones(count)
    )


def just_below(score: float) -> Any:
    """A threshold that `score` reaches, whatever the last bits."""
    return pytest.approx(score - STEP / 2, abs=1e-12)


def test_average_precision_is_the_sum_of_precision_times_gained_recall() -> None:
    """At each distinct score, from the highest on."""
    what = sample()
    total, before = 0.0, 0.0
    for level in sorted(set(what.scores.tolist()), reverse=True):
        alerts = what.scores >= level
        recall = what.is_fraud[alerts].sum() / what.is_fraud.sum()
        total += (recall - before) * what.is_fraud[alerts].mean()
        before = recall
    assert evaluate(what, 0.5).average_precision == pytest.approx(total, abs=1e-12)


def test_auc_roc_is_the_chance_that_a_fraud_scores_higher() -> None:
    """Over all pairs, ties a half."""
    what = sample()
    frauds, genuine = what.scores[what.is_fraud][:, None], what.scores[~what.is_fraud][None, :]
    assert evaluate(what, 0.5).auc_roc == pytest.approx(((frauds > genuine) + 0.5 * (frauds == genuine)).mean(), abs=1e-12)


def test_brier_is_the_mean_squared_difference() -> None:
    """Of score and truth."""
    what = sample()
    assert evaluate(what, 0.5).brier == pytest.approx(((what.scores - what.is_fraud) ** 2).mean(), abs=1e-12)


def test_a_card_found_yesterday_is_not_found_again() -> None:
    """Two days, one card: it counts on the first day only."""
    assert card_precision(made([0.9, 0.9], [1, 1], days=[0, 1], cards=[7, 7]), 1) == 0.5


def test_scores_that_differ_by_less_than_the_tolerance_are_equal() -> None:
    """Ties then go to the lower card."""
    assert card_precision(made([0.500001, 0.500002], [1, 0]), 1) == 1


def test_at_the_threshold_precision_recall_and_alerts_a_day_are_counted() -> None:
    """Three alerts in two days, two right, of three frauds."""
    metrics = evaluate(made([0.9, 0.8, 0.7, 0.2], [1, 0, 1, 1], days=[0, 0, 1, 1]), 0.7)
    assert [metrics.precision, metrics.recall, metrics.alerts_a_day] == pytest.approx([2 / 3, 2 / 3, 1.5])


@pytest.mark.parametrize(("budget", "threshold"), [(1, 0.9), (2, 0.9), (3, 0.5), (4, 0.1), (99, 0.1), (0.5, 0.9), (0, 0.9)])
def test_the_threshold_is_the_lowest_within_the_budget(budget: float, threshold: float) -> None:
    """Equal scores are alerted all or none; those of the highest score always are; a score of 0 never is."""
    assert threshold_for(made([0.0, 0.1, 0.5, 0.5, 0.9], [0] * 5), budget) == just_below(threshold)


def test_without_a_budget_one_in_a_hundred_is_alerted() -> None:
    """Of 200 different scores, two."""
    what = made([i / 1000 for i in range(200)], [0] * 200)
    assert threshold_for(what) == just_below(0.198)


@pytest.mark.parametrize("budget", [None, 0, 1])
def test_with_very_little_data_something_is_alerted(budget: float | None) -> None:
    """Forty payments, three of them tied at the top: more than 1 % of them, and still alerts, all three."""
    what = made([0.01] * 37 + [0.4] * 3, [0] * 38 + [1] * 2)
    metrics = evaluate(what, threshold_for(what, budget))
    assert (metrics.alerts_a_day, metrics.recall) == (3, 1)


@pytest.mark.parametrize("score", [0.0, 0.004])
def test_a_model_that_scores_everything_the_same_is_stopped(score: float) -> None:
    """Any threshold would alert all payments or none: one line says so and what to do."""
    with pytest.raises(DataError, match=rf"all 40 transactions of the validation window the same score, {score:.5f}.*longer history"):
        threshold_for(made([score] * 40, [0] * 39 + [1]), 40)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), st.integers(0, 30), st.data())
def test_the_worker_alerts_what_training_counted(scores: list[float], budget: int, data: st.DataObject) -> None:
    """Scores a rounding step or less apart, as float32: the policy's action for each is an alert exactly where training counted one."""
    near = data.draw(st.lists(st.integers(-30, 30).map(lambda i: float(np.float32(np.clip(scores[0] + i * STEP / 10, 0, 1)))), max_size=10))
    what = made(scores + near, [1] + [0] * (len(scores + near) - 1))
    assume(len(set(what.rounded.tolist())) > 1)
    threshold = threshold_for(what, budget)
    bands = bands_for(what, threshold)
    policy = Policy(threshold, bands.step_up, bands.decline)
    alerts = [policy.action(score) is not None for score in what.scores.tolist()]
    assert sum(alerts) == evaluate(what, threshold).alerts_a_day
    by_rank = sorted(zip(what.rounded.tolist(), alerts, strict=True))
    assert alerts_from_the_top(by_rank), "equal ranks are alerted all or none, and no higher one is left out"
    assert 1 <= sum(alerts) <= max(budget, sum(what.rounded == what.rounded.max()))


def alerts_from_the_top(by_rank: list[tuple[float, bool]]) -> bool:
    """Whether there is a rank from which on, and only from which on, all are alerted."""
    alerted = {rank for rank, alert in by_rank if alert}
    return all(alert == (rank >= min(alerted)) for rank, alert in by_rank)


@pytest.mark.parametrize("score", [0.123456, 0.123454, 0.3, float(np.float32(0.1))])
def test_a_score_that_rounding_lifts_is_alerted_by_the_worker_too(score: float) -> None:
    """0.123456 rounds to 0.12346; a threshold of that would never be reached by the score that it was chosen for."""
    threshold = threshold_for(made([0.01, score], [0, 1]), 1)
    assert Policy(threshold, 1, 1).action(score) == "review"
    assert Policy(threshold, 1, 1).action(score - STEP) is None


def test_bands_hold_their_precision_and_rise() -> None:
    """Decline: nine in ten. Step up: half of what lies between. Below: review.

    score   .1 .2 .3 .4 | .5 .6   | .7 .8 .9
    fraud    0  0  0  0 |  1  0   |  1  1  1
             review     | step up | decline
    """
    what = made([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], [0, 0, 0, 0, 1, 0, 1, 1, 1])
    bands = bands_for(what, 0.2)
    assert (bands.step_up, bands.decline) == (just_below(0.5), just_below(0.7))
    above = bands_for(what, 0.8)
    assert (above.step_up, above.decline) == (0.8, 0.8)


def band_counts(what: Scored, threshold: float) -> list[int]:
    """How many are reviewed, asked and declined."""
    bands = bands_for(what, threshold)
    policy = Policy(threshold, bands.step_up, bands.decline)
    actions = [policy.action(score) for score in what.scores.tolist()]
    return [actions.count(a) for a in ("review", "step_up", "decline")]


def test_bands_do_not_fall_together_where_every_alert_is_a_fraud() -> None:
    """Precision alone would decline all ten: a fifth is reviewed, a fifth asked."""
    assert band_counts(made([i / 20 for i in range(20)], [0] * 10 + [1] * 10), 0.5 - STEP / 2) == [2, 2, 6]


def test_bands_do_not_fall_together_where_no_score_is_precise_enough_to_ask() -> None:
    """Above six genuine ones are four frauds: the fifth of the alerts just below them is asked though none of it is fraud."""
    assert band_counts(made([i / 20 for i in range(20)], [0] * 16 + [1] * 4), 0.5 - STEP / 2) == [4, 2, 4]


def test_nobody_is_declined_for_the_sake_of_a_band() -> None:
    """Without frauds the decline band is empty; some are asked, most are reviewed."""
    assert band_counts(made([i / 20 for i in range(20)], [0] * 20), 0.5 - STEP / 2) == [8, 2, 0]


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=3, max_size=40), st.integers(1, 6))
def test_three_different_scores_are_enough_for_three_bounds(drawn: list[tuple[int, bool]], lowest: int) -> None:
    """Whatever their ties: review and step up are not empty, bounds rise, and nine in ten of the declined are frauds."""
    what = made([s / 20 for s, _ in drawn], [int(f) for _, f in drawn])
    threshold = lowest / 20 - STEP / 2
    assume(len({s for s, _ in drawn if s >= lowest}) >= 3)
    bands = bands_for(what, threshold)
    assert threshold < bands.step_up < bands.decline <= 1
    review, step_up, _ = band_counts(what, threshold)
    assert review > 0
    assert step_up > 0
    declined = what.is_fraud[what.scores >= bands.decline]
    assert declined.sum() >= 0.9 * len(declined)


def test_bands_without_precise_scores_are_empty() -> None:
    """Nothing is declined, nobody is asked."""
    bands = bands_for(made([0.1, 0.2, 0.9], [0, 0, 0]), 0.2)
    assert (bands.step_up, bands.decline) == (1.0, 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_bands_are_monotone_on_any_scores(seed: int) -> None:
    """It holds that threshold <= step_up <= decline <= 1, and a decline band holds its precision."""
    what = sample(seed=seed)
    threshold = threshold_for(what, 20)
    bands = bands_for(what, threshold)
    assert 0 < threshold <= bands.step_up <= bands.decline <= 1
    level = precise_from(what, 0.9)
    assert level == 1 or what.is_fraud[what.scores >= level].mean() >= 0.9


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(1, 300)), min_size=2, max_size=30), st.integers(0, 100))
def test_the_threshold_by_cost_saves_most(rows: list[tuple[int, bool, int]], cost: int) -> None:
    """No other score saves more: money of the alerted frauds less the reviews; of equals the highest; never 0."""
    assume(len({score for score, _, _ in rows}) > 1)
    scores = np.array([score / 10 for score, _, _ in rows])
    frauds, amounts = np.array([fraud for _, fraud, _ in rows]), np.array([float(amount) for *_, amount in rows])
    what = scored(scores, frauds, np.zeros(len(rows), dtype=np.int64), np.arange(len(rows)), amounts)
    savings = {
        level: (amounts[(scores >= level) & frauds].sum() - cost * (scores >= level).sum()) for level in set(scores.tolist()) - {0.0}
    }
    best = max(level for level, saving in savings.items() if saving == max(savings.values()))
    assert threshold_by_cost(what, cost) == just_below(best)


def test_a_model_that_tells_nothing_apart_has_no_threshold_by_cost_either() -> None:
    """As with a budget."""
    with pytest.raises(DataError, match="learnt nothing"):
        threshold_by_cost(made([0.2, 0.2], [0, 1]), 5)
