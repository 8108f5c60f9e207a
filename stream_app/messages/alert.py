"""What Fraudstream publishes: alerts, decisions (scores) and the headers of dead letters."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from stream_app.messages.event_time import MAX_EVENT_TIME_MS
from stream_app.messages.transaction import Identifier, Transaction

Action = Literal["review", "step_up", "decline"]
Decider = Literal["model", "rule", "suppression", "block", "allow", "final_block"]
RuleEffect = Literal["alert", "suppress"]
RuleMode = Literal["shadow", "live"]
Name = Annotated[str, Meta(min_length=1)]
Probability = Annotated[float, Meta(ge=0, le=1)]
NonNegative = Annotated[int, Meta(ge=0, le=2**63 - 1)]
ClockMs = Annotated[int, Meta(ge=0, le=MAX_EVENT_TIME_MS)]


class ModelReference(msgspec.Struct, frozen=True, gc=False):
    """The registered model that decided."""

    name: Name
    version: Name


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why the raw score is high, one feature at a time.

    Attributes:
        code: fixed code from `stream_app.explaining.reason_codes.reason_code`.
        feature: name of the feature.
        value: its value in this decision.
        usual: the same for this card or terminal as a rule; None where that is unknown, or the feature is itself a comparison with it.
        contribution: what the feature added to the raw score, see `stream_app.explaining.contributions`; above 0.
        text: one sentence for an analyst.
        sampled: whether the contribution is a mean over sampled orders, for a model that does not say what its features add.
    """

    code: Name
    feature: Name
    value: float
    usual: float | None
    contribution: float
    text: Name
    sampled: bool = False


type Seen = float | str | bool | None


class RuleHit(msgspec.Struct, frozen=True, gc=False):
    """A rule that hit a payment.

    Attributes:
        action: of a rule that alerts.
        values: what it saw, by name; None where that was unknown. A time is in ms.
        text: its sentence, with values.
    """

    code: Name
    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    mode: RuleMode
    effect: RuleEffect
    action: Action | None
    values: dict[str, Seen]
    text: str


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where in Kafka the transaction stands."""

    topic: Annotated[str, Meta(min_length=1, max_length=249)]
    partition: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    offset: NonNegative


class Beside(msgspec.Struct, frozen=True, gc=False):
    """What the model that does not decide says of the same payment: the challenger as a rule; the champion where the challenger decides.

    Attributes:
        role: which of the two it is.
        score, threshold, action: its own.
    """

    role: Literal["champion", "challenger"]
    model: ModelReference
    score: Probability
    threshold: Probability
    action: Action | None


class ScoredTransaction(Transaction, frozen=True, gc=False, omit_defaults=False, kw_only=True):
    """What `Alert` and `Score` share: the transaction's own fields, the scores, the reasons, the place in Kafka.

    Every field is written, null where it has no value, and numbers are finite: JSON has no NaN, it would be written as null. Where rules or lists
    decided, `score` and `threshold` are still the model's.
    """

    score: Probability
    raw_score: float
    threshold: Probability
    model: ModelReference
    reasons: tuple[Reason, ...]
    degraded: str | None
    source: Source
    scored_at: ClockMs
    decided_by: Decider = "model"
    rules: tuple[RuleHit, ...] = ()
    lists: tuple[Name, ...] = ()


def alert_id_of(card_id: str, transaction_id: str) -> str:
    """The id of a payment's alert, unique over all cards: a transaction's id is unique on its card only.

    The first 128 bits, in hex, of SHA-256 over card and transaction as netstrings, `<bytes>:<id in UTF-8>,`. The lengths keep ("ab", "c")
    apart from ("a", "bc"). Any language can compute it: `printf '9:card-58c1,9:tx-7f3a91,' | sha256sum | cut -c 1-32`.
    """
    named = b"".join(b"%d:%b," % (len(raw), raw) for raw in (card_id.encode(), transaction_id.encode()))
    return hashlib.sha256(named).hexdigest()[:32]


class Alert(ScoredTransaction, frozen=True, gc=False, omit_defaults=False, kw_only=True):
    """`alert.v1`: a decision to act. `alert_id` is `alert_id_of` its card and transaction, `case_id` that of the first alert of the card's episode.

    Alerts of before had the transaction's id in both; they are read, and an episode that was open then keeps that name until it ends.
    """

    alert_id: Identifier
    case_id: Identifier
    action: Action


class Score(ScoredTransaction, frozen=True, gc=False, omit_defaults=False, kw_only=True):
    """`score.v1`: every decision, alerted or not, with its feature vector and the worker's processing order.

    `action` and `case_id` are null where no alert was published; an alert's `alert_id` follows from card and transaction, so it is not repeated.
    `beside` is null where one model scores alone.
    """

    case_id: Identifier | None
    action: Action | None
    features: dict[str, float]
    sequence: NonNegative
    beside: Beside | None = None


class AnsweredPayment(Transaction, frozen=True, gc=False, omit_defaults=False, kw_only=True):
    """`answer.v1`: what the API answered of a payment, with the vector that it had scored. No worker has decided it by it: the payment's score does."""

    score: Probability
    raw_score: float
    threshold: Probability
    model: ModelReference
    reasons: tuple[Reason, ...]
    degraded: str | None
    scored_at: ClockMs
    decided_by: Decider = "model"
    rules: tuple[RuleHit, ...] = ()
    lists: tuple[Name, ...] = ()
    case_id: Identifier | None
    action: Action | None
    features: dict[str, float]
