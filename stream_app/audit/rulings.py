"""Decisions taken again: on the vector and the score as they were served, by the rules and the lists of their moment.

Each decision says how far the topics of rules and lists were read. The decisions are put in the order in which the lists were seen, and taken as the lists
come to that state, record by record: no state of the lists is kept but the present one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np

from stream_app.audit.decisions import ServedDecision, ServedRuling
from stream_app.audit.history import PartitionHistory
from stream_app.audit.verification import ModelName, VerificationReport
from stream_app.errors import RuleError
from stream_app.features.definitions import Feature
from stream_app.features.kept import kept_features
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.alert import Action
from stream_app.messages.records import Record
from stream_app.messages.transaction import PaymentKey, Transaction
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.power import places_of
from stream_app.rules.rules_log import InForce, RulesLog
from stream_app.rules.verdicts import RuleBook, Verdicts, features_asked
from stream_app.scoring.decision import Policy, policy_of
from stream_app.scoring.provenance import RulesRead

MOST_AT_ONCE = 1_000
OUT_OF_REACH = "rules or lists of its moment out of reach"
MADE_ANEW = "by a topic of rules or lists that was made anew since: another is there under its name"
NOT_THERE = "no transaction to decide again"
_NEVER_READ = RulesRead("", -1, "", -1)


class RulesOfThen:
    """What the topics of rules and lists held at any offset that they reach back to.

    Attributes:
        rules: all of its topic, with every release; empty where there is no topic, None where its beginning is gone.
        lists: as they were where its topic begins; brought forward by `Rulings.read`.
        lists_from: the first offset at which the lists are known.
        end: of the topic of lists.
        ids: Kafka's ids of both topics; a decision by a topic that is gone is out of reach.
    """

    def __init__(self, rules: RulesLog | None, lists: ListsLog | None, lists_end: int, ids: tuple[str, str]) -> None:
        self.rules, self.lists, self.end, self.ids = rules, lists, lists_end, ids
        self.lists_from = lists.offset if lists else lists_end

    def reaches(self, read: RulesRead) -> bool:
        """Whether it is known what a decision had read."""
        if self.rules is None or self.lists is None:
            return False
        return (
            self.is_of_these(read)
            and read.rules <= self.rules.offset
            and self.lists_from <= read.lists <= self.end
            and self._known(read.rules)
        )

    def is_of_these(self, read: RulesRead) -> bool:
        """Whether a decision read these topics, and not others of their names."""
        return all(_is_of(*one) for one in ((read.rules_id, read.rules, self.ids[0]), (read.lists_id, read.lists, self.ids[1])))

    def _known(self, offset: int) -> bool:
        try:
            self.release(offset)
        except RuleError:
            return False
        return True

    def release(self, offset: int) -> InForce | None:
        """In force for one who had read so far."""
        return None if self.rules is None or offset < 0 else self.rules.in_force_at(offset)


def _is_of(id_: str, offset: int, now: str) -> bool:
    """Whether a decision read this topic, or there was none then: nothing was read of it."""
    return id_ == now or not (id_ or offset)


class Rulings:
    """Takes decisions again, and counts into a report."""

    def __init__(
        self,
        decisions: Iterable[ServedDecision],
        histories: Sequence[PartitionHistory],
        models: Mapping[ModelName, ModelMetadata],
        then: RulesOfThen,
        unit: int,
    ) -> None:
        """Args: `decisions` in any order; `histories` of every partition; `unit`: minor units of a major one."""
        self._histories, self._models, self._then, self._unit = histories, models, then, unit
        self._lists = then.lists or ListsLog()
        self._books: dict[str, tuple[RuleBook, tuple[str, ...]]] = {}
        self.report = VerificationReport()
        chosen = [d for d in decisions if self._can_be_taken(d)]
        chosen.sort(key=lambda d: (_read(d).lists, _read(d).rules))
        self._waiting = list(reversed(chosen))

    def _can_be_taken(self, decision: ServedDecision) -> bool:
        provenance = decision.provenance
        if provenance is not None and provenance.stands:
            return False  # counted by `Verification`
        why = NOT_THERE if self._payment(decision) is None else self._out_of_reach(_read(decision))
        if why:
            self.report.apart[why] += 1
        return not why

    def _out_of_reach(self, read: RulesRead) -> str:
        if read == _NEVER_READ or self._then.reaches(read):
            return ""
        return OUT_OF_REACH if self._then.is_of_these(read) else MADE_ANEW

    def _payment(self, decision: ServedDecision) -> tuple[Transaction, int] | None:
        """The payment, and its money in minor units."""
        history = self._histories[decision.partition]
        place = history.payments_below(decision.offset)
        if place >= len(history.payments) or history.payment_offsets[place] != decision.offset:
            return None
        payment = history.payments[place]
        return (
            (payment, int(history.events.minor[len(history.labels) + place])) if PaymentKey.of(payment) == PaymentKey.of(decision) else None
        )

    def read(self, records: Iterable[Record]) -> None:
        """Bring the lists forward by the records of their topic; what was decided before each is taken again first."""
        for record in records:
            self._take_up_to(record.offset)
            self._lists.apply(record.offset, record.value, record.timestamp)

    def finish(self) -> VerificationReport:
        """What is left, once all records were read."""
        self._take_up_to(self._then.end)
        return self.report

    def _take_up_to(self, offset: int) -> None:
        due: list[ServedDecision] = []
        while self._waiting and _read(self._waiting[-1]).lists <= offset:
            due.append(self._waiting.pop())
        for read, of_one in groupby(due, key=_read):
            decisions = list(of_one)
            for start in range(0, len(decisions), MOST_AT_ONCE):
                self._compare(read, decisions[start : start + MOST_AT_ONCE])

    def _compare(self, read: RulesRead, decisions: Sequence[ServedDecision]) -> None:
        release = self._then.release(read.rules)
        policies = [self._policy(decision, release) for decision in decisions]
        actions = [policy.action(decision.score) for policy, decision in zip(policies, decisions, strict=True)]
        verdicts = None if read == _NEVER_READ else self._verdicts(release, decisions, actions)
        for place, (decision, policy) in enumerate(zip(decisions, policies, strict=True)):
            again = ServedRuling(actions[place], "model", (), ()) if verdicts is None else _ruling(verdicts, place)
            self.report.rulings += 1
            if again != decision.ruling or policy.threshold != decision.threshold:
                self.report.ruling_differences += 1
                self.report.first_ruling = self.report.first_ruling or _told(decision, again, policy, release)

    def _policy(self, decision: ServedDecision, release: InForce | None) -> Policy:
        """The release's, or the model's with the threshold that it had: settings may have overruled that."""
        metadata = self._models[decision.model.name, decision.model.version]
        return policy_of(metadata, decision.threshold, release.policy if release else None)

    def _verdicts(self, release: InForce | None, decisions: Sequence[ServedDecision], actions: Sequence[Action | None]) -> Verdicts | None:
        book, columns = self._book(release)
        found = [payment for decision in decisions if (payment := self._payment(decision)) is not None]
        minor = np.array([of for _, of in found], dtype=np.int64)
        served = [dict(zip(decision.features, decision.vector.tolist(), strict=True)) for decision in decisions]
        batch = ScoredBatch(
            [payment for payment, _ in found],
            np.where(minor < 0, np.nan, minor / self._unit),
            np.array([[of.get(name, np.nan) for name in columns] for of in served], dtype=np.float32).reshape(len(found), len(columns)),
            np.array([decision.score for decision in decisions], dtype=np.float32),
            places_of(actions),
        )
        try:
            return book.verdicts(batch)
        except Exception:  # noqa: BLE001 - as `bound_rules.BoundRules`: the model decides then
            return None

    def _book(self, release: InForce | None) -> tuple[RuleBook, tuple[str, ...]]:
        """Of a release, over the lists as they come forward."""
        name = release.name if release else ""
        if name not in self._books:
            rules = release.rules if release else ()
            columns = tuple(feature.name for feature in features_asked(rules))
            self._books[name] = RuleBook(rules, self._lists.lists, columns), columns
        return self._books[name]


def beside_models(decisions: Iterable[ServedDecision]) -> tuple[Feature, ...]:
    """The features of these decisions that rules may have asked for, as far as there are such."""
    return tuple(kept_features()[name] for name in sorted({name for d in decisions for name in d.features} & kept_features().keys()))


def _read(decision: ServedDecision) -> RulesRead:
    """How far a decision had read rules and lists; `_NEVER_READ` where nobody did."""
    return (decision.provenance and decision.provenance.rules) or _NEVER_READ


def _ruling(verdicts: Verdicts, place: int) -> ServedRuling:
    return ServedRuling(verdicts.action(place), verdicts.decider(place), verdicts.rule_hits(place), verdicts.lists(place))


def _told(decision: ServedDecision, again: ServedRuling, policy: Policy, release: InForce | None) -> str:
    read, by = _read(decision), f"release {release.name[:12]}…" if release else "no release"
    where = f"partition {decision.partition}, offset {decision.offset}, sequence {decision.sequence}"
    return (
        f"First decision that is otherwise: transaction {decision.transaction_id} of card {decision.card_id}, {where}. By {by} (rules read to "
        f"{read.rules}, lists to {read.lists}) and threshold {policy.threshold:g} it is {_words(again)}; served was threshold "
        f"{decision.threshold:g}, {_words(decision.ruling)}."
    )


def _words(of: ServedRuling) -> str:
    hits = ", ".join(f"{hit.code} v{hit.version} ({hit.mode}) {hit.values}" for hit in of.rules) or "none"
    return f"{of.action or 'no alert'} by {of.decided_by}, rules that hit: {hits}, lists: {', '.join(of.lists) or 'none'}"
