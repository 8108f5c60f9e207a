"""From a score to an action and a case; the words for a reason."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.explaining.reason_codes import reason_code
from stream_app.explaining.sentences import Usual, lacks, said_by, sentence, usual_value
from stream_app.features.aggregations import DAY_S, DELAY_S, HORIZON_S, HOUR_S
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, Feature
from stream_app.features.model_metadata import Bands, ModelMetadata, ParityVectors
from stream_app.messages.transaction import Transaction
from stream_app.scoring.decision import CASE_GAP_MS, Policy, case_of, policy_of

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
        (COUNT, 1, USUAL, "No payment in the last day but this one; this card's usual is 2.0."),
        (COUNT, 0, Usual(1, 25.0), "No payment in the last day; this card's usual is less than 0.1."),
        (Feature("count", "terminal", HOUR_S), 0, UNKNOWN, "No payment at this terminal in the last hour."),
        (Feature("count", "terminal", DAY_S, DELAY_S), 1, UNKNOWN, "1 payment at this terminal in the day that ended a week ago."),
        (RISK, 0, UNKNOWN, "No fraud is known among this terminal's payments in the 7 days that ended a week ago."),
        (RISK, 1, UNKNOWN, "All of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (RISK, 0.004, UNKNOWN, "Less than 1% of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (RISK, 0.996, UNKNOWN, "More than 99% of this terminal's payments in the 7 days that ended a week ago were fraud."),
        (Feature("seconds_since_last", "card"), 0, UNKNOWN, "The card's last payment was less than a second before, or is dated later."),
        (Feature("seconds_since_last", "card"), 1, UNKNOWN, "The card's last payment was 1 second before."),
        (Feature("seconds_since_last", "card"), DAY_S, UNKNOWN, "The card's last payment was 1 day before."),
        (Feature("seconds_since_last", "card"), HORIZON_S, UNKNOWN, "No payment of this card in the 38 days before."),
        (Feature("mean_amount", "card", DAY_S), 0, UNKNOWN, "No payment of the card with a known amount above 0 in the last day."),
        (RATIO, 9.44, USUAL, "The amount is 9.4 times the card's mean of the 30 days before, 25.00 EUR."),
        (RATIO, 0, USUAL, "The amount is less than a tenth of the card's mean of the 30 days before, 25.00 EUR."),
        (RATIO, 1, USUAL, "The amount does not stand out from the card's mean of the 30 days before, 25.00 EUR."),
        (RATIO, 1, UNKNOWN, "The card has no payments of the 30 days before to compare the amount with."),
        (Feature("amount_ratio", "card", 7 * DAY_S), 3, USUAL, "The amount is 3.0 times the card's mean of the 7 days before."),
        (ZSCORE, 0.04, USUAL, "The amount does not stand out from the card's mean of the 30 days before, 25.00 EUR."),
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


def said(*names: str, payments: float | None = 60, mean_amount: float = 25.0, priced: bool = True) -> Usual:
    """A card with a past, and a payment that says these things of itself."""
    return Usual(payments, mean_amount, priced, frozenset(names))


@pytest.mark.parametrize(
    ("feature", "value", "payments", "text"),
    [
        (RISK, 7 / 9, 9, "7 of the 9 payments of this terminal in the 7 days that ended a week ago were fraud."),
        (RISK, 1 / 9, 9, "1 of the 9 payments of this terminal in the 7 days that ended a week ago was fraud."),
        (RISK, 1, 20, "20 of the 20 payments of this terminal in the 7 days that ended a week ago were fraud."),
        (RISK, 1, 1, "The only payment of this terminal in the 7 days that ended a week ago was fraud."),
        (RISK, 0, 9, "None of the 9 payments of this terminal in the 7 days that ended a week ago is known to be fraud."),
        (RISK, 0, 0, "No fraud is known among this terminal's payments in the 7 days that ended a week ago."),
        (Feature("mean_amount", "card", HOUR_S), 20, 3, "The card's mean amount over the last hour is 20.00 EUR, of 3 payments."),
        (Feature("mean_amount", "card", HOUR_S), 20, 1, "The card's mean amount over the last hour is 20.00 EUR, of 1 payment."),
    ],
)  # fmt: skip
def test_a_share_says_of_how_many_payments_it_is(feature: Feature, value: float, payments: int, text: str) -> None:
    """One of one does not read as twenty of twenty."""
    assert sentence(feature, float(np.float32(value)), UNKNOWN, "EUR", payments) == text


def test_the_payment_itself_is_no_velocity_unless_it_was_declined() -> None:
    """A count holds the present payment; of a declined one it does not, and the one that is counted is another."""
    last_hour = Feature("count", "terminal", HOUR_S)
    assert sentence(last_hour, 1, UNKNOWN, "EUR") == "No payment at this terminal in the last hour but this one."
    assert sentence(last_hour, 1, said("declined"), "EUR") == "1 payment at this terminal in the last hour."
    plain = Transaction("a", 1, "c", "t", 1.0, "EUR")
    assert said_by(msgspec.structs.replace(plain, approved=False)) == {"declined"}
    assert said_by(msgspec.structs.replace(plain, approved=True)) == frozenset()


DISTANCE, SPEED, SHARE = Feature("distance_km", "card"), Feature("speed_kmh", "card"), Feature("online_share", "card", 30 * DAY_S)
OF_DEVICE, OWN = Feature("mean_amount", "device", HOUR_S), Feature("attributes", field="v1")
NEW_TERMINAL, NEW_COUNTRY, NEW_DEVICE = (Feature("first_time", "card", HORIZON_S, field=f) for f in ("terminal_id", "country", "device_id"))
NEW_CATEGORY, NEW_HOUR = (Feature("first_time", "card", HORIZON_S, field=f) for f in ("mcc", "hour"))
SAME_AMOUNT, TO_LARGEST = Feature("same_amount", "card", 2 * DAY_S), Feature("amount_to_largest", "card", HORIZON_S)
OTHER_COUNTRY = Feature("other", "card", HORIZON_S, field="country")
OF_TERMINAL, IN_A_WEEK = Feature("amount_ratio", "terminal", 7 * DAY_S), Feature("amount_zscore", "card", 7 * DAY_S)


@pytest.mark.parametrize(
    ("feature", "value", "usual", "text"),
    [
        (DISTANCE, 0, said(), "The payment does not say where it was made."),
        (DISTANCE, 0, said("place"), "The payment is at the card's last known place, or none is known."),
        (DISTANCE, 0.2, said("place"), "The payment is less than 1 km from the card's last known place."),
        (DISTANCE, 1200, said("place"), "The payment is 1,200 km from the card's last known place."),
        (SPEED, 0, said(), "The payment does not say where it was made."),
        (SPEED, 0, said("place"), "The card has not moved from its last known place, or none is known."),
        (SPEED, 0.3, said("place"), "From its last known place the card would have moved at less than 1 km/h."),
        (SPEED, 900, said("place"), "From its last known place the card would have moved at 900 km/h."),
        (OF_DEVICE, 0, said(), "The payment names no device."),
        (OF_DEVICE, 0, said("device_id"), "No payment of the device with a known amount above 0 in the last hour."),
        (OF_DEVICE, 5, said("device_id"), "The device's mean amount over the last hour is 5.00 EUR."),
        (Feature("amount_ratio", "device", HOUR_S), 1, said(), "The payment names no device."),
        (Feature("declines", "device", HOUR_S), 0, said(), "The payment names no device."),
        (NEW_TERMINAL, 0, said(), "The card has paid at this terminal before."),
        (NEW_COUNTRY, 0, said(), "The payment names no country."),
        (NEW_COUNTRY, 0, said("country"), "The card has paid in this country before."),
        (NEW_DEVICE, 0, said("country"), "The payment names no device."),
        (NEW_DEVICE, 1, said("device_id"), "The card pays on this device for the first time in the 38 days before."),
        (OWN, 0, said("attributes.v2"), "The payment has no number v1 of its own."),
        (OWN, 0, said("attributes.v1"), "The payment's own number v1 is 0."),
        (SHARE, 0, said(), "No payment of this card in the last 30 days before is known to be online."),
        (SHARE, 0.5, said(), "50% of this card's payments in the last 30 days before are known to be online."),
        (OF_TERMINAL, 1, said(), "The amount does not stand out from the terminal's mean of the 7 days before, or there is none."),
        (OF_TERMINAL, 1.01, said(), "The amount does not stand out from the terminal's mean of the 7 days before."),
        (Feature("amount_ratio", "card", HOUR_S), 1, said(), "The amount does not stand out from the card's mean of the hour before, or there is none."),
        (RATIO, 1, said(mean_amount=0), "The amount does not stand out from the card's mean of the 30 days before, or there is none."),
        (RATIO, 3, said(payments=None, mean_amount=0), "The amount is 3.0 times the card's mean of the 30 days before."),
        (IN_A_WEEK, 0, said(), "The amount does not stand out from the card's mean of the 7 days before, or the payments of that time are too few or too alike to tell."),
        (ZSCORE, 0, said(payments=1), "The amount does not stand out from the card's mean of the 30 days before, 25.00 EUR, or the payments of that time are too few or too alike to tell."),
        (AMOUNT, 9, said(mean_amount=0), "The amount is 9.00 EUR."),
        (Feature("channel_code"), 0, said(), "The payment names no channel."),
        (Feature("channel_code"), 4, said("channel"), "The payment was made by magnetic stripe."),
        (Feature("channel_code"), 6, said("channel"), "The payment was made online."),
        (Feature("type_code"), 0, said(), "The payment is a purchase."),
        (Feature("type_code"), 2, said(), "The payment is a verification."),
        (Feature("mcc_code"), -1, said(), "The payment names no merchant category."),
        (Feature("mcc_code"), 742, said("mcc"), "The merchant's category is 0742."),
        (NEW_CATEGORY, 0, said(), "The payment names no merchant category."),
        (NEW_CATEGORY, 1, said("mcc"), "The card pays in this merchant category for the first time in the 38 days before."),
        (NEW_HOUR, 0, said(), "The card has paid in this hour of the day (UTC) before."),
        (NEW_HOUR, 1, said(), "The card pays in this hour of the day (UTC) for the first time in the 38 days before."),
        (Feature("distinct", "card", HORIZON_S, field="country"), 0, said(), "No payment of the card in the 38 days before names a country."),
        (Feature("distinct", "card", HORIZON_S, field="country"), 3, said(), "The card's payments in the 38 days before name 3 different countries."),
        (Feature("distinct", "card", HORIZON_S, field="device_id"), 1, said(), "The card's payments in the 38 days before name 1 device."),
        (Feature("distinct", "card", HORIZON_S, field="mcc"), 7, said(), "The card's payments in the 38 days before name about 7 different merchant categories."),
        (Feature("cards", "terminal", HOUR_S), 0, said(), "No card paid at this terminal in the last hour before."),
        (Feature("cards", "terminal", HOUR_S), 1, said(), "1 card paid at this terminal in the last hour before."),
        (Feature("cards", "device", DAY_S), 12, said(), "The payment names no device."),
        (Feature("cards", "device", DAY_S), 12, said("device_id"), "About 12 different cards paid on this device in the last day before."),
        (SAME_AMOUNT, 1, said(), "The card has paid this very amount in the 2 days before."),
        (SAME_AMOUNT, 0, said(), "The card has not paid this very amount in the 2 days before."),
        (SAME_AMOUNT, 0, said(priced=False), "The amount is in another currency and there is no rate into EUR: it is taken for unknown."),
        (TO_LARGEST, 1, said(), "The amount does not stand out from the card's largest of the 38 days before, or there is none."),
        (TO_LARGEST, 3, said(), "The amount is 3.0 times the card's largest of the 38 days before."),
        (OTHER_COUNTRY, 0, said(), "The payment names no country."),
        (OTHER_COUNTRY, 0, said("country"), "The card's last payment that names a country names the same, or there is none."),
        (OTHER_COUNTRY, 1, said("country"), "The card's last payment that names a country names another."),
        (Feature("mean_amount", "card", DAY_S), 5, said(priced=False), "The card's mean amount over the last day is 5.00 EUR, where an amount without a rate counts as 0."),
    ],
    ids=lambda f: f.name if isinstance(f, Feature) else "",
)  # fmt: skip
def test_nothing_is_stated_that_is_not_known(feature: Feature, value: float, usual: Usual, text: str) -> None:
    """A neutral value is told as what it stands for: the payment does not say, or there is no history; never as a measurement."""
    assert sentence(feature, value, usual, "EUR") == text


def test_what_a_payment_says_of_itself_is_read_from_its_message() -> None:
    """Each optional field that a feature is made of; half a place is none."""
    plain = Transaction("a", 1, "c", "t", 1.0, "EUR")
    assert said_by(plain) == frozenset()
    full = msgspec.structs.replace(
        plain, country="FR", channel="chip", mcc="0742", device_id="d", latitude=0.0, longitude=0.0, attributes={"v1": 0.0}
    )
    assert said_by(full) == {"country", "channel", "mcc", "device_id", "place", "attributes.v1"}
    assert said_by(msgspec.structs.replace(full, longitude=None)) == {"country", "channel", "mcc", "device_id", "attributes.v1"}


def test_without_what_it_is_made_of_no_feature_states_a_value() -> None:
    """Every feature of the catalogue, of a payment that says nothing more of itself than it must: its sentence holds no number of the value."""
    for feature in CATALOGUE:
        if lacks(feature, frozenset()):
            assert not any(c.isdigit() for c in sentence(feature, 7777.0, UNKNOWN, "EUR"))
    assert {f.entity for f in CATALOGUE if lacks(f, frozenset())} == {None, "card", "device", "merchant", "mcc", "country", "ip"}


def test_every_feature_that_a_model_may_name_has_a_code_and_a_sentence() -> None:
    """No feature of the catalogue can make an alert fail for want of a text; context features are never given to a model."""
    for feature in CATALOGUE:
        if feature not in CONTEXT_FEATURES:
            assert reason_code(feature).isupper()
            assert sentence(feature, 2.0, UNKNOWN, "EUR").endswith(".")
