"""From a score to a decision: threshold, action, case; and the words for its reasons. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from stream_app.alert import Action
from stream_app.features.definitions import DAY_S, HORIZON_S, HOUR_S, OF_THE_PAYMENTS_MONEY, Feature
from stream_app.model_metadata import ModelMetadata

CASE_GAP_MS = 24 * HOUR_S * 1000
"""An episode of a card ends when this long has passed without an alert."""

_MONTH_S = 30 * DAY_S

REASON_CODES = MappingProxyType(
    {
        "amount": "AMOUNT",
        "weekend": "TIME_OF_WEEK",
        "night": "TIME_OF_DAY",
        "card_count": "CARD_VELOCITY",
        "card_mean_amount": "CARD_SPEND",
        "card_amount_ratio": "AMOUNT_UNUSUAL",
        "card_amount_zscore": "AMOUNT_UNUSUAL",
        "card_seconds_since_last": "CARD_RHYTHM",
        "terminal_count": "TERMINAL_VELOCITY",
        "terminal_risk": "TERMINAL_RISK",
    }
)
"""Fixed codes of reasons, by entity and aggregation of the feature."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for the card: payments and mean amount of the 30 days before, without the present payment.

    `priced`: whether the present payment's own money could be turned into the base currency.
    """

    payments: float
    mean_amount: float
    priced: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """Threshold and bands, from the model or overruled by the settings."""

    threshold: float
    step_up: float
    decline: float

    def action(self, score: float) -> Action | None:
        """The action for a score; None below the threshold."""
        if score < self.threshold:
            return None
        if score >= self.decline:
            return "decline"
        return "step_up" if score >= self.step_up else "review"


def policy_of(metadata: ModelMetadata, threshold: float | None) -> Policy:
    """The policy of a model; bands below an overruled threshold move up with it."""
    chosen = metadata.threshold if threshold is None else threshold
    return Policy(chosen, max(chosen, metadata.bands.step_up), max(chosen, metadata.bands.decline))


def case_of(transaction_id: str, event_time_ms: int, case_id: str, case_last_ms: int) -> str:
    """The case of an alert: the card's present one, or a new one named after this transaction."""
    if case_id and event_time_ms - case_last_ms < CASE_GAP_MS:
        return case_id
    return transaction_id


def usual_value(feature: Feature, usual: Usual) -> float | None:
    """What the feature is for this card as a rule; None where the card's history does not say, or the feature is itself a comparison."""
    if feature.entity == "terminal" or usual.payments == 0:
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
    if feature.aggregation in OF_THE_PAYMENTS_MONEY and not usual.priced:
        return f"The amount is in another currency and there is no rate into {currency}: it is taken for unknown."
    if feature.aggregation in {"amount_ratio", "amount_zscore"}:
        return f"{_comparison(feature, value, usual, currency)}."
    norm = usual_value(feature, usual)
    told = None if norm is None else _norm(feature, norm)
    return f"{_statement(feature, value, currency)}; this card's usual is {told}." if told else f"{_statement(feature, value, currency)}."


def _comparison(feature: Feature, value: float, usual: Usual, currency: str) -> str:
    """The amount against the card's own mean; the mean itself where the window is that of the card's norm."""
    window = _window(feature)
    if not usual.payments:
        return f"The card has no payments of the {window} before to compare the amount with"
    mean = f"the card's mean of the {window} before"
    if feature.window_s == _MONTH_S:
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
    window = _window(feature)
    when = f"in the {window} that ended a week ago" if feature.delay_s else f"in the last {window}"
    match feature.aggregation:
        case "amount":
            text = f"The amount is {value:.2f} {currency}"
        case "mean_amount":
            text = f"The card's mean amount over the last {window} is {value:.2f} {currency}"
        case "count":
            text = f"{_payments(value)}{' at this terminal' if feature.entity == 'terminal' else ''} {when}"
        case "risk":
            text = f"{_share(value)} of this terminal's payments {when} were fraud"
        case "seconds_since_last":
            text = f"The card's last payment was {_span(value)} before" if value < HORIZON_S else f"No payment of this card {_BEFORE}"
        case "weekend":
            text = f"The payment was {'' if value else 'not '}made at the weekend"
        case _:
            text = f"The payment was {'' if value else 'not '}made at night (UTC)"
    return text


def _window(feature: Feature) -> str:
    return {HOUR_S: "hour", DAY_S: "day"}.get(feature.window_s, f"{feature.window_s // DAY_S} days")


_ROUNDS_TO_A_TENTH = 0.05
_ONE_PERCENT, _ALL_BUT_ONE_PERCENT = 0.01, 0.99
_BEFORE = f"in the {HORIZON_S // DAY_S} days before"


def _payments(value: float) -> str:
    return {0: "No payment", 1: "1 payment"}.get(round(value), f"{value:.0f} payments")


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
