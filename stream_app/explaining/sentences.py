"""Reasons in words: one sentence for each feature. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from stream_app.explaining.reason_codes import check_covered
from stream_app.features.aggregations import (
    AGGREGATIONS,
    DAY_S,
    EPISODE_GAP_DAYS,
    FIELD_OF_SET,
    HORIZON_DAYS,
    HORIZON_S,
    HOUR_S,
)
from stream_app.features.definitions import Feature
from stream_app.features.entities import ENTITIES, KINDS, OPTIONAL, Entity
from stream_app.features.facts import CHANNELS, TYPES
from stream_app.features.own_values import told_by
from stream_app.messages.iso import in_currency
from stream_app.messages.transaction import Transaction

_MONTH_S = 30 * DAY_S
PLACE, DECLINED = "place", "declined"
"""Latitude and longitude, and that it was declined, in what a payment says."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is known beside a value: of the card's 30 days before, without the present payment, and of that payment itself.

    Attributes:
        payments: how many in those days; None where nobody knows.
        mean_amount: their mean; 0: none of them had an amount that is known.
        priced: whether the present payment's own money could be turned into the base currency.
        said: what the present payment says of itself, see `said_by`. What it does not say is told as such, whatever the value.
    """

    payments: float | None
    mean_amount: float
    priced: bool = True
    said: frozenset[str] = frozenset()


def said_by(payment: Transaction) -> frozenset[str]:
    """What a payment says that it might have left out: `place`, `country`, `channel`, `mcc`, `device_id`, `attributes.<name>` of each of its own values, `declined`."""
    said = [name for name in ("country", "channel", "mcc") if getattr(payment, name) is not None]
    said += [kind.field for kind in map(KINDS.__getitem__, OPTIONAL) if kind.id_of(payment) is not None]
    said += [PLACE] if payment.latitude is not None and payment.longitude is not None else []
    said += [DECLINED] if payment.approved is False else []
    return frozenset([*said, *(f"attributes.{name}" for name, value in (payment.attributes or {}).items() if value != "")])


def lacks(feature: Feature, said: frozenset[str]) -> bool:
    """Whether the payment does not say what the feature is made of: its value is a neutral one then, and means nothing."""
    needed = needs_said(feature)
    return needed is not None and needed not in said


def needs_said(feature: Feature) -> str | None:
    """What a payment must say of itself for the feature to mean anything, as `said_by` names it; None: nothing."""
    if feature.of.fields is None:
        return feature.name
    if feature.entity in OPTIONAL:
        return KINDS[feature.entity].field
    if feature.of.of_place:
        return PLACE
    if feature.aggregation in _OF_FIELD:
        return _OF_FIELD[feature.aggregation]
    return feature.field if feature.of.compares and feature.field and feature.field not in _ALWAYS_SAID else None


def _unsaid(feature: Feature) -> str:
    if feature.of.fields is None:
        return (
            f"The payment has no {feature.field} of its own"
            if feature.is_category
            else f"The payment has no number {feature.field} of its own"
        )
    needed = needs_said(feature)
    return (
        "The payment does not say where it was made"
        if needed == PLACE
        else f"The payment names no {_CALLED.get(str(needed), str(needed).removesuffix('_id'))}"
    )


def usual_value(feature: Feature, usual: Usual) -> float | None:
    """What the feature is for this card as a rule; None where the card's history does not say, or the feature is itself a comparison."""
    if feature.entity not in {"card", None} or feature.delay_s or not usual.payments:
        return None
    if feature.aggregation == "count":
        return usual.payments * feature.window_s / _MONTH_S
    if feature.aggregation in {"amount", "mean_amount"}:
        return usual.mean_amount if usual.mean_amount >= _ROUNDS_TO_A_CENT else None
    if feature.aggregation == "seconds_since_last":
        return _MONTH_S / usual.payments
    return None


