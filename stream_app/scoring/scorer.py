"""The use case: a micro-batch of payments and their state in, decisions and changed state out. No I/O but the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import msgspec
import numpy as np

from stream_app.explaining.sentences import Usual, said_by
from stream_app.features.compute import Computed, Vectors, compute
from stream_app.features.definitions import CONTEXT_FEATURES
from stream_app.features.plan import CASE_LAST, Ints, compile_plan
from stream_app.messages.alert import Alert, Beside, Reason, Score, Source, alert_id_of
from stream_app.messages.money import Money
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import Transaction
from stream_app.scoring.already_published import SOURCE_OFFSET, AlreadyPublished, PublishedDecision
from stream_app.scoring.bound_model import BoundModel, Challenger, ChallengerScorer, ChallengerScores, Chosen, beside
from stream_app.scoring.decision import case_of
from stream_app.scoring.intake import Intake
from stream_app.scoring.observation import Decisions
from stream_app.scoring.outcomes import Alerted
from stream_app.scoring.ports import Clock, Model, Scores, WorkingSet
from stream_app.scoring.provenance import SOURCE_LABELS, STANDS, seen_header

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
        counts: how many were scored, alerted, duplicate, late, without a rate, credits, degraded.
        seconds: how long features, and scores with their reasons and messages, took.
        decisions: what was decided; None where state is rebuilt.
        alerts: the alerts among them.
    """

    messages: list[Outgoing]
    counts: dict[str, int]
    seconds: dict[str, float]
    decisions: Decisions | None = None
    alerts: tuple[Alerted, ...] = ()


@dataclass(frozen=True, slots=True)
class _Scored:
    """The payments that get a decision: their places among the payments and among the events, offsets, vectors, scores.

    `vectors` and `of_champion` are the champion's, `scores` those that decide; `opinion` is the challenger's, where there is one.
    """

    payments: Ints
    events: Ints
    offsets: list[int]
    vectors: Vectors
    scores: Scores
    of_champion: Scores
    opinion: ChallengerScores | None


@dataclass(frozen=True, slots=True)
class _Case:
    """An alert's own id, that of its case, and why."""

    alert_id: str
    id: str
    reasons: tuple[Reason, ...]


