"""From a score to a decision: threshold, action, case. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from stream_app.features.aggregations import HOUR_S
from stream_app.features.compute import Vectors
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.alert import Action, Decider, ModelReference, Reason, RuleHit
from stream_app.rules.power import ACTIONS, Actions
from stream_app.rules.rule import ReleasePolicy

CASE_GAP_MS = 24 * HOUR_S * 1000
"""An episode of a card ends when this long has passed without an alert."""


_REVIEW, _STEP_UP, _DECLINE = (ACTIONS.index(action) for action in ("review", "step_up", "decline"))


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
        decided_by: whose word the action is, or that there is none.
        rules: that hit, those in shadow too.
        lists: that do something by themselves, and hold something of the payment.
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
    decided_by: Decider = "model"
    rules: tuple[RuleHit, ...] = ()
    lists: tuple[str, ...] = ()


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

    def actions(self, scores: Vectors) -> Actions:
        """The same of several, by their places in `power.ACTIONS`."""
        exact = scores.astype(np.float64)
        above = np.where(exact >= self.decline, _DECLINE, np.where(exact >= self.step_up, _STEP_UP, _REVIEW))
        return np.where(exact < self.threshold, 0, above).astype(np.int8)


def policy_of(metadata: ModelMetadata, threshold: float | None, released: ReleasePolicy | None = None) -> Policy:
    """The policy of a model; bands below an overruled threshold move up with it. What was released overrules both."""
    if released is not None:
        return Policy(released.threshold, released.step_up, released.decline)
    chosen = metadata.threshold if threshold is None else threshold
    return Policy(chosen, max(chosen, metadata.bands.step_up), max(chosen, metadata.bands.decline))


def case_of(alert_id: str, event_time_ms: int, case_id: str, case_last_ms: int) -> str:
    """The case of an alert: the card's present one, or a new one named after this alert."""
    if case_id and event_time_ms - case_last_ms < CASE_GAP_MS:
        return case_id
    return alert_id