def sentence(feature: Feature, value: float, usual: Usual, currency: str, payments: int | None = None) -> str:
    """One sentence for an analyst, with the card's own norm where there is one. It states nothing that is not known.

    A value that also stands where there is no history is told as that: none known, or nothing to compare with.

    Args:
        feature: what is told of.
        value: its value.
        usual: what is known beside it.
        currency: the base currency.
        payments: how many payments a share or a mean is of, where that is known.
    """
    if lacks(feature, usual.said):
        return f"{_unsaid(feature)}."
    if feature.of.of_money and not usual.priced:
        return f"The amount is in another currency and there is no rate into {currency}: it is taken for unknown."
    if feature.aggregation in _COMPARED:
        return f"{_comparison(feature, value, usual, currency)}."
    return f"{_plain(feature, value, usual, currency, payments)}."


def _plain(feature: Feature, value: float, usual: Usual, currency: str, payments: int | None) -> str:
    """What is no comparison, with its evidence and the card's own norm."""
    if feature.of.adds_own_money and value and not usual.priced:
        return f"{_statement(feature, value, currency)}, where an amount without a rate counts as 0"
    if feature.aggregation == "risk" and payments is not None:
        return _risk_of(feature, value, payments)
    norm = usual_value(feature, usual)
    if feature.aggregation == "count" and value == 1 and not feature.delay_s and DECLINED not in usual.said:
        return f"No payment{_where(feature)} {_when(feature)} but this one{_against(norm, feature, currency)}"
    of = f", of {_payments(payments).lower()}" if payments and value and feature.aggregation == "mean_amount" else ""
    return f"{_statement(feature, value, currency)}{of}{_against(norm, feature, currency)}"


def _against(norm: float | None, feature: Feature, currency: str) -> str:
    told = None if norm is None else _norm(feature, norm, currency)
    return f"; this card's usual is {told}" if told else ""


def _comparison(feature: Feature, value: float, usual: Usual, currency: str) -> str:
    """The amount against the entity's own mean; the mean itself where it is the card's and the window is that of the card's norm."""
    window, of = _window(feature), _name(feature)
    if feature.entity == "card" and usual.payments == 0:
        return f"The card has no payments of the {window} before to compare the amount with"
    mean = f"the {of}'s mean of the {window} before"
    stands = feature.entity == "card" and feature.window_s == _MONTH_S and usual.mean_amount >= _ROUNDS_TO_A_CENT
    if stands:
        mean += f", {in_currency(usual.mean_amount, currency)} {currency}"
    return _COMPARED[feature.aggregation](value, mean, stands)


def _norm(feature: Feature, usual: float, currency: str) -> str | None:
    match feature.aggregation:
        case "amount" | "mean_amount":
            return in_currency(usual, currency)
        case "count":
            return f"{usual:.1f}" if usual >= _ROUNDS_TO_A_TENTH else "less than 0.1"
        case "seconds_since_last":
            return _span(usual)
    return None


def _statement(feature: Feature, value: float, currency: str) -> str:
    return _TOLD[feature.aggregation](feature, value, currency)


def _when(feature: Feature) -> str:
    window = _window(feature)
    return f"in the {window} that ended a week ago" if feature.delay_s else f"in the last {window}"


def _where(feature: Feature) -> str:
    return "" if feature.entity is None else _AT[feature.entity]


def _name(feature: Feature) -> str:
    return KINDS[feature.entity].called if feature.entity else "payment"


def _last(feature: Feature, value: float) -> str:
    if not value:
        return f"The {_name(feature)}'s last payment was less than a second before, or is dated later"
    if value < HORIZON_S:
        return f"The {_name(feature)}'s last payment was {_span(value)} before"
    return f"No payment of this {_name(feature)} {_BEFORE}"


def _mean(feature: Feature, value: float, currency: str) -> str:
    if not value:
        return f"No payment of the {_name(feature)} with a known amount above 0 {_when(feature)}"
    return f"The {_name(feature)}'s mean amount over the last {_window(feature)} is {in_currency(value, currency)} {currency}"