class Scorer:
    """Scores micro-batches with one model, and from the same features with a challenger where there is one.

    Features, order of columns and thresholds are bound here, once.
    """

    def __init__(
        self,
        model: Model,
        money: Money,
        output: Output,
        clock: Clock,
        threshold: float | None = None,
        challenger: Challenger | None = None,
    ) -> None:
        features = model.metadata.resolved()
        beside = challenger.model.metadata.resolved() if challenger else ()
        self._plan = compile_plan((*dict.fromkeys(features + beside), *CONTEXT_FEATURES))
        columns = [f.name for f in self._plan.features]
        self._champion = BoundModel(model, columns, threshold)
        self._challenger_scorer = ChallengerScorer(challenger, columns, threshold) if challenger else None
        self.model, self.policy, self.feature_names = model, self._champion.policy, self._champion.names
        self._usual_payments, self._usual_mean = (columns.index(f.name) for f in CONTEXT_FEATURES)
        self._money = money
        self._output = output
        self._clock = clock
        self._encode = msgspec.json.Encoder().encode
        self._sequence = count(clock.now_ms() * _SEQUENCE_PER_MS)

    def decide(self, intake: Intake, work: WorkingSet, source: tuple[str, int], published: AlreadyPublished | None = None) -> Decided:
        """Decide every payment of a micro-batch, in order; each payment and label is counted in the working set.

        1. features of each payment, counting it;
        2. scores, in one call;
        3. for those at or above the threshold: case and reasons.

        Args:
            intake: the decoded payments and labels; the payments all lie below `standing.decided`, or none does.
            work: the state they touch, changed in place.
            source: topic and partition of the payments.
            published: what was published for them before: it stands, and is not published again.
        """
        elapsed_s = self._clock.elapsed_s
        began = elapsed_s()
        computed = compute(self._plan, intake.events, work.rows, self._money.unit)
        featured = elapsed_s()
        scored = self._score(intake, computed)
        if published is not None and scored.offsets and scored.offsets[0] < published.decided[0]:
            self._cases(intake, work, computed, scored, published.verdicts, only=True)
            seconds = {"features": featured - began, "score": elapsed_s() - featured}
            return Decided([], {"rebuilt": len(scored.payments), "labels": len(intake.labels.messages)}, seconds)
        cases = self._cases(intake, work, computed, scored, published.verdicts if published else {})
        messages = self._messages(intake, work, (scored, cases), source, published or AlreadyPublished())
        seconds = {"features": featured - began, "score": elapsed_s() - featured}
        counts, decisions = self._counts(intake, work, computed, scored, len(cases)), self._decisions(intake, scored, cases)
        return Decided(messages, counts, seconds, decisions, _alerts(intake, scored, cases))

    def _counts(self, intake: Intake, work: WorkingSet, computed: Computed, scored: _Scored, alerts: int) -> dict[str, int]:
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
            **(scored.opinion.counts(self._champion.alerts(scored.of_champion)) if scored.opinion else {}),
        }

    def _decisions(self, intake: Intake, scored: _Scored, cases: Mapping[int, _Case]) -> Decisions:
        return Decisions(
            self.model.metadata,
            scored.vectors,
            scored.of_champion.probability,
            intake.events.times_ms[scored.events],
            np.array(intake.payments.timestamps_ms, dtype=np.int64)[scored.payments],
            intake.events.minor[scored.events],
            np.array(list(cases), dtype=np.int64),
            scored.opinion.scores.probability if scored.opinion else None,
        )

    def _score(self, intake: Intake, computed: Computed) -> _Scored:
        of_payments = computed.scored[intake.places]
        payments, events = np.flatnonzero(of_payments), intake.places[of_payments]
        offsets = (
            intake.payments.offsets if len(payments) == len(intake.places) else [intake.payments.offsets[p] for p in payments.tolist()]
        )
        table = computed.vectors[events]
        vectors = self._champion.vectors(table)
        scores = self._champion.scores(vectors)
        if self._challenger_scorer is None:
            return _Scored(payments, events, offsets, vectors, scores, scores, None)
        opinion = self._challenger_scorer.opinion(table, intake.ids[0], intake.events.entities[0][events])
        return _Scored(payments, events, offsets, vectors, opinion.over(scores), scores, opinion)

    def _alerted(self, scored: _Scored) -> Chosen:
        own, opinion = self._champion.alerts(scored.of_champion), scored.opinion
        return own if opinion is None else np.where(opinion.decides, opinion.judge.alerts(opinion.scores), own)

    def _cases(
        self,
        intake: Intake,
        work: WorkingSet,
        computed: Computed,
        scored: _Scored,
        verdicts: Mapping[int, PublishedDecision],
        *,
        only: bool = False,
    ) -> dict[int, _Case]:
        """Case and reasons of each alerted payment, by its place among the scored. A verdict stands; with `only`, no other payment alerts."""
        alerted = np.zeros(len(scored.payments), dtype=bool) if only else self._alerted(scored)
        stood = {place: verdicts[offset] for place, offset in enumerate(scored.offsets) if offset in verdicts} if verdicts else {}
        for place, verdict in stood.items():
            alerted[place] = verdict.action is not None
        places = np.flatnonzero(alerted).tolist()
        reasons = self._explain(intake, computed, scored, [p for p in places if p not in stood])
        cases: dict[int, _Case] = {}
        for place in places:
            tx, slot = intake.payments.messages[scored.payments[place]], int(intake.events.entities[0][scored.events[place]])
            card = work.rows[0].own[work.rows[0].own_at[slot]]
            alert_id = alert_id_of(tx.card_id, tx.transaction_id)
            case = case_of(alert_id, tx.event_time, work.case_ids[slot], int(card[CASE_LAST]))
            if place in stood:
                case = stood[place].case_id or case
            keep_case(work, slot, case, tx.event_time)
            cases[place] = _Case(alert_id, case, stood[place].reasons if place in stood else reasons[place])
        return cases

    def _explain(self, intake: Intake, computed: Computed, scored: _Scored, places: list[int]) -> dict[int, tuple[Reason, ...]]:
        if not places:
            return {}
        events = scored.events[places]
        context = computed.vectors[events][:, (self._usual_payments, self._usual_mean)].tolist()
        priced = (intake.events.minor[events] >= 0).tolist()
        said = [said_by(intake.payments.messages[p]) for p in scored.payments[places].tolist()]
        usual = [Usual(payments, mean, *known) for (payments, mean), known in zip(context, zip(priced, said, strict=True), strict=True)]
        reasons = self._champion.reasons(scored.vectors[places], usual, self._money.currency)
        explained = dict(zip(places, reasons, strict=True))
        if (opinion := scored.opinion) is not None and (its := [n for n, p in enumerate(places) if opinion.decides[p]]):
            at = [places[n] for n in its]
            told = opinion.judge.reasons(opinion.vectors[at], [usual[n] for n in its], self._money.currency)
            explained |= dict(zip(at, told, strict=True))
        return explained

    def _by(self, scored: _Scored, place: int) -> tuple[BoundModel, Vectors, Beside | None]:
        """Who decides a payment, the vector that it was given, and what the other says."""
        opinion = scored.opinion
        if opinion is None:
            return self._champion, scored.vectors[place], None
        decides = bool(opinion.decides[place])
        two = (self._champion, float(scored.of_champion.probability[place])), (opinion.judge, float(opinion.scores.probability[place]))
        says = beside(*two, challenger_decides=decides)
        return (opinion.judge, opinion.vectors[place], says) if decides else (self._champion, scored.vectors[place], says)

    def _messages(
        self,
        intake: Intake,
        work: WorkingSet,
        outcome: tuple[_Scored, dict[int, _Case]],
        source: tuple[str, int],
        published: AlreadyPublished,
    ) -> list[Outgoing]:
        """Alerts and scores, but those that stand."""
        scored, cases = outcome
        scored_at = self._clock.now_ms()
        every = bool(self._output.scores_topic)
        seen = _seen(intake, work, scored, source[1]) if every else []
        messages: list[Outgoing] = []
        for place in range(len(scored.payments)) if every else cases:
            row, offset, case = int(scored.payments[place]), scored.offsets[place], cases.get(place)
            score = float(scored.scores.probability[place])
            tx = intake.payments.messages[row]
            judge, vector, says = self._by(scored, place)
            decision = {
                **{name: getattr(tx, name) for name in _FIELDS},
                "score": score,
                "raw_score": float(scored.scores.raw[place]),
                "threshold": judge.policy.threshold,
                "action": judge.policy.action(score),
                "case_id": case.id if case else None,
                "model": judge.model.reference,
                "reasons": case.reasons if case else (),
                "degraded": work.degraded,
                "source": Source(*source, offset),
                "scored_at": scored_at,
            }
            if offset in published.verdicts:
                decision |= msgspec.structs.asdict(published.verdicts[offset])
            key, at = tx.card_id.encode(), (SOURCE_OFFSET, str(offset).encode())
            if case and offset not in published.alerted:
                alert = self._encode(Alert(alert_id=case.alert_id, **(decision | {"case_id": case.id})))
                sent = (SOURCE_TIMESTAMP, str(intake.payments.timestamps_ms[row]).encode())
                messages.append(Outgoing(self._output.alerts_topic, key, alert, (at, sent)))
            if every and offset not in published.scored:
                says = None if offset in published.verdicts else says
                features = dict(zip(judge.names, vector.tolist(), strict=True))
                score_message = Score(features=features, sequence=next(self._sequence), beside=says, **decision)
                headers = (at, *seen[place], *((STANDS,) if offset in published.verdicts else ()))
                messages.append(Outgoing(self._output.scores_topic, key, self._encode(score_message), headers))
        return messages


def _alerts(intake: Intake, scored: _Scored, cases: Mapping[int, _Case]) -> tuple[Alerted, ...]:
    paid = [(intake.payments.messages[scored.payments[place]], int(intake.events.minor[scored.events[place]])) for place in cases]
    return tuple(Alerted(tx.card_id, tx.transaction_id, tx.event_time, minor) for tx, minor in paid)


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
