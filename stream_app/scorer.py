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
from stream_app.features.plan import CASE_LAST, compile_plan
from stream_app.intake import Intake
from stream_app.money import Money
from stream_app.ports import Clock, Model, Outgoing, WorkingSet
from stream_app.transaction import Label, Transaction

_FIELDS = Transaction.__struct_fields__
type _Places = np.ndarray[tuple[int], np.dtype[np.intp]]


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
class _Case:
    id: str
    reasons: tuple[Reason, ...]


class Scorer:
    """Scores micro-batches with one model. Features, order of columns and thresholds are bound here, once."""

    def __init__(self, model: Model, money: Money, output: Output, clock: Clock, threshold: float | None = None) -> None:
        features = model.metadata.resolved()
        context = tuple(f for f in CONTEXT_FEATURES if f not in features)
        self.model = model
        self.policy: Policy = policy_of(model.metadata, threshold)
        self._plan = compile_plan(features + context)
        self._names = [f.name for f in features]
        self._width = len(features)
        columns = [f.name for f in self._plan.features]
        self._usual_payments, self._usual_mean = (columns.index(f.name) for f in CONTEXT_FEATURES)
        self._reasons = Reasons(features, model.metadata.typical, model.score)
        self._money = money
        self._output = output
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._sequence = count()

    def decide(self, intake: Intake[Transaction], work: WorkingSet, source: tuple[str, int], degraded: str | None = None) -> Decided:
        """Decide every payment of a micro-batch, in order; each is then counted in the working set.

        1. features of each payment, counting it;
        2. scores, in one call;
        3. for those at or above the threshold: case and reasons.

        Args:
            intake: the decoded payments.
            work: the state they touch, changed in place.
            source: topic and partition that they came from.
            degraded: why the features are not to be trusted in full, or None.
        """
        computed = compute(self._plan, intake.events, work.cards, work.terminals, self._money.unit)
        scored = np.flatnonzero(computed.scored)
        vectors = np.ascontiguousarray(computed.vectors[scored, : self._width])
        scores = self.model.score(vectors) if len(scored) else np.empty(0, dtype=np.float32)
        alerted = np.flatnonzero(scores >= np.float32(self.policy.threshold))
        cases = self._cases(intake, work, computed, scored, (vectors, scores, alerted)) if len(alerted) else {}
        messages = self._messages(intake, scored, (vectors, scores), cases, (source, degraded))
        counts = {
            "scored": len(scored),
            "alerts": len(alerted),
            "duplicates": int(computed.duplicates.sum()),
            "late": int(computed.late.sum()),
            "unpriced": int((intake.events.minor[scored] < 0).sum()),
            "credits": len(intake.messages) - len(scored) - int(computed.duplicates.sum()),
        }
        return Decided(messages, counts)

    def learn(self, intake: Intake[Label], work: WorkingSet) -> None:
        """Count labels in the working set; they change no decision that was made before."""
        compute(self._plan, intake.events, work.cards, work.terminals, self._money.unit)

    def _cases(
        self,
        intake: Intake[Transaction],
        work: WorkingSet,
        computed: Computed,
        scored: _Places,
        decided: tuple[Vectors, Vectors, _Places],
    ) -> dict[int, _Case]:
        """Case and reasons of each alerted payment, by its place among the scored."""
        vectors, scores, alerted = decided
        rows = scored[alerted]
        context = computed.vectors[rows][:, (self._usual_payments, self._usual_mean)].tolist()
        reasons = self._reasons.of(vectors[alerted], scores[alerted], [Usual(*c) for c in context], self._money.currency)
        cases: dict[int, _Case] = {}
        for place, row, why in zip(alerted.tolist(), rows.tolist(), reasons, strict=True):
            tx, slot = intake.messages[row], int(intake.events.cards[row])
            case = case_of(tx.transaction_id, tx.event_time, work.case_ids[slot], int(work.cards.own[slot, CASE_LAST]))
            work.case_ids[slot] = case
            work.cards.own[slot, CASE_LAST] = max(work.cards.own[slot, CASE_LAST], tx.event_time)
            cases[place] = _Case(case, why)
        return cases

    def _messages(
        self,
        intake: Intake[Transaction],
        scored: _Places,
        decided: tuple[Vectors, Vectors],
        cases: dict[int, _Case],
        origin: tuple[tuple[str, int], str | None],
    ) -> list[Outgoing]:
        vectors, scores = decided
        scored_at = self._clock.now_ms()
        every = bool(self._output.scores_topic)
        messages: list[Outgoing] = []
        for place in range(len(scored)) if every else cases:
            row = int(scored[place])
            tx, score, case = intake.messages[row], float(scores[place]), cases.get(place)
            common = {
                **{name: getattr(tx, name) for name in _FIELDS},
                "score": score,
                "raw_score": score,
                "threshold": self.policy.threshold,
                "case_id": case.id if case else None,
                "model": self.model.reference,
                "reasons": case.reasons if case else (),
                "degraded": origin[1],
                "source": Source(*origin[0], intake.offsets[row]),
                "scored_at": scored_at,
            }
            action = self.policy.action(score)
            if case:
                alert = Alert(alert_id=tx.transaction_id, action=action, **common)
                messages.append(Outgoing(self._output.alerts_topic, tx.card_id.encode(), self._encode(alert)))
            if every:
                features = dict(zip(self._names, vectors[place].tolist(), strict=True))
                decision = Score(action=action, features=features, sequence=next(self._sequence), **common)
                messages.append(Outgoing(self._output.scores_topic, tx.card_id.encode(), self._encode(decision)))
        return messages