def _risk(feature: Feature, value: float) -> str:
    if not value:
        return f"No fraud is known among this {_name(feature)}'s payments {_when(feature)}"
    return f"{_share(value)} of this {_name(feature)}'s payments {_when(feature)} were fraud"


def _risk_of(feature: Feature, value: float, payments: int) -> str:
    """As `_risk`, of so many payments: one of one does not read as twenty of twenty."""
    frauds, of = round(value * payments), f"this {_name(feature)} {_when(feature)}"
    if not frauds:
        return f"None of the {_payments(payments)} of {of} is known to be fraud" if payments > 1 else _risk(feature, 0)
    if payments == 1:
        return f"The only payment of {of} was fraud"
    return f"{frauds} of the {_payments(payments)} of {of} {'was' if frauds == 1 else 'were'} fraud"


def _since_fraud(feature: Feature, value: float) -> str:
    if value >= HORIZON_DAYS:
        return f"No fraud is known among this {_name(feature)}'s payments {_when(feature)}"
    return f"This {_name(feature)}'s last known fraud was {_counted(value, 'day')} before"


def _since_episode(feature: Feature, value: float) -> str:
    if value >= HORIZON_DAYS:
        return f"No fraud is known among this {_name(feature)}'s payments {_when(feature)}"
    return f"This {_name(feature)}'s latest known frauds, none more than {EPISODE_GAP_DAYS} days after the one before, began {_counted(value, 'day')} before"


def _genuine_since(feature: Feature, value: float) -> str:
    return f"{_payments(value)}{_where(feature)} {_when(feature)}, on days after the last known fraud, if there is one"


def _episode_risk(feature: Feature, value: float) -> str:
    if not value:
        return f"No fraud is known among this {_name(feature)}'s payments {_when(feature)}"
    return f"{_share(value)} of this {_name(feature)}'s payments since its latest known frauds began, and until a week ago, were fraud"


def _online(feature: Feature, value: float) -> str:
    if not value:
        return f"No payment of this {_name(feature)} {_when(feature)} before is known to be online"
    return f"{_share(value)} of this {_name(feature)}'s payments {_when(feature)} before are known to be online"


def _distance(value: float) -> str:
    if not value:
        return "The payment is at the card's last known place, or none is known"
    return f"The payment is {_whole(value)} km from the card's last known place"


def _speed(value: float) -> str:
    if not value:
        return "The card has not moved from its last known place, or none is known"
    return f"From its last known place the card would have moved at {_whole(value)} km/h"


def _category(feature: Feature, value: float) -> str:
    text = told_by(feature.vocabulary, value)
    if text is None:
        return f"The payment's own {feature.field} is a value that the model does not know"
    return f"The payment's own {feature.field} is {text!r}"


def _first(feature: Feature, value: float) -> str:
    what = _WHERE_FIRST[feature.field]
    if not value:
        return f"The card has paid {what} before"
    return f"The card pays {what} for the first time {_BEFORE}"


def _channel(value: float) -> str:
    text = _TEXT_OF_CHANNEL.get(round(value))
    return f"The payment was made {_MADE[text]}" if text else "The payment was made in a way that is not known"


def _distinct(feature: Feature, value: float) -> str:
    what, many = _DIFFERENT[feature.field]
    if not value:
        return f"No payment of the card {_BEFORE} names a {what}"
    about = "" if feature.field in {"country", "hour"} else "about "
    return f"The card's payments {_BEFORE} name {f'1 {what}' if value == 1 else f'{about}{value:.0f} different {many}'}"


def _other_country(value: float) -> str:
    return f"The card's last payment that names a country names {'another' if value else 'the same, or there is none'}"


