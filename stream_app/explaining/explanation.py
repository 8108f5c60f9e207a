"""One decision explained in full: every feature's contribution, exact and along the path, in words. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from stream_app.errors import ModelError
from stream_app.explaining.contributions import Additive
from stream_app.explaining.evidence import ValueEvidence
from stream_app.explaining.reason_codes import reason_code
from stream_app.explaining.sampling import Sampled
from stream_app.explaining.sentences import Usual, lacks, said_by, sentence, usual_value
from stream_app.explaining.shapley import shapley
from stream_app.features.aggregations import DAY_S
from stream_app.features.definitions import Feature
from stream_app.messages.alert import ModelReference, Score

TOLERANCE = 1e-4
"""How far the parts may add up from the raw score that was published, of it or of 1: float32 and another machine's last bits."""
_COUNT, _MEAN = Feature("count", "card", 30 * DAY_S).name, Feature("mean_amount", "card", 30 * DAY_S).name


class FeaturePart(msgspec.Struct, frozen=True):
    """What one feature did.

    Attributes:
        code, feature, value, usual, text: as in an alert's reasons.
        shapley: its exact Shapley value, a part of the raw score; below 0 where it lowered it.
        along_path: its contribution as alerts have it.
    """

    code: str
    feature: str
    value: float
    usual: float | None
    shapley: float
    along_path: float
    text: str


class Explanation(msgspec.Struct, frozen=True):
    """A decision in full: `expected` and the parts' `shapley` add up to `raw_score`, and so do `expected` and their `along_path`.

    Attributes:
        card_id, terminal_id, event_time, amount, currency: of the payment, as it says itself; time in ms since epoch.
        alerted: whether it was at or above the threshold.
        degraded: null, or why the decision rests on less than it should.
        expected: the mean raw score of the training data, or that of the reference where `sampled`.
        usual_score: the mean score of payments that the model was not fitted on; None where the model does not say.
        sampled: whether contributions are sampled, see `stream_app.explaining.sampling`: `shapley` is then `along_path`.
        parts: of every feature, the one that raised the raw score most first.
    """

    transaction_id: str
    card_id: str
    terminal_id: str
    event_time: int
    amount: float
    currency: str
    degraded: str | None
    model: ModelReference
    score: float
    raw_score: float
    threshold: float
    alerted: bool
    expected: float
    usual_score: float | None
    sampled: bool
    parts: tuple[FeaturePart, ...]


def explain(score: Score, features: Sequence[Feature], additive: Additive, currency: str, usual_score: float | None = None) -> Explanation:
    """Explain a decision that was published with its features.

    Args:
        score: as published.
        features: of the model that decided, in its order.
        additive: that model.
        currency: the base currency, for the texts.
        usual_score: the mean score, as that model's metadata has it.

    Raises:
        ModelError: the features do not give the raw score that was published: another model, or another program, decided.
    """
    vector = np.array([[score.features[feature.name] for feature in features]], dtype=np.float32)
    evidence = ValueEvidence(features)
    added = shapley(additive, vector), additive.contributions(vector)
    exact, along = (evidence.without_the_payment_itself(vector, parts)[0] for parts in added)
    found = additive.expected + float(along.sum())
    if not abs(found - score.raw_score) <= TOLERANCE * max(1.0, abs(score.raw_score)):
        raise ModelError(
            f"Transaction {score.transaction_id} of card {score.card_id} was published with raw score {score.raw_score:.6f}; its features give {found:.6f} with model "
            f"{score.model.name} version {score.model.version}. Look for the program that wrote this decision: it is not this model's."
        )
    usual = usual_of(score)
    told = {reason.feature: reason for reason in score.reasons if reason.contribution > 0}  # others are of rules
    parts = []
    for place in np.argsort(-exact, kind="stable").tolist():
        feature, value = features[place], float(vector[0, place])
        reason = told.get(feature.name)
        behind = evidence.behind(place, vector[0])
        text = reason.text if reason and not lacks(feature, usual.said) else sentence(feature, value, usual, currency, behind)
        norm = reason.usual if reason else usual_value(feature, usual)
        parts.append(FeaturePart(reason_code(feature), feature.name, value, norm, float(exact[place]), float(along[place]), text))
    return Explanation(
        transaction_id=score.transaction_id,
        card_id=score.card_id,
        terminal_id=score.terminal_id,
        event_time=score.event_time,
        amount=score.amount,
        currency=score.currency,
        degraded=score.degraded,
        model=score.model,
        score=score.score,
        raw_score=score.raw_score,
        threshold=score.threshold,
        alerted=score.action is not None,
        expected=additive.expected,
        usual_score=usual_score,
        sampled=isinstance(additive, Sampled),
        parts=tuple(parts),
    )


def usual_of(score: Score) -> Usual:
    """The card's own norm, from the features that were published: the last 30 days without this payment; unknown where they do not say."""
    priced = score.features.get("amount") != 0 or not score.amount
    if not {_COUNT, _MEAN, "amount"} <= score.features.keys():
        return Usual(None, 0, priced, said_by(score))
    count, money = score.features[_COUNT], score.features[_COUNT] * score.features[_MEAN]
    if score.approved is not False:  # a declined payment is in no window
        count, money = count - 1, money - score.features["amount"]
    return Usual(count, max(0.0, money) / count, priced, said_by(score)) if count > 0 else Usual(0, 0, priced, said_by(score))
