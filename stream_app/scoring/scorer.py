"""The use case: a round of payments and their state in, decisions and changed state out. No I/O but the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream_app.explaining.sentences import Usual, said_by
from stream_app.features.compute import Computed, compute
from stream_app.features.definitions import CONTEXT_FEATURES
from stream_app.features.plan import CASE_LAST, compile_plan
from stream_app.messages.alert import Reason, alert_id_of
from stream_app.messages.money import Money
from stream_app.messages.records import Outgoing, Place
from stream_app.rules.columns import ScoredBatch
from stream_app.scoring.already_published import AlreadyPublished, PublishedDecision
from stream_app.scoring.bound_model import BoundModel, Challenger, ChallengerScorer
from stream_app.scoring.bound_rules import NO_RULING, BoundRules, RulesInForce, Ruling
from stream_app.scoring.decided_payments import Case, DecidedPayments, ScoredPayments
from stream_app.scoring.decision import case_of
from stream_app.scoring.intake import Intake
from stream_app.scoring.observation import Decisions, EventKind
from stream_app.scoring.outcomes import Met, NotedPayment
from stream_app.scoring.ports import Clock, Model, WorkingSet
from stream_app.scoring.publication import Output, Publication


@dataclass(frozen=True, slots=True)
class Decided:
    """Outcome of one partition's share of a round.

    Attributes:
        messages: alerts, and scores where they are published.
        counts: how many were scored, alerted, duplicate, late, without a rate, credits, degraded.
        seconds: how long features, and scores with their reasons and messages, took for the whole round.
        decisions: what was decided; None where state is rebuilt.
        noted: the alerts among them, and what rules hit; where state is rebuilt, those that are published.
        met: what each label met.
    """

    messages: list[Outgoing]
    counts: dict[EventKind, int]
    seconds: dict[str, float]
    decisions: Decisions | None = None
    noted: tuple[NotedPayment, ...] = ()
    met: tuple[Met, ...] = ()


class Scorer:
    """Scores rounds with one model, and from the same features with a challenger where there is one.

    Features, order of columns, thresholds and rules are bound here, once.
    """

    def __init__(  # noqa: PLR0913 - what it is bound to
        self,
        model: Model,
        money: Money,
        output: Output,
        clock: Clock,
        threshold: float | None = None,
        challenger: Challenger | None = None,
        rules: RulesInForce | None = None,
    ) -> None:
        rules = rules or RulesInForce()
        features = model.metadata.resolved()
        beside = challenger.model.metadata.resolved() if challenger else ()
        self._plan = compile_plan((*dict.fromkeys(features + beside + rules.features), *CONTEXT_FEATURES))
        columns = self._plan.features
        self._champion = BoundModel(model, columns, threshold, rules.policy)
        self._challenger_scorer = ChallengerScorer(challenger, columns, threshold, rules.policy) if challenger else None
        self.model, self.policy, self.feature_names = model, self._champion.policy, self._champion.names
        self._rules = BoundRules(rules, [f.name for f in columns])
        self._usual_payments, self._usual_mean = (columns.index(f) for f in CONTEXT_FEATURES)
        self._money = money
        self._clock = clock
        self._publication = Publication(output, clock.now_ms())

    def decide(self, intake: Intake, work: WorkingSet, source: Place, published: AlreadyPublished | None = None) -> Decided:
        """Decide a round of one partition, see `decide_all`."""
        return self.decide_all(intake, work, [source], published)[0]

    def decide_all(
        self, intake: Intake, work: WorkingSet, sources: Sequence[Place], published: AlreadyPublished | None = None
    ) -> list[Decided]:
        """Decide every payment of a round, in order; each payment and label is counted in the working set.

        1. features of each payment, counting it;
        2. scores, in one call;
        3. what rules and lists say of them;
        4. for those that alert: case and reasons;
        5. the messages of all of it.

        Where the payments were surely decided before, they are counted, and the cases of their alerts kept: nothing is published.

        Args:
            intake: the decoded payments and labels.
            work: the state they touch, changed in place.
            sources: topic and partition of the payments of each partition.
            published: what was published for them before: it stands, and is not published again. Of a round of one partition alone, whose
                payments all lie below `AlreadyPublished.decided`, or none does.

        Returns:
            what became of each partition's.
        """
        elapsed_s, published = self._clock.elapsed_s, published or AlreadyPublished()
        began = elapsed_s()
        computed = compute(self._plan, intake.events, work.rows, self._money.unit)
        featured = elapsed_s()
        scored = self._score(intake, computed)
        again = bool(scored.offsets) and scored.offsets[0] < published.decided[0]
        decided = self._decided(intake, work, computed, scored, published.decisions, again=again)
        messages: list[list[Outgoing]] = [
            [] if again else self._publication.messages(decided, n, source, published) for n, source in enumerate(sources)
        ]
        seconds = {"features": featured - began, "score": elapsed_s() - featured}
        if again:
            counts: dict[EventKind, int] = {"rebuilt": len(scored), "labels": len(intake.labels.messages)}
            return [Decided([], counts, seconds, None, decided.noted(0).payments, decided.met(0))]
        noted = [decided.noted(n) for n in range(len(sources))]
        return [
            Decided(
                sent,
                decided.counts(n) | {"hits_unjudged": noted[n].left_out},
                seconds,
                decided.observed(self.model.metadata, n),
                noted[n].payments,
                decided.met(n),
            )
            for n, sent in enumerate(messages)
        ]

    def decisions(self, intake: Intake, work: WorkingSet) -> DecidedPayments:
        """The same decisions as values, for one who publishes none."""
        computed = compute(self._plan, intake.events, work.rows, self._money.unit)
        return self._decided(intake, work, computed, self._score(intake, computed), {})

    def _decided(
        self,
        intake: Intake,
        work: WorkingSet,
        computed: Computed,
        scored: ScoredPayments,
        published_decisions: Mapping[int, PublishedDecision],
        *,
        again: bool = False,
    ) -> DecidedPayments:
        """The decisions on what was scored. A published one stands; with `again`, no other payment alerts."""
        stood = (
            {place: published_decisions[offset] for place, offset in enumerate(scored.offsets) if offset in published_decisions}
            if published_decisions
            else {}
        )
        ruling, cases = self._ruling(intake, scored, again=again), dict[int, Case]()
        alerted = (
            np.zeros(len(scored), dtype=bool) if again else scored.alerts() if ruling.verdicts is None else ruling.verdicts.actions > 0
        )
        for place, decision in stood.items():
            alerted[place] = decision.action is not None
        ends = np.searchsorted(scored.payments, [share.payments.stop for share in intake.shares]).tolist()
        decided = DecidedPayments(intake, work, computed, scored, cases, stood, self._clock.now_ms(), ends, ruling)
        cases |= self._cases(decided, np.flatnonzero(alerted).tolist())
        return decided

    def _ruling(self, intake: Intake, scored: ScoredPayments, *, again: bool) -> Ruling:
        """What rules and lists say; nothing of what was surely decided before."""
        if again:
            return NO_RULING
        if self._rules.idle or not len(scored):
            return self._rules.unasked(scored.table)
        payments = [intake.payments.messages[p] for p in scored.payments.tolist()]
        minor = intake.events.minor[scored.events]
        money = np.where(minor < 0, np.nan, minor / self._money.unit)
        return self._rules.ruling(ScoredBatch(payments, money, scored.table, scored.scores.probability, scored.actions()))

    def _score(self, intake: Intake, computed: Computed) -> ScoredPayments:
        of_payments = computed.scored[intake.places]
        payments, events = np.flatnonzero(of_payments), intake.places[of_payments]
        offsets = (
            intake.payments.offsets if len(payments) == len(intake.places) else [intake.payments.offsets[p] for p in payments.tolist()]
        )
        table = computed.vectors[events]
        vectors = self._champion.vectors(table)
        scores = self._champion.scores(vectors)
        if self._challenger_scorer is None:
            return ScoredPayments(payments, events, offsets, table, self._champion, vectors, scores, scores, None)
        challenger = self._challenger_scorer.scores_of(table, intake.ids[0], intake.events.entities[0][events])
        return ScoredPayments(payments, events, offsets, table, self._champion, vectors, challenger.over(scores), scores, challenger)

    def _cases(self, decided: DecidedPayments, places: list[int]) -> dict[int, Case]:
        """Case and reasons of each payment that alerts, by its place among the scored; kept in the working set."""
        work, scored, stood, ruling = decided.work, decided.scored, decided.published, decided.ruling
        new = [p for p in places if p not in stood]
        of_model = new if ruling.verdicts is None else [p for p, alerts in zip(new, scored.alerts()[new].tolist(), strict=True) if alerts]
        reasons = self._explain(decided.intake, decided.computed, scored, of_model)
        cases: dict[int, Case] = {}
        for place in places:
            tx, slot = decided.transaction(place), int(decided.intake.events.entities[0][scored.events[place]])
            card = work.rows[0].own[work.rows[0].own_at[slot]]
            alert_id = alert_id_of(tx.card_id, tx.transaction_id)
            case = case_of(alert_id, tx.event_time, work.case_ids[slot], int(card[CASE_LAST]))
            if place in stood:
                case = stood[place].case_id or case
            keep_case(work, slot, case, tx.event_time)
            told = stood[place].reasons if place in stood else ruling.reasons(place, tx) + reasons.get(place, ())
            cases[place] = Case(alert_id, case, told)
        return cases

    def _explain(self, intake: Intake, computed: Computed, scored: ScoredPayments, places: list[int]) -> dict[int, tuple[Reason, ...]]:
        if not places:
            return {}
        events = scored.events[places]
        context = computed.vectors[events][:, (self._usual_payments, self._usual_mean)].tolist()
        priced = (intake.events.minor[events] >= 0).tolist()
        said = [said_by(intake.payments.messages[p]) for p in scored.payments[places].tolist()]
        usual = [Usual(payments, mean, *known) for (payments, mean), known in zip(context, zip(priced, said, strict=True), strict=True)]
        reasons = self._champion.reasons(scored.vectors[places], usual, self._money.currency)
        explained = dict(zip(places, reasons, strict=True))
        if (challenger := scored.challenger) is not None and (its := [n for n, p in enumerate(places) if challenger.decides[p]]):
            at = [places[n] for n in its]
            told = challenger.bound.reasons(challenger.vectors[at], [usual[n] for n in its], self._money.currency)
            explained |= dict(zip(at, told, strict=True))
        return explained


def keep_case(work: WorkingSet, slot: int, case_id: str, alerted_ms: int) -> None:
    """The present case of the n-th card, whose last alert was then."""
    card = work.rows[0].own[work.rows[0].own_at[slot]]
    work.case_ids[slot] = case_id
    card[CASE_LAST] = max(int(card[CASE_LAST]), alerted_ms)
