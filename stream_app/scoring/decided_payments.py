"""The decisions of a round as values: arrays over its payments, and each decision by its place. No I/O, no bytes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream_app.features import kernel
from stream_app.features.compute import Computed, Vectors
from stream_app.features.model_metadata import ModelMetadata
from stream_app.features.plan import LABELS, LABELS_LEN, RECENT, RECENT_LEN, Ints
from stream_app.messages.alert import Beside, Reason
from stream_app.messages.transaction import Transaction
from stream_app.rules.power import Actions
from stream_app.scoring.bound_model import BoundModel, ChallengerScores, Chosen, beside
from stream_app.scoring.bound_rules import NO_RULING, Ruling
from stream_app.scoring.decision import Verdict
from stream_app.scoring.intake import Intake
from stream_app.scoring.observation import Decisions, EventKind
from stream_app.scoring.outcomes import Met, NotedPayment
from stream_app.scoring.ports import Scores, WorkingSet
from stream_app.scoring.rule_notes import HitCodes

_RECENT, _OF_LABELS = slice(RECENT, RECENT + RECENT_LEN), slice(LABELS, LABELS + 2 * LABELS_LEN, 2)
"""A card's last transactions, and those that its last labels are of."""


@dataclass(frozen=True, slots=True)
class ScoredPayments:
    """The payments that get a decision, as arrays of one length; a *place* is an index into them.

    Attributes:
        payments, events: their places among the payments and among the events.
        offsets: theirs in the log.
        table: float32 [payments, columns], every feature of the plan.
        champion: the model that decides, but where a challenger does.
        vectors, of_champion: the champion's.
        scores: those that decide.
        challenger: what the challenger says, where there is one.
    """

    payments: Ints
    events: Ints
    offsets: list[int]
    table: Vectors
    champion: BoundModel
    vectors: Vectors
    scores: Scores
    of_champion: Scores
    challenger: ChallengerScores | None

    def __len__(self) -> int:
        return len(self.payments)

    def alerts(self) -> Chosen:
        """Which of them the model that decides would alert, bool [payments]."""
        own, challenger = self.champion.alerts(self.of_champion), self.challenger
        return own if challenger is None else np.where(challenger.decides, challenger.bound.alerts(challenger.scores), own)

    def actions(self) -> Actions:
        """What the model that decides would do about each, by its place in `power.ACTIONS`."""
        own, challenger = self.champion.policy.actions(self.of_champion.probability), self.challenger
        if challenger is None:
            return own
        return np.where(challenger.decides, challenger.bound.policy.actions(challenger.scores.probability), own)

    def decider(self, place: int) -> tuple[BoundModel, Vectors]:
        """The model that decides a payment, and the vector that it was given."""
        if self.challenger is not None and self.challenger.decides[place]:
            return self.challenger.bound, self.challenger.vectors[place]
        return self.champion, self.vectors[place]

    def beside(self, place: int) -> Beside | None:
        """What the model says that does not decide; None where there is one model."""
        challenger = self.challenger
        if challenger is None:
            return None
        if challenger.decides[place]:
            return beside("champion", self.champion, float(self.of_champion.probability[place]))
        return beside("challenger", challenger.bound, float(challenger.scores.probability[place]))


@dataclass(frozen=True, slots=True)
class Case:
    """An alert's own id, that of its case, and why."""

    alert_id: str
    id: str
    reasons: tuple[Reason, ...]


