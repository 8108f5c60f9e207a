"""From a score to an action and a case; the words for a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.decision import (
    CASE_GAP_MS,
    Policy,
    case_of,
    policy_of,
)
from stream_app.features.aggregations import DAY_S, DELAY_S, HORIZON_S, HOUR_S
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, Feature
from stream_app.model_metadata import Bands, ModelMetadata, ParityVectors
from stream_app.sentences import Usual, reason_code, sentence, usual_value

AMOUNT, COUNT = Feature("amount"), Feature("count", "card", DAY_S)
RISK = Feature("risk", "terminal", 7 * DAY_S, DELAY_S)
UNKNOWN = Usual(0, 0)


def metadata(threshold: float = 0.3, step_up: float = 0.5, decline: float = 0.9) -> ModelMetadata:
    """Metadata of a model over one feature."""
    named = ((AMOUNT.name, AMOUNT.hash),)
    parity = ParityVectors(((0.0,),), (0.0,))
    return ModelMetadata(
        features=named, threshold=threshold, bands=Bands(step_up, decline), parity=parity, trained_at_ms=0
    )  # fmt: skip


@pytest.mark.parametrize(
    ("score", "action"),
    [(0.0, None), (0.29, None), (0.3, "review"), (0.49, "review"), (0.5, "step_up"), (0.9, "decline"), (1.0, "decline")],
)
def test_each_band_begins_at_its_own_least_score(score: float, action: str | None) -> None:
    """Review from the threshold on, step up and decline from theirs on; below the threshold there is no action."""
    assert policy_of(metadata(), None).action(score) == action


def test_bands_below_an_overruled_threshold_move_up_with_it() -> None:
    """A threshold of 0.7 leaves no review and no step up below it; 0.1 lets review begin there and moves no other band."""
    assert policy_of(metadata(), 0.7) == Policy(0.7, 0.7, 0.9)
    assert policy_of(metadata(), 0.7).action(0.7) == "step_up"
    assert policy_of(metadata(), 0.1) == Policy(0.1, 0.5, 0.9)
    assert policy_of(metadata(), 0.0).action(0.0) == "review"


@given(st.floats(0, 1), st.floats(0, 1), st.one_of(st.none(), st.floats(0, 1)))
def test_a_higher_score_never_gets_a_milder_action(low: float, high: float, threshold: float | None) -> None:
    """Whatever the threshold, actions only get stronger as scores rise."""
    order = [None, "review", "step_up", "decline"]
    policy = policy_of(metadata(), threshold)
    first, second = policy.action(min(low, high)), policy.action(max(low, high))
    assert order.index(first) <= order.index(second)


def test_a_case_goes_on_while_alerts_are_less_than_a_day_apart() -> None:
    """Timeline of a card's alerts.

    0 h    20 h            43 h 59:59.999     44 h
     a       b                c                d      a, b and c are one case; a day after b, d begins another
    """  # fmt: skip
    assert case_of("a", 0, "", 0) == "a"
    b_at = 20 * HOUR_S * 1000
    assert case_of("b", b_at, "a", 0) == "a"
    assert case_of("c", b_at + CASE_GAP_MS - 1, "a", b_at) == "a"
    assert case_of("d", b_at + CASE_GAP_MS, "a", b_at) == "d"


USUAL, UNPRICED = Usual(payments=60, mean_amount=25.0), Usual(payments=60, mean_amount=25.0, priced=False)
RATIO, ZSCORE = Feature("amount_ratio", "card", 30 * DAY_S), Feature("amount_zscore", "card", 30 * DAY_S)


@pytest.mark.parametrize(
    ("feature", "usual"),
    [
        (AMOUNT, 25.0),
        (Feature("mean_amount", "card", 7 * DAY_S), 25.0),
        (COUNT, 2.0),
        (Feature("count", "card", HOUR_S), 60 / (30 * 24)),
        (Feature("seconds_since_last", "card"), 30 * DAY_S / 60),
        (Feature("amount_ratio", "card", 30 * DAY_S), None),
        (Feature("amount_zscore", "card", 30 * DAY_S), None),
        (Feature("night"), None),
        (Feature("count", "terminal", HOUR_S), None),
        (RISK, None),
    ],
    ids=lambda f: f.name if isinstance(f, Feature) else "",
)
def test_the_usual_value_comes_from_the_cards_last_thirty_days(feature: Feature, usual: float | None) -> None:
    """60 payments of 25.00 in 30 days; nothing is said of terminals, of a card without a past, nor of comparisons, whose usual is theirs by definition."""
    assert usual_value(feature, USUAL) == usual
    assert usual_value(feature, UNKNOWN) is None


@pytest.mark.parametrize(
    ("feature", "value", "usual", "text"),
    [
        (AMOUNT, 250, USUAL, "The amount is 250.00 EUR; this card's usual is 25.00."),
        (AMOUNT, 250, UNKNOWN, "The amount is 250.00 EUR."),
        (COUNT, 9, USUAL, "9 payments in the last day; this card's usual is 2.0."),
        (Feature("mean_amount", "card", 7 * DAY_S), 50, USUAL, "The card's mean amount over the last 7 days is 50.00 EUR; this card's usual is 25.00."),
        (Feature("count", "terminal", HOUR_S), 40, UNKNOWN, "40 payments at this terminal in the last hour."),
        (Feature("count", "terminal", DAY_S, DELAY_S), 4, UNKNOWN, "4 payments at this terminal in the day that ended a week ago."),
        (RISK, 0.5, UNKNOWN, "50% of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (Feature("seconds_since_last", "card"), 90, USUAL, "The card's last payment was 1.5 minutes before; this card's usual is 12 hours."),
        (Feature("seconds_since_last", "card"), 5, UNKNOWN, "The card's last payment was 5 seconds before."),
        (Feature("weekend"), 1, UNKNOWN, "The payment was made at the weekend."),
        (Feature("weekend"), 0, UNKNOWN, "The payment was not made at the weekend."),
        (Feature("night"), 1, UNKNOWN, "The payment was made at night (UTC)."),
        (COUNT, 1, USUAL, "1 payment in the last day; this card's usual is 2.0."),
        (COUNT, 0, Usual(1, 25.0), "No payment in the last day; this card's usual is less than 0.1."),
        (Feature("count", "terminal", HOUR_S), 0, UNKNOWN, "No payment at this terminal in the last hour."),
        (Feature("count", "terminal", DAY_S, DELAY_S), 1, UNKNOWN, "1 payment at this terminal in the day that ended a week ago."),
        (RISK, 0, UNKNOWN, "None of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (RISK, 1, UNKNOWN, "All of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (RISK, 0.004, UNKNOWN, "Less than 1% of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (RISK, 0.996, UNKNOWN, "More than 99% of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (Feature("seconds_since_last", "card"), 0, UNKNOWN, "The card's last payment was less than a second before."),
        (Feature("seconds_since_last", "card"), 1, UNKNOWN, "The card's last payment was 1 second before."),
        (Feature("seconds_since_last", "card"), DAY_S, UNKNOWN, "The card's last payment was 1 day before."),
        (Feature("seconds_since_last", "card"), HORIZON_S, UNKNOWN, "No payment of this card in the 38 days before."),
        (Feature("mean_amount", "card", DAY_S), 0, UNKNOWN, "The card's mean amount over the last day is 0.00 EUR."),
        (RATIO, 9.44, USUAL, "The amount is 9.4 times the card's mean of the 30 days before, 25.00 EUR."),
        (RATIO, 0, USUAL, "The amount is less than a tenth of the card's mean of the 30 days before, 25.00 EUR."),
        (RATIO, 1, USUAL, "The amount does not stand out from the card's mean of the 30 days before, 25.00 EUR."),
        (RATIO, 1, UNKNOWN, "The card has no payments of the 30 days before to compare the amount with."),
        (Feature("amount_ratio", "card", 7 * DAY_S), 3, USUAL, "The amount is 3.0 times the card's mean of the 7 days before."),
        (ZSCORE, 0, USUAL, "The amount does not stand out from the card's mean of the 30 days before, 25.00 EUR."),
        (ZSCORE, 1, USUAL, "The amount is 1 standard deviation above the card's mean of the 30 days before, 25.00 EUR."),
        (ZSCORE, -2.54, USUAL, "The amount is 2.5 standard deviations below the card's mean of the 30 days before, 25.00 EUR."),
        (AMOUNT, 0, UNPRICED, "The amount is in another currency and there is no rate into EUR: it is taken for unknown."),
        (RATIO, 1, UNPRICED, "The amount is in another currency and there is no rate into EUR: it is taken for unknown."),
        (COUNT, 9, UNPRICED, "9 payments in the last day; this card's usual is 2.0."),
    ],
    ids=lambda f: f.name if isinstance(f, Feature) else "",
)  # fmt: skip
def test_a_reason_is_one_sentence(feature: Feature, value: float, usual: Usual, text: str) -> None:
    """The value in words, none and one among them; the card's own norm where there is one."""
    assert sentence(feature, value, usual, "EUR") == text


def test_every_feature_that_a_model_may_name_has_a_code_and_a_sentence() -> None:
    """No feature of the catalogue can make an alert fail for want of a text; context features are never given to a model."""
    for feature in CATALOGUE:
        if feature not in CONTEXT_FEATURES:
            assert reason_code(feature).isupper()
            assert sentence(feature, 2.0, UNKNOWN, "EUR").endswith(".")
