"""Requests: what would a worker decide, what does a card or a terminal look like. Changes no state; knows no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from stream_app.errors import NotFound, RecordError
from stream_app.features import kernel
from stream_app.features.compute import Events, Vectors, compute
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES, Feature
from stream_app.features.entities import ENTITIES, KINDS, Entity
from stream_app.features.plan import LAST, NEWEST, Plan, compile_plan
from stream_app.messages.alert import Action, ModelReference
from stream_app.messages.event_time import EventTimeMs
from stream_app.messages.headers import OwnHeaders
from stream_app.messages.money import Money
from stream_app.messages.records import Outgoing
from stream_app.messages.refusals import DeadLetterCode, shown
from stream_app.messages.transaction import Label, Transaction
from stream_app.scoring.decision import Verdict
from stream_app.scoring.ports import Publisher
from stream_app.scoring.request_rounds import RequestRounds
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.state_reader import StateQuery, StateReader, StateSnapshot

_LARGEST = float(np.finfo(np.float32).max)


class RowError(RecordError):
    """A row of features that the model cannot take: which row, which feature."""

    def __init__(self, code: str, message: str, row: int, feature: str) -> None:
        super().__init__(code, message)
        self.row = row
        self.feature = feature


class _Named(Verdict, frozen=True):
    """The payment first, then its decision: the order in which an answer is written."""

    transaction_id: str
    card_id: str


class Decision(_Named, frozen=True, kw_only=True):
    """What a worker would decide of the transaction now.

    Attributes:
        score: calibrated probability of fraud.
        raw_score: what the model added up, before it became a probability.
        threshold: score from which a worker alerts.
        action: null below the threshold.
        case_id: the episode that an alert would belong to.
        reasons: why the score is high; empty below the threshold.
        degraded: null, or why this rests on less than it should.
        features: the vector that was scored.
    """

    features: dict[str, float]


class Answered(NamedTuple):
    """A decision as it is answered.

    Attributes:
        payment: that was asked about.
        seen: the headers that say what the decision had seen, see `provenance`; none of what is not known.
    """

    payment: Transaction
    decision: Decision
    seen: OwnHeaders


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of feature vectors, one for each row, in order."""

    scores: tuple[float, ...]
    actions: tuple[Action | None, ...]
    threshold: float
    model: ModelReference


class EntityState(msgspec.Struct, frozen=True, kw_only=True):
    """A card or a terminal as the next payment would find it.

    Attributes:
        at: event time that the windows end at, Unix ms.
        last_payment_at: event time of its last payment counted, Unix ms.
        partition: that holds a card; null for a terminal, which every partition may know a part of.
        features: name → value, those that need no payment.
        degraded: null, or why these rest on less than they should.
    """

    id: str
    at: EventTimeMs
    last_payment_at: Annotated[int, Meta(ge=0)]
    partition: int | None
    features: dict[str, float]
    degraded: str | None


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """Where a label stands in the topic of labels."""

    transaction_id: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class _LookUpPlan:
    """The features of an entity that need no payment, ready for the kernel."""

    plan: Plan
    place: int


class OnlineScoring:
    """Answers for one process. `scorer` is asked for each request, so that a model can change between two."""

    def __init__(self, scorer: Callable[[], Scorer], history: StateReader, money: Money) -> None:
        self.scorer = scorer
        self.history = history
        self._money = money
        self._rounds = RequestRounds(scorer, history, money)
        self._windows = {entity: _LookUpPlan(compile_plan(_of(entity)), place) for place, entity in enumerate(ENTITIES)}

    async def decide(self, tx: Transaction) -> Answered:
        """What a worker would decide of a transaction now, with the history that it would see.

        Raises:
            AlreadyCounted: if a worker has decided it.
            RecordError: if it is not scored: refunds and reversals.
            Unavailable: if the store does not answer, or there is no model yet.
        """
        own = await self._rounds.decide(tx)
        verdict = msgspec.structs.asdict(own.verdict())
        decision = Decision(transaction_id=tx.transaction_id, card_id=tx.card_id, features=own.features(), **verdict)
        return Answered(tx, decision, own.seen())

    def predict(self, rows: Sequence[Mapping[str, float]]) -> Prediction:
        """Scores of vectors that the caller made, in one call of the model.

        Args:
            rows: each feature of the model by its name, no more and no less; see `vectors`.
        """
        scorer = self.scorer()
        scores = scorer.model.score(vectors(scorer, rows)).probability.astype(np.float64).tolist()
        actions = tuple(scorer.policy.action(s) for s in scores)
        return Prediction(scores=tuple(scores), actions=actions, threshold=scorer.policy.threshold, model=scorer.model.reference)

    async def look_up(self, entity: Entity, id_: str, at_ms: int | None) -> EntityState:
        """A card or terminal at an event time, by default the newest that it has seen.

        Raises:
            NotFound: if no partition knows it.
            Unavailable: if the store does not answer.
        """
        window = self._windows[entity]
        ids = tuple([id_] if e == entity else [""] if e == ENTITIES[0] else [] for e in ENTITIES)
        seen = await self.history.read([StateQuery(ids, at_ms)])
        if not seen.parts[window.place][0]:
            raise NotFound(f"{KINDS[entity].field} {id_!r} is not known: no payment of it was counted in the last weeks.")
        row = seen.work.rows[window.place].total[0]
        last, newest = int(row[LAST]), int(row[NEWEST])
        at = newest if at_ms is None else at_ms
        return EntityState(
            id=id_,
            at=at,
            last_payment_at=last,
            partition=seen.holders[0] if window.place == 0 else None,
            features=_features(window, seen, at, self._money.unit),
            degraded=seen.work.seen[0].degraded,
        )


