"""From a score to a decision: threshold, action, case, reasons. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from stream_app.alert import Action, Reason
from stream_app.features.compute import Vectors
from stream_app.features.definitions import DAY_S, HOUR_S, Feature
from stream_app.model_metadata import ModelMetadata

CASE_GAP_MS = 24 * HOUR_S * 1000
"""An episode of a card ends when this long has passed without an alert."""

REASONS_PER_ALERT = 3
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
    """What is usual for the card: payments and mean amount of the 30 days before, without the present payment."""

    payments: float
    mean_amount: float


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


class Reasons:
    """Reasons by occlusion: each feature in turn takes its median over the training data; what the score loses is its contribution.

    Honest, cheap and model-agnostic; features that stand in for one another share less than their due. Contributions to risk
    only: a feature that lowers the score is never a reason.
    """

    def __init__(self, features: Sequence[Feature], typical: Sequence[float], score: Callable[[Vectors], Vectors]) -> None:
        self._features = tuple(features)
        self._typical = np.array(typical, dtype=np.float32)
        self._score = score

    def of(self, vectors: Vectors, scores: Vectors, usual: Sequence[Usual], currency: str) -> list[tuple[Reason, ...]]:
        """The strongest reasons of each decision.

        Args:
            vectors: float32 [decisions, features] of the decisions to explain.
            scores: float32 [decisions].
            usual: the card's own norm, for each decision.
            currency: the base currency, for the texts.
        """
        count, width = vectors.shape
        occluded = np.repeat(vectors, width, axis=0)
        rows = np.arange(count * width)
        occluded[rows, rows % width] = np.tile(self._typical, count)
        lost = scores[:, None] - self._score(occluded).reshape(count, width)
        strongest = np.argsort(-lost, axis=1, kind="stable")[:, :REASONS_PER_ALERT]
        return [
            tuple(self._reason(int(j), float(vectors[i, j]), float(lost[i, j]), usual[i], currency) for j in strongest[i] if lost[i, j] > 0)
            for i in range(count)
        ]

    def _reason(self, column: int, value: float, contribution: float, usual: Usual, currency: str) -> Reason:
        feature = self._features[column]
        norm = usual_value(feature, usual)
        kind = f"{feature.entity}_{feature.aggregation}" if feature.entity else feature.aggregation
        return Reason(REASON_CODES[kind], feature.name, value, norm, contribution, sentence(feature, value, norm, currency))


def usual_value(feature: Feature, usual: Usual) -> float | None:
    """What the feature is for this card as a rule; None where the card's history does not say."""
    if feature.entity == "terminal" or usual.payments == 0:
        return None
    if feature.aggregation == "count":
        return usual.payments * feature.window_s / _MONTH_S
    if feature.aggregation in {"amount", "mean_amount"}:
        return usual.mean_amount
    if feature.aggregation == "seconds_since_last":
        return _MONTH_S / usual.payments
    return {"amount_ratio": 1.0, "amount_zscore": 0.0}.get(feature.aggregation)


def _span(seconds: float) -> str:
    for size, name in ((DAY_S, "day"), (HOUR_S, "hour"), (60, "minute")):
        if seconds >= size:
            number = round(seconds / size, 1)
            return f"{number:g} {name}{'' if number == 1 else 's'}"
    return f"{seconds:.0f} seconds"


def sentence(feature: Feature, value: float, usual: float | None, currency: str) -> str:
    """One sentence for an analyst, with the card's own norm where there is one."""
    window = "hour" if feature.window_s == HOUR_S else "day" if feature.window_s == DAY_S else f"{feature.window_s // DAY_S} days"
    match feature.aggregation, feature.entity:
        case "amount", _:
            text, norm = f"The amount is {value:.2f} {currency}", f"{usual or 0:.2f}"
        case "mean_amount", _:
            text, norm = f"The card's mean amount over the last {window} is {value:.2f} {currency}", f"{usual or 0:.2f}"
        case "count", "card":
            text, norm = f"{value:.0f} payments in the last {window}", f"{usual or 0:.1f}"
        case "count", _:
            when = f" in the {window} that ended a week ago" if feature.delay_s else f" in the last {window}"
            text, norm = f"{value:.0f} payments at this terminal{when}", ""
        case "risk", _:
            text, norm = f"{value:.0%} of this terminal's payments in the {window} that ended a week ago were fraud", ""
        case "amount_ratio", _:
            text, norm = f"The amount is {value:.1f} times the card's mean of {window}", "1.0"
        case "amount_zscore", _:
            text, norm = f"The amount is {value:.1f} standard deviations above the card's mean of {window}", "0.0"
        case "seconds_since_last", _:
            text, norm = f"The card's last payment was {_span(value)} before", _span(usual or 0)
        case _:
            text, norm = (
                "The payment was made at the weekend" if feature.aggregation == "weekend" else "The payment was made at night (UTC)",
                "",
            )
    if not value and feature.aggregation in {"weekend", "night"}:
        text = f"The payment was not made at {'the weekend' if feature.aggregation == 'weekend' else 'night (UTC)'}"
    return f"{text}; this card's usual is {norm}." if usual is not None and norm else f"{text}."
