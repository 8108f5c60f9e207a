"""The use case: a micro-batch of payments and their state in, decisions and changed state out. No I/O but the model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import msgspec
import numpy as np

from stream_app.alert import Alert, Reason, Score, Source
from stream_app.decision import Policy, Reasons, Usual, case_of, policy_of
from stream_app.features.compute import Computed, Vectors, compute
from stream_app.features.definitions import CONTEXT_FEATURES
from stream_app.features.plan import CASE_LAST, Ints, compile_plan
from stream_app.intake import Intake
from stream_app.money import Money
from stream_app.ports import Clock, Model, Outgoing, WorkingSet
from stream_app.transaction import Transaction

SOURCE_TIMESTAMP = "source.timestamp"
"""Header of alerts: the Kafka timestamp of the transaction, ms, so that any reader can measure the way through."""

_FIELDS = Transaction.__struct_fields__
_SEQUENCE_PER_MS = 1000
"""Numbers of decisions start at the time in us: they rise across restarts, and stay whole in readers that know only doubles."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where decisions go."""

    alerts_topic: str
    scores_topic: str


@dataclass(frozen=True, slots=True)
class Decided:
    """Outcome of a micro-batch.

    Attributes:
        messages: alerts, and scores where they are published.
        counts: how many were scored, alerted, duplicate, late, without a rate, credits.
    """

    messages: list[Outgoing]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Scored:
    """The payments that get a decision: their places among the payments and among the events, vectors, scores."""

    payments: Ints
    events: Ints
    vectors: Vectors
    scores: Vectors


@dataclass(frozen=True, slots=True)
class _Case:
    id: str
    reasons: tuple[Reason, ...]


class Scorer:
    """Scores micro-batches with one model. Features, order of columns and thresholds are bound here, once."""

    def __init__(self, model: Model, money: Money, output: Output, clock: Clock, threshold: float | None = None) -> None:
        features = model.metadata.resolved()
        self.model = model
        self.policy: Policy = policy_of(model.metadata, threshold)
        self._plan = compile_plan(features + CONTEXT_FEATURES)
        self._names = [f.name for f in features]
        self._width = len(features)
        columns = [f.name for f in self._plan.features]
        self._usual_payments, self._usual_mean = (columns.index(f.name) for f in CONTEXT_FEATURES)
        self._reasons = Reasons(features, model.metadata.typical, model.score)
        self._money = money
        self._output = output
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._sequence = count(clock.now_ms() * _SEQUENCE_PER_MS)

    def decide(self, intake: Intake, work: WorkingSet, source: tuple[str, int]) -> Decided:
        """Decide every payment of a micro-batch, in order; each payment and label is counted in the working set.

        1. features of each payment, counting it;
        2. scores, in one call;
        3. for those at or above the threshold: case and reasons.

        Args:
            intake: the decoded payments and labels.
            work: the state they touch, changed in place.
            source: topic and partition of the payments.
        """
        computed = compute(self._plan, intake.events, work.rows, self._money.unit)
        scored = self._score(intake, computed)
        cases = self._cases(intake, work, computed, scored)
        messages = self._messages(intake, scored, cases, (source, work.degraded))
        duplicates = int(computed.duplicates.sum())
        counts = {
            "scored": len(scored.payments),
            "alerts": len(cases),
            "labels": len(intake.labels.messages),
            "duplicates": duplicates,
            "late": int(computed.late.sum()),
            "unpriced": int((intake.events.minor[scored.events] < 0).sum()),
            "credits": len(intake.payments.messages) - len(scored.payments) - duplicates,
        }
        return Decided(messages, counts)

    def _score(self, intake: Intake, computed: Computed) -> _Scored:
        of_payments = computed.scored[intake.places]
        events = intake.places[of_payments]
        vectors = np.ascontiguousarray(computed.vectors[events, : self._width])
        scores = self.model.score(vectors) if len(events) else np.empty(0, dtype=np.float32)
        return _Scored(np.flatnonzero(of_payments), events, vectors, scores)

    def _cases(self, intake: Intake, work: WorkingSet, computed: Computed, scored: _Scored) -> dict[int, _Case]:
        """Case and reasons of each alerted payment, by its place among the scored."""
        alerted = np.flatnonzero(scored.scores.astype(np.float64) >= self.policy.threshold)
        if not len(alerted):
            return {}
        context = computed.vectors[scored.events[alerted]][:, (self._usual_payments, self._usual_mean)].tolist()
        priced = (intake.events.minor[scored.events[alerted]] >= 0).tolist()
        usual = [Usual(payments, mean, known) for (payments, mean), known in zip(context, priced, strict=True)]
        reasons = self._reasons.of(scored.vectors[alerted], scored.scores[alerted], usual, self._money.currency)
        cases: dict[int, _Case] = {}
        for place, why in zip(alerted.tolist(), reasons, strict=True):
            tx, slot = intake.payments.messages[scored.payments[place]], int(intake.events.entities[0][scored.events[place]])
            card = work.rows[0].own[work.rows[0].own_at[slot]]
            case = case_of(tx.transaction_id, tx.event_time, work.case_ids[slot], int(card[CASE_LAST]))
            work.case_ids[slot] = case
            card[CASE_LAST] = max(int(card[CASE_LAST]), tx.event_time)
            cases[place] = _Case(case, why)
        return cases

    def _messages(
        self, intake: Intake, scored: _Scored, cases: dict[int, _Case], origin: tuple[tuple[str, int], str | None]
    ) -> list[Outgoing]:
        (topic, partition), degraded = origin
        scored_at = self._clock.now_ms()
        every = bool(self._output.scores_topic)
        messages: list[Outgoing] = []
        for place in range(len(scored.payments)) if every else cases:
            row, score, case = int(scored.payments[place]), float(scored.scores[place]), cases.get(place)
            tx = intake.payments.messages[row]
            decision = {
                **{name: getattr(tx, name) for name in _FIELDS},
                "score": score,
                "raw_score": score,
                "threshold": self.policy.threshold,
                "action": self.policy.action(score),
                "case_id": case.id if case else None,
                "model": self.model.reference,
                "reasons": case.reasons if case else (),
                "degraded": degraded,
                "source": Source(topic, partition, intake.payments.offsets[row]),
                "scored_at": scored_at,
            }
            key = tx.card_id.encode()
            if case:
                alert = self._encode(Alert(alert_id=tx.transaction_id, **decision))
                sent = ((SOURCE_TIMESTAMP, str(intake.payments.timestamps_ms[row]).encode()),)
                messages.append(Outgoing(self._output.alerts_topic, key, alert, sent))
            if every:
                features = dict(zip(self._names, scored.vectors[place].tolist(), strict=True))
                score_message = Score(features=features, sequence=next(self._sequence), **decision)
                messages.append(Outgoing(self._output.scores_topic, key, self._encode(score_message)))
        return messages
