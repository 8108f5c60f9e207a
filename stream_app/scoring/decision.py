"""From a score to a decision: threshold, action, case. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from stream_app.features.aggregations import HOUR_S
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.alert import Action, ModelReference, Reason

CASE_GAP_MS = 24 * HOUR_S * 1000
"""An episode of a card ends when this long has passed without an alert."""


class Verdict(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The decision on a payment. What holds these fields derives from it, or is held to it by a test.

    Attributes:
        score: calibrated probability of fraud.
        raw_score: what the model added up, before it became a probability.
        threshold: score from which a payment alerts.
        action: None below the threshold.
        case_id: the episode that its alert belongs to; None without an alert.
        model: that decided.
        reasons: why the score is high; empty below the threshold.
        degraded: None, or why this rests on less than it should.
        scored_at: Unix time, ms.
    """

    score: float
    raw_score: float
    threshold: float
    action: Action | None
    case_id: str | None
    model: ModelReference
    reasons: tuple[Reason, ...]
    degraded: str | None
    scored_at: int


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


def case_of(alert_id: str, event_time_ms: int, case_id: str, case_last_ms: int) -> str:
    """The case of an alert: the card's present one, or a new one named after this alert."""
    if case_id and event_time_ms - case_last_ms < CASE_GAP_MS:
        return case_id
    return alert_id
