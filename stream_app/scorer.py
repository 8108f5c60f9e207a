"""The use case: a micro-batch of payments and their state in, decisions and changed state out. No I/O but the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import msgspec
import numpy as np

from stream_app.alert import Alert, Reason, Score, Source
from stream_app.decision import Policy, case_of, policy_of
from stream_app.features.compute import Computed, Vectors, compute
from stream_app.features.definitions import CONTEXT_FEATURES
from stream_app.features.plan import CASE_LAST, Ints, compile_plan
from stream_app.intake import Intake
from stream_app.money import Money
from stream_app.observation import Decisions
from stream_app.ports import Clock, Model, Outgoing, Scores, WorkingSet
from stream_app.provenance import SOURCE_LABELS, STANDS, seen_header
from stream_app.reasons import Reasons
from stream_app.sentences import Usual
from stream_app.standing import SOURCE_OFFSET, Standing, Verdict
from stream_app.transaction import Transaction

SOURCE_TIMESTAMP = "source.timestamp"
"""Header of alerts: the Kafka timestamp of the transaction, ms, so that any reader can measure the way through."""

_FIELDS = Transaction.__struct_fields__
_SEQUENCE_PER_MS = 1000
"""Numbers of decisions start at the time in us: they rise across restarts, and stay whole in readers that know only doubles."""


_NO_SCORES = Scores(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32))


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
        counts: how many were scored, alerted, duplicate, late, without a rate, credits, degraded.
        seconds: how long features, and scores with their reasons and messages, took.
        decisions: what was decided; None where state is rebuilt.
    """

    messages: list[Outgoing]
    counts: dict[str, int]
    seconds: dict[str, float]
    decisions: Decisions | None = None


