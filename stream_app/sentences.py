"""Reasons in words: a fixed code and one sentence for each feature. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stream_app.features.aggregations import DAY_S, HORIZON_S, HOUR_S
from stream_app.features.definitions import Feature

_MONTH_S = 30 * DAY_S

_OF_THE_PAYMENT = MappingProxyType({"amount": "AMOUNT", "weekend": "TIME_OF_WEEK", "night": "TIME_OF_DAY", "attributes": "ATTRIBUTE"})
_OF_AN_ENTITY = MappingProxyType(
    {
        "count": "VELOCITY",
        "prior_count": "VELOCITY",
        "mean_amount": "SPEND",
        "prior_mean_amount": "SPEND",
        "amount_ratio": "AMOUNT_UNUSUAL",
        "amount_zscore": "AMOUNT_UNUSUAL",
        "seconds_since_last": "RHYTHM",
        "risk": "RISK",
        "online_share": "ONLINE",
        "declines": "DECLINES",
        "declines_in_a_row": "DECLINES",
        "refunds": "REFUNDS",
        "distance_km": "TRAVEL",
        "speed_kmh": "TRAVEL",
        "first_time": "FIRST_TIME",
    }
)


def reason_code(feature: Feature) -> str:
    """The fixed code of a reason: CARD_VELOCITY, TERMINAL_RISK, … ; what is unusual for the card is just AMOUNT_UNUSUAL."""
    if feature.entity is None:
        return _OF_THE_PAYMENT[feature.aggregation]
    code = _OF_AN_ENTITY[feature.aggregation]
    return code if (feature.entity, code) == ("card", "AMOUNT_UNUSUAL") else f"{feature.entity.upper()}_{code}"


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for the card: payments and mean amount of the 30 days before, without the present payment.

    `priced`: whether the present payment's own money could be turned into the base currency.
    """

    payments: float
    mean_amount: float
    priced: bool = True


def usual_value(feature: Feature, usual: Usual) -> float | None:
    """What the feature is for this card as a rule; None where the card's history does not say, or the feature is itself a comparison."""
    if feature.entity not in {"card", None} or feature.delay_s or usual.payments == 0:
        return None
    if feature.aggregation == "count":
        return usual.payments * feature.window_s / _MONTH_S
    if feature.aggregation in {"amount", "mean_amount"}:
        return usual.mean_amount
    if feature.aggregation == "seconds_since_last":
        return _MONTH_S / usual.payments
    return None


def sentence(feature: Feature, value: float, usual: Usual, currency: str) -> str:
    """One sentence for an analyst, with the card's own norm where there is one."""
    if feature.of.of_money and not usual.priced:
        return f"The amount is in another currency and there is no rate into {currency}: it is taken for unknown."
    if feature.aggregation in {"amount_ratio", "amount_zscore"}:
        return f"{_comparison(feature, value, usual, currency)}."
    norm = usual_value(feature, usual)
    told = None if norm is None else _norm(feature, norm)
    return f"{_statement(feature, value, currency)}; this card's usual is {told}." if told else f"{_statement(feature, value, currency)}."


def _comparison(feature: Feature, value: float, usual: Usual, currency: str) -> str:
    """The amount against the entity's own mean; the mean itself where it is the card's and the window is that of the card's norm."""
    window, of = _window(feature), _name(feature)
    if feature.entity == "card" and not usual.payments:
        return f"The card has no payments of the {window} before to compare the amount with"
    mean = f"the {of}'s mean of the {window} before"
    if feature.entity == "card" and feature.window_s == _MONTH_S:
        mean += f", {usual.mean_amount:.2f} {currency}"
    return _times(value, mean) if feature.aggregation == "amount_ratio" else _deviations(value, mean)


def _norm(feature: Feature, usual: float) -> str | None:
    match feature.aggregation:
        case "amount" | "mean_amount":
            return f"{usual:.2f}"
        case "count":
            return f"{usual:.1f}" if usual >= _ROUNDS_TO_A_TENTH else "less than 0.1"
        case "seconds_since_last":
            return _span(usual)
    return None


def _statement(feature: Feature, value: float, currency: str) -> str:
    told = _TOLD.get(feature.aggregation)
    return told(feature, value, currency) if told else f"The payment's own number {feature.field} is {value:g}"


def _when(feature: Feature) -> str:
    window = _window(feature)
    return f"in the {window} that ended a week ago" if feature.delay_s else f"in the last {window}"