class ToNote(NamedTuple):
    """What is noted of a partition's payments, and how many hits of rules are left out."""

    payments: tuple[NotedPayment, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class DecidedPayments:
    """The decisions of a round: those of one partition are a run of places.

    Attributes:
        intake: its payments and labels.
        work: the state they touched.
        computed: the features of its events, and what became of each.
        scored: the payments that get a decision.
        cases: of those that alert, by place.
        published: the decisions that were published before, by place: each stands, whatever would be decided now.
        scored_at: Unix time, ms.
        ends: of each partition, the place after its last.
        ruling: what rules and lists say.
    """

    intake: Intake
    work: WorkingSet
    computed: Computed
    scored: ScoredPayments
    cases: Mapping[int, Case]
    published: Mapping[int, Verdict]
    scored_at: int
    ends: list[int]
    ruling: Ruling = NO_RULING

    def __len__(self) -> int:
        return len(self.scored)

    def places(self, partition: int) -> range:
        """Of the n-th partition of the round."""
        return range(self.ends[partition - 1] if partition else 0, self.ends[partition])

    def cases_of(self, partition: int) -> list[int]:
        """The places of the n-th partition that alert."""
        within = self.places(partition)
        return [place for place in self.cases if place in within]

    def transaction(self, place: int) -> Transaction:
        """The payment."""
        return self.intake.payments.messages[int(self.scored.payments[place])]

    def arrived_ms(self, place: int) -> int:
        """Its Kafka timestamp."""
        return self.intake.payments.timestamps_ms[int(self.scored.payments[place])]

    def degraded(self, place: int) -> str | None:
        """Why the state that its features were computed from is not whole, or None."""
        return self.work.seen[bisect_right(self.ends, place)].degraded

    def verdict(self, place: int) -> Verdict:
        """The decision: the one that stands, or the one that was taken now."""
        if place in self.published:
            return self.published[place]
        scores, case, (model, _), ruling = self.scored.scores, self.cases.get(place), self.scored.decider(place), self.ruling
        score = float(scores.probability[place])
        of_model = Verdict(
            score=score,
            raw_score=float(scores.raw[place]),
            threshold=model.policy.threshold,
            action=model.policy.action(score),
            case_id=case.id if case else None,
            model=model.model.reference,
            reasons=case.reasons if case else (),
            degraded=self.degraded(place),
            scored_at=self.scored_at,
        )
        return of_model if ruling.verdicts is None else ruling.over(of_model, place)

    def features(self, place: int) -> dict[str, float]:
        """The vector that the model was given which decides now, by name; then what the rules of now ask for beside it."""
        model, vector = self.scored.decider(place)
        named = dict(zip(model.names, vector.tolist(), strict=True))
        return named if self.ruling.vectors is None else named | self.ruling.features(place)

    def counts(self, partition: int) -> dict[EventKind, int]:
        """See `Decided.counts`, of the n-th partition."""
        scored, challenger, within, share = self.scored, self.scored.challenger, self.places(partition), self.intake.shares[partition]
        run = slice(within.start, within.stop)
        duplicates = self.duplicates(partition)
        return {
            "scored": len(within),
            "alerts": len(self.cases_of(partition)),
            "labels": share.labels.stop - share.labels.start,
            "labels_incomplete": self.intake.incomplete_labels(partition),
            "duplicates": duplicates,
            "late": int(self.computed.late[share.events].sum()),
            "unpriced": int((self.intake.events.minor[scored.events[run]] < 0).sum()),
            "credits": share.payments.stop - share.payments.start - len(within) - duplicates,
            "degraded": len(within) if self.work.seen[partition].degraded else 0,
            **(challenger.counts(scored.champion.alerts(scored.of_champion), run) if challenger else {}),
        }

    def duplicates(self, partition: int) -> int:
        """How many payments of the n-th partition were counted before on their card."""
        return int(self.computed.duplicates[self.intake.shares[partition].events].sum())

    def observed(self, metadata: ModelMetadata, partition: int) -> Decisions:
        """What operators are told of the n-th partition; `metadata` is the champion's."""
        scored, events, within = self.scored, self.intake.events, self.places(partition)
        run = slice(within.start, within.stop)
        of = scored.events[run]
        return Decisions(
            metadata,
            scored.vectors[run],
            scored.of_champion.probability[run],
            events.times_ms[of],
            np.array([self.intake.payments.timestamps_ms[p] for p in scored.payments[run].tolist()], dtype=np.int64),
            events.minor[of],
            np.array(self.cases_of(partition), dtype=np.int64) - within.start,
            scored.challenger.scores.probability[run] if scored.challenger else None,
            self.ruling.counts(run, list(self.published)),
        )

    def noted(self, partition: int) -> ToNote:
        """The alerts of the n-th partition and the payments that rules hit, as labels are held against them. Asked once."""
        within, cases = self.places(partition), self.cases_of(partition)
        codes, left_out = self.ruling.to_note(slice(within.start, within.stop), list(self.published), cases)
        codes |= {place: HitCodes.told(self.published[place].rules) for place in within if place in self.published}
        places = sorted({*cases, *(place for place, one in codes.items() if any(one))})
        if not places:
            return ToNote(left_out=left_out)
        events, alerted = self.scored.events[places], set(cases)
        labelled = (self._of_cards(events, _OF_LABELS) == self.intake.events.ids[events, None]).any(axis=1)
        paid = zip(places, map(self.transaction, places), self.intake.events.minor[events].tolist(), labelled.tolist(), strict=True)
        return ToNote(
            tuple(
                NotedPayment(tx.card_id, tx.transaction_id, tx.event_time, minor, known, place in alerted, *codes.get(place, HitCodes()))
                for place, tx, minor, known in paid
            ),
            left_out,
        )

    def met(self, partition: int) -> tuple[Met, ...]:
        """What each label of the n-th partition met. A card whose last transactions are not many remembers all that it ever paid here."""
        told = self.intake.shares[partition].labels
        if told.start == told.stop:
            return ()
        events = self.intake.of_labels[told]
        recent = self._of_cards(events, _RECENT)
        paid = (recent[:, -1] != 0) | (recent == self.intake.events.ids[events, None]).any(axis=1)
        return tuple(map(Met, (self.computed.effects[events] != kernel.SKIP).tolist(), paid.tolist()))

    def _of_cards(self, events: Ints, columns: slice) -> Ints:
        """Columns of the rows of these events' cards, after the round; int64 [events, columns]."""
        cards = self.work.rows[0]
        found: Ints = cards.own[cards.own_at[self.intake.events.entities[0][events]], columns]
        return found