def _cards(feature: Feature, value: float) -> str:
    if not value:
        return f"No card paid{_where(feature)} {_when(feature)} before"
    return f"{'1 card' if value == 1 else f'About {value:.0f} different cards'} paid{_where(feature)} {_when(feature)} before"


def _to_largest(value: float) -> str:
    return f"{_EVEN} {_LARGEST}, or there is none" if value == 1 else _times(value, _LARGEST)


_TOLD: Mapping[str, Callable[[Feature, float, str], str]] = MappingProxyType(
    {
        "amount": lambda _, value, currency: f"The amount is {in_currency(value, currency)} {currency}",
        "mean_amount": _mean,
        "prior_mean_amount": _mean,
        "count": lambda feature, value, _: f"{_payments(value)}{_where(feature)} {_when(feature)}",
        "prior_count": lambda feature, value, _: f"{_payments(value)}{_where(feature)} {_when(feature)} before",
        "risk": lambda feature, value, _: _risk(feature, value),
        "days_since_fraud": lambda feature, value, _: _since_fraud(feature, value),
        "days_since_episode": lambda feature, value, _: _since_episode(feature, value),
        "genuine_since_fraud": lambda feature, value, _: _genuine_since(feature, value),
        "episode_risk": lambda feature, value, _: _episode_risk(feature, value),
        "seconds_since_last": lambda feature, value, _: _last(feature, value),
        "weekend": lambda _, value, __: f"The payment was {'' if value else 'not '}made at the weekend",
        "night": lambda _, value, __: f"The payment was {'' if value else 'not '}made at night (UTC)",
        "online_share": lambda feature, value, _: _online(feature, value),
        "declines": lambda feature, value, _: f"{_payments(value, 'declined ')}{_where(feature)} {_when(feature)} before",
        "declines_in_a_row": lambda _, value, __: f"{_payments(value, 'declined ')} of the card just before, one after the other",
        "refunds": lambda feature, value, _: f"{_counted(value, 'refund')}{_where(feature)} {_when(feature)} before",
        "distance_km": lambda _, value, __: _distance(value),
        "speed_kmh": lambda _, value, __: _speed(value),
        "first_time": lambda feature, value, _: _first(feature, value),
        "distinct": lambda feature, value, _: _distinct(feature, value),
        "cards": lambda feature, value, _: _cards(feature, value),
        "same_amount": lambda _, value, __: f"The card has {'' if value else 'not '}paid this very amount in the 2 days before",
        "amount_to_largest": lambda _, value, __: _to_largest(value),
        "other": lambda _, value, __: _other_country(value),
        "channel_code": lambda _, value, __: _channel(value),
        "type_code": lambda _, value, __: f"The payment is a {_TEXT_OF_TYPE.get(round(value), 'payment of an unknown type')}",
        "mcc_code": lambda _, value, __: f"The merchant's category is {value:04.0f}",
        "attributes": lambda feature, value, _: f"The payment's own number {feature.field} is {value:g}",
        "category": lambda feature, value, _: _category(feature, value),
    }
)
"""What is said of a value, for each aggregation that is no comparison."""