def _where(feature: Feature) -> str:
    return {"terminal": " at this terminal", "device": " on this device"}.get(feature.entity or "", "")


def _name(feature: Feature) -> str:
    return feature.entity or "payment"


def _last(feature: Feature, value: float) -> str:
    if value < HORIZON_S:
        return f"The {_name(feature)}'s last payment was {_span(value)} before"
    return f"No payment of this {_name(feature)} {_BEFORE}"


def _mean(feature: Feature, value: float, currency: str) -> str:
    return f"The {_name(feature)}'s mean amount over the last {_window(feature)} is {value:.2f} {currency}"


def _first(feature: Feature, value: float) -> str:
    what = {"terminal_id": "at this terminal", "country": "in this country", "device_id": "on this device"}[feature.field]
    if not value:
        return f"The card has paid {what} before, or the payment does not say where"
    return f"The card pays {what} for the first time {_BEFORE}"


_TOLD: Mapping[str, Callable[[Feature, float, str], str]] = MappingProxyType(
    {
        "amount": lambda _, value, currency: f"The amount is {value:.2f} {currency}",
        "mean_amount": _mean,
        "prior_mean_amount": _mean,
        "count": lambda feature, value, _: f"{_payments(value)}{_where(feature)} {_when(feature)}",
        "prior_count": lambda feature, value, _: f"{_payments(value)}{_where(feature)} {_when(feature)} before",
        "risk": lambda feature, value, _: f"{_share(value)} of this {_name(feature)}'s payments {_when(feature)} were fraud",
        "seconds_since_last": lambda feature, value, _: _last(feature, value),
        "weekend": lambda _, value, __: f"The payment was {'' if value else 'not '}made at the weekend",
        "night": lambda _, value, __: f"The payment was {'' if value else 'not '}made at night (UTC)",
        "online_share": lambda feature, value, _: (
            f"{_share(value)} of this {_name(feature)}'s payments {_when(feature)} before were online"
        ),
        "declines": lambda feature, value, _: f"{_payments(value, 'declined ')}{_where(feature)} {_when(feature)} before",
        "declines_in_a_row": lambda _, value, __: f"{_payments(value, 'declined ')} of the card just before, one after the other",
        "refunds": lambda feature, value, _: f"{_counted(value, 'refund')}{_where(feature)} {_when(feature)} before",
        "distance_km": lambda _, value, __: f"The payment is {value:.0f} km from the place of the card's last one",
        "speed_kmh": lambda _, value, __: f"From the place of its last payment the card would have moved at {value:,.0f} km/h",
        "first_time": lambda feature, value, _: _first(feature, value),
    }
)
"""What is said of a value, for each aggregation that is no comparison; the producer's own numbers are named."""


def _window(feature: Feature) -> str:
    return {HOUR_S: "hour", DAY_S: "day"}.get(feature.window_s, f"{feature.window_s // DAY_S} days")


_ROUNDS_TO_A_TENTH = 0.05
_ONE_PERCENT, _ALL_BUT_ONE_PERCENT = 0.01, 0.99
_BEFORE = f"in the {HORIZON_S // DAY_S} days before"


def _payments(value: float, kind: str = "") -> str:
    return _counted(value, f"{kind}payment")


def _counted(value: float, what: str) -> str:
    return {0: f"No {what}", 1: f"1 {what}"}.get(round(value), f"{value:.0f} {what}s")


def _share(value: float) -> str:
    if value in {0, 1}:
        return "All" if value else "None"
    return "Less than 1%" if value < _ONE_PERCENT else "More than 99%" if value > _ALL_BUT_ONE_PERCENT else f"{value:.0%}"


def _times(value: float, mean: str) -> str:
    if value < _ROUNDS_TO_A_TENTH:
        return f"The amount is less than a tenth of {mean}"
    return f"The amount does not stand out from {mean}" if round(value, 1) == 1 else f"The amount is {value:.1f} times {mean}"


def _deviations(value: float, mean: str) -> str:
    number = round(abs(value), 1)
    if not number:
        return f"The amount does not stand out from {mean}"
    return f"The amount is {number:g} standard deviation{'' if number == 1 else 's'} {'above' if value > 0 else 'below'} {mean}"


def _span(seconds: float) -> str:
    for size, name in ((DAY_S, "day"), (HOUR_S, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            number = round(seconds / size, 1 if size > 1 else 0)
            return f"{number:g} {name}{'' if number == 1 else 's'}"
    return "less than a second"