class LabelIntake:
    """Publishes labels to the partition that holds the card, whichever partitioner the producers of transactions use."""

    def __init__(self, history: StateReader, publisher: Callable[[], Awaitable[Publisher]], topic: str) -> None:
        self._history = history
        self._publisher = publisher
        self._topic = topic

    async def take(self, label: Label, now_ms: int) -> Accepted:
        """Publish a label; return when all in-sync replicas have it.

        Args:
            label: as it was given.
            now_ms: what time it is here. Where the label says that it is later, its record does too: workers refuse what is dated beyond it.

        Raises:
            NotFound: if no partition holds the card.
            Unavailable: if store or Kafka does not answer; the label may be published or not, and may be sent again: it counts once.
        """
        seen = await self._history.read([StateQuery(([label.card_id], *([] for _ in ENTITIES[1:])))])
        partition = seen.holders[0]
        if partition is None:
            raise NotFound(f"card_id {label.card_id!r} is not known: no payment of it was counted in the last weeks.")
        message = Outgoing(self._topic, label.card_id.encode(), msgspec.json.encode(label), at_ms=max(now_ms, label.labelled_at))
        publisher = await self._publisher()
        ends = await publisher.publish(partition, [message])
        return Accepted(transaction_id=label.transaction_id, topic=self._topic, partition=partition, offset=ends[self._topic] - 1)


def vectors(scorer: Scorer, rows: Sequence[Mapping[str, float]]) -> Vectors:
    """Rows in the order of the model's columns, float32 [rows, features].

    Raises:
        RowError: if a row lacks a feature, has one that the model does not know, or one too large.
    """
    names = scorer.feature_names
    known = frozenset(names)
    for number, row in enumerate(rows):
        if row.keys() != known:
            raise _wrong_names(number, row, names)
    wide = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    large = np.argwhere(np.abs(wide) > _LARGEST)
    if len(large):
        number, column = large[0].tolist()
        told = f"Feature {names[column]!r} is larger than a number of single precision can be (3.4e38)."
        raise RowError(DeadLetterCode.OUT_OF_RANGE, told, number, names[column])
    return wide.astype(np.float32)


def _wrong_names(number: int, row: Mapping[str, float], names: Sequence[str]) -> RowError:
    missing = [name for name in names if name not in row]
    if missing:
        told = f"Feature {missing[0]!r} is missing; the model takes {len(names)}: see /v1/model."
        return RowError(DeadLetterCode.MISSING_FIELD, told, number, missing[0])
    extra = shown(next(name for name in row if name not in names))[:64]
    return RowError(DeadLetterCode.UNKNOWN_VALUE, f"{extra!r} is no feature of the model: see /v1/model.", number, extra)


def _of(entity: Entity) -> list[Feature]:
    return [f for f in CATALOGUE if f.entity == entity and not f.of.compares and f not in CONTEXT_FEATURES]


def _features(window: _LookUpPlan, seen: StateSnapshot, at_ms: int, unit: int) -> dict[str, float]:
    """Windows ending at `at_ms`, read by a payment that is scored and not counted."""
    nothing = np.zeros(1, dtype=np.int64)
    slots = tuple(nothing if place in {0, window.place} else nothing - 1 for place in range(len(ENTITIES)))
    event = Events(np.array([kernel.DECLINED], dtype=np.int8), nothing + at_ms, nothing, nothing + 1, nothing, slots)
    values = compute(window.plan, event, seen.work.rows, unit).vectors[0].astype(np.float64).tolist()
    return {f.name: v for f, v in zip(window.plan.features, values, strict=True)}