@dataclass(frozen=True, slots=True)
class _Scored:
    """The payments that get a decision: their places among the payments and among the events, offsets, vectors, scores, raw scores."""

    payments: Ints
    events: Ints
    offsets: list[int]
    vectors: Vectors
    scores: Vectors
    raw: Vectors


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
        self.feature_names = [f.name for f in features]
        self._width = len(features)
        columns = [f.name for f in self._plan.features]
        self._usual_payments, self._usual_mean = (columns.index(f.name) for f in CONTEXT_FEATURES)
        self._reasons = Reasons(features, model.contributions)
        self._money = money
        self._output = output
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._sequence = count(clock.now_ms() * _SEQUENCE_PER_MS)

    def decide(self, intake: Intake, work: WorkingSet, source: tuple[str, int], standing: Standing | None = None) -> Decided:
        """Decide every payment of a micro-batch, in order; each payment and label is counted in the working set.

        1. features of each payment, counting it;
        2. scores, in one call;
        3. for those at or above the threshold: case and reasons.

        Args:
            intake: the decoded payments and labels; the payments all lie below `standing.decided`, or none does.
            work: the state they touch, changed in place.
            source: topic and partition of the payments.
            standing: what was published for them before: it stands, and is not published again.
        """
        elapsed_s = self._clock.elapsed_s
        began = elapsed_s()
        computed = compute(self._plan, intake.events, work.rows, self._money.unit)
        featured = elapsed_s()
        scored = self._score(intake, computed)
        if standing is not None and scored.offsets and scored.offsets[0] < standing.decided[0]:
            self._cases(intake, work, computed, scored, standing.verdicts, only=True)
            seconds = {"features": featured - began, "score": elapsed_s() - featured}
            return Decided([], {"rebuilt": len(scored.payments), "labels": len(intake.labels.messages)}, seconds)
        cases = self._cases(intake, work, computed, scored, standing.verdicts if standing else {})
        messages = self._messages(intake, work, (scored, cases), source, standing or Standing())
        seconds = {"features": featured - began, "score": elapsed_s() - featured}
        return Decided(messages, self._counts(intake, work, computed, scored, len(cases)), seconds, self._decisions(intake, scored, cases))

    @staticmethod
    def _counts(intake: Intake, work: WorkingSet, computed: Computed, scored: _Scored, alerts: int) -> dict[str, int]:
        duplicates = int(computed.duplicates.sum())
        return {
            "scored": len(scored.payments),
            "alerts": alerts,
            "labels": len(intake.labels.messages),
            "duplicates": duplicates,
            "late": int(computed.late.sum()),
            "unpriced": int((intake.events.minor[scored.events] < 0).sum()),
            "credits": len(intake.payments.messages) - len(scored.payments) - duplicates,
            "degraded": len(scored.payments) if work.degraded else 0,
        }

    def _decisions(self, intake: Intake, scored: _Scored, cases: Mapping[int, _Case]) -> Decisions:
        return Decisions(
            self.model.metadata,
            scored.vectors,
            scored.scores,
            intake.events.times_ms[scored.events],
            np.array(intake.payments.timestamps_ms, dtype=np.int64)[scored.payments],
            intake.events.minor[scored.events],
            np.array(list(cases), dtype=np.int64),
        )

    def _score(self, intake: Intake, computed: Computed) -> _Scored:
        of_payments = computed.scored[intake.places]
        payments, events = np.flatnonzero(of_payments), intake.places[of_payments]
        offsets = (
            intake.payments.offsets if len(payments) == len(intake.places) else [intake.payments.offsets[p] for p in payments.tolist()]
        )
        vectors = np.ascontiguousarray(computed.vectors[events, : self._width])
        scores = self.model.score(vectors) if len(events) else _NO_SCORES
        return _Scored(payments, events, offsets, vectors, scores.probability, scores.raw)

    def _cases(
        self, intake: Intake, work: WorkingSet, computed: Computed, scored: _Scored, verdicts: Mapping[int, Verdict], *, only: bool = False
    ) -> dict[int, _Case]:
        """Case and reasons of each alerted payment, by its place among the scored. A verdict stands; with `only`, no other payment alerts."""
        alerted = np.zeros(len(scored.scores), dtype=bool) if only else scored.scores.astype(np.float64) >= self.policy.threshold
        stood = {place: verdicts[offset] for place, offset in enumerate(scored.offsets) if offset in verdicts} if verdicts else {}
        for place, verdict in stood.items():
            alerted[place] = verdict.action is not None
        places = np.flatnonzero(alerted).tolist()
        reasons = self._explain(intake, computed, scored, [p for p in places if p not in stood])
        cases: dict[int, _Case] = {}
        for place in places:
            tx, slot = intake.payments.messages[scored.payments[place]], int(intake.events.entities[0][scored.events[place]])
            card = work.rows[0].own[work.rows[0].own_at[slot]]
            case = case_of(tx.transaction_id, tx.event_time, work.case_ids[slot], int(card[CASE_LAST]))
            if place in stood:
                case = stood[place].case_id or case
            keep_case(work, slot, case, tx.event_time)
            cases[place] = _Case(case, stood[place].reasons if place in stood else reasons[place])
        return cases

    def _explain(self, intake: Intake, computed: Computed, scored: _Scored, places: list[int]) -> dict[int, tuple[Reason, ...]]:
        if not places:
            return {}
        events = scored.events[places]
        context = computed.vectors[events][:, (self._usual_payments, self._usual_mean)].tolist()
        priced = (intake.events.minor[events] >= 0).tolist()
        usual = [Usual(payments, mean, known) for (payments, mean), known in zip(context, priced, strict=True)]
        reasons = self._reasons.of(scored.vectors[places], usual, self._money.currency)
        return dict(zip(places, reasons, strict=True))

    def _messages(
        self, intake: Intake, work: WorkingSet, outcome: tuple[_Scored, dict[int, _Case]], source: tuple[str, int], standing: Standing
    ) -> list[Outgoing]:
        """Alerts and scores, but those that stand."""
        scored, cases = outcome
        scored_at = self._clock.now_ms()
        every = bool(self._output.scores_topic)
        seen = _seen(intake, work, scored, source[1]) if every else []
        messages: list[Outgoing] = []
        for place in range(len(scored.payments)) if every else cases:
            row, offset, score, case = int(scored.payments[place]), scored.offsets[place], float(scored.scores[place]), cases.get(place)
            tx = intake.payments.messages[row]
            decision = {
                **{name: getattr(tx, name) for name in _FIELDS},
                "score": score,
                "raw_score": float(scored.raw[place]),
                "threshold": self.policy.threshold,
                "action": self.policy.action(score),
                "case_id": case.id if case else None,
                "model": self.model.reference,
                "reasons": case.reasons if case else (),
                "degraded": work.degraded,
                "source": Source(*source, offset),
                "scored_at": scored_at,
            }
            if offset in standing.verdicts:
                decision |= msgspec.structs.asdict(standing.verdicts[offset])
            key, at = tx.card_id.encode(), (SOURCE_OFFSET, str(offset).encode())
            if case and offset not in standing.alerted:
                alert = self._encode(Alert(alert_id=tx.transaction_id, **(decision | {"case_id": case.id})))
                sent = (SOURCE_TIMESTAMP, str(intake.payments.timestamps_ms[row]).encode())
                messages.append(Outgoing(self._output.alerts_topic, key, alert, (at, sent)))
            if every and offset not in standing.scored:
                features = dict(zip(self.feature_names, scored.vectors[place].tolist(), strict=True))
                score_message = Score(features=features, sequence=next(self._sequence), **decision)
                headers = (at, *seen[place], *((STANDS,) if offset in standing.verdicts else ()))
                messages.append(Outgoing(self._output.scores_topic, key, self._encode(score_message), headers))
        return messages


def _seen(intake: Intake, work: WorkingSet, scored: _Scored, partition: int) -> list[tuple[tuple[str, bytes], ...]]:
    """For each decision the headers that say what it had seen: see `provenance`."""
    if work.positions is None:
        return [()] * len(scored.payments)
    of_all, offsets = seen_header(work.positions), [work.positions[partition][1], *(offset + 1 for offset in intake.labels.offsets)]
    return [((SOURCE_LABELS, str(offsets[before]).encode()), of_all) for before in (scored.events - scored.payments).tolist()]


def keep_case(work: WorkingSet, slot: int, case_id: str, alerted_ms: int) -> None:
    """The present case of the n-th card, whose last alert was then."""
    card = work.rows[0].own[work.rows[0].own_at[slot]]
    work.case_ids[slot] = case_id
    card[CASE_LAST] = max(int(card[CASE_LAST]), alerted_ms)