_COMPARED: Mapping[str, Callable[[float, str, bool], str]] = MappingProxyType(
    {
        "amount_ratio": lambda value, mean, stands: (
            f"{_EVEN} {mean}, or there is none" if value == 1 and not stands else _times(value, mean)
        ),
        "amount_zscore": lambda value, mean, _: _deviations(value, mean) if value else f"{_EVEN} {mean}, or {_TOO_FEW}",
    }
)
"""The same for each that is one: of a value, the mean that it is held against, and whether that is known."""
_AT: Mapping[Entity, str] = MappingProxyType(
    {
        "card": "",
        "terminal": " at this terminal",
        "device": " on this device",
        "merchant": " at this merchant",
        "mcc": " in this merchant category",
        "country": " in this country",
        "ip": " from this IP network",
    }
)
_WHERE_FIRST = MappingProxyType(
    {
        "terminal_id": "at this terminal",
        "country": "in this country",
        "device_id": "on this device",
        "mcc": "in this merchant category",
        "hour": "in this hour of the day (UTC)",
    }
)
_DIFFERENT = MappingProxyType(
    {
        "terminal_id": ("terminal", "terminals"),
        "country": ("country", "countries"),
        "device_id": ("device", "devices"),
        "mcc": ("merchant category", "merchant categories"),
        "hour": ("hour", "hours of the day"),
    }
)
_OF_FIELD = MappingProxyType({"channel_code": "channel", "mcc_code": "mcc"})
_ALWAYS_SAID = frozenset({"terminal_id", "hour"})
_CALLED = MappingProxyType({"mcc": "merchant category", "ip": "IP address that can be read"})
_MADE = MappingProxyType(
    {
        "chip": "by chip",
        "contactless": "without contact",
        "atm": "at a cash machine",
        "magstripe": "by magnetic stripe",
        "moto": "by mail or telephone",
        "online": "online",
    }
)
_TEXT_OF_CHANNEL: Mapping[int, str] = {number: text for text, number in CHANNELS.items() if text}
_TEXT_OF_TYPE: Mapping[int, str] = {number: text for text, number in TYPES.items() if text}


check_covered(AGGREGATIONS, {*_TOLD, *_COMPARED}, "a sentence in `sentences._TOLD`")
check_covered(ENTITIES, _AT, "words in `sentences._AT`")
check_covered(FIELD_OF_SET, _WHERE_FIRST, "words in `sentences._WHERE_FIRST`")
check_covered(FIELD_OF_SET, _DIFFERENT, "words in `sentences._DIFFERENT`")
check_covered([name for name in CHANNELS if name], _MADE, "words in `sentences._MADE`")


def _window(feature: Feature) -> str:
    return {HOUR_S: "hour", DAY_S: "day"}.get(feature.window_s, f"{feature.window_s // DAY_S} days")


_ROUNDS_TO_A_TENTH, _ROUNDS_TO_A_CENT = 0.05, 0.005
_ONE_PERCENT, _ALL_BUT_ONE_PERCENT = 0.01, 0.99
_EVEN = "The amount does not stand out from"
_TOO_FEW = "the payments of that time are too few or too alike to tell"
_LARGEST = f"the card's largest of the {HORIZON_S // DAY_S} days before"
_BEFORE = f"in the {HORIZON_S // DAY_S} days before"


def _payments(value: float, kind: str = "") -> str:
    return _counted(value, f"{kind}payment")


def _counted(value: float, what: str) -> str:
    return {0: f"No {what}", 1: f"1 {what}"}.get(round(value), f"{value:.0f} {what}s")


def _share(value: float) -> str:
    if value == 1:
        return "All"
    return "Less than 1%" if value < _ONE_PERCENT else "More than 99%" if value > _ALL_BUT_ONE_PERCENT else f"{value:.0%}"


def _times(value: float, mean: str) -> str:
    if value < _ROUNDS_TO_A_TENTH:
        return f"The amount is less than a tenth of {mean}"
    return f"{_EVEN} {mean}" if round(value, 1) == 1 else f"The amount is {value:.1f} times {mean}"


def _deviations(value: float, mean: str) -> str:
    number = round(abs(value), 1)
    if not number:
        return f"{_EVEN} {mean}"
    return f"The amount is {number:g} standard deviation{'' if number == 1 else 's'} {'above' if value > 0 else 'below'} {mean}"


def _whole(value: float) -> str:
    return "less than 1" if value < 1 else f"{value:,.0f}"


def _span(seconds: float) -> str:
    for size, name in ((DAY_S, "day"), (HOUR_S, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            number = round(seconds / size, 1 if size > 1 else 0)
            return f"{number:g} {name}{'' if number == 1 else 's'}"
    return "less than a second"
