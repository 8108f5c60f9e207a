"""Served decisions against the same kernel and the same model offline: vectors and scores, equal to the bit or told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream_app.audit.decisions import ServedBatch, ServedDecision, batches, labels_before
from stream_app.audit.event_order import Compared, EventOrder
from stream_app.audit.history import PartitionHistory
from stream_app.audit.recorded import recomputed
from stream_app.features.compute import Vectors
from stream_app.features.definitions import Feature
from stream_app.features.plan import Ints, Plan, compile_plan
from stream_app.messages.transaction import PaymentKey
from stream_app.scoring.ports import Model

CHUNK = 1000
"""Scores must be the same in batches of this size as one by one."""

type ModelName = tuple[str, str]
"""Name and version."""


@dataclass(frozen=True, slots=True, eq=False)
class Difference:
    """A served vector that is not the one computed offline, in its first feature that differs."""

    batch: ServedBatch
    place: int
    feature: Feature
    served: float
    offline: float

    @property
    def decision(self) -> ServedDecision:
        """The decision it belongs to."""
        return self.batch.decisions[self.place]


@dataclass(slots=True)
class VerificationReport:
    """What was found.

    Attributes:
        vectors: compared with the kernel over the recorded order.
        differences: of these, how many differ.
        scores: compared with the model, one by one and in batches.
        score_differences: of these, how many differ.
        apart: decisions that are not compared, by the reason.
        labels: that had been counted, in all partitions, before the last of these decisions.
        unserved: payments between the first and the last decision of their partition that have none.
        event_order: the comparison with pure order of event time.
        first: the first difference.
        rulings: decisions that were taken again on the vector and score as served, by the rules and lists of their moment.
        ruling_differences: of these, how many differ.
        first_ruling: the first of them, in words.
    """

    vectors: int = 0
    differences: int = 0
    scores: int = 0
    score_differences: int = 0
    apart: Counter[str] = field(default_factory=Counter)
    labels: int = 0
    unserved: int = 0
    event_order: Compared = field(default_factory=Compared)
    first: Difference | None = None
    rulings: int = 0
    ruling_differences: int = 0
    first_ruling: str = ""

    def count(self, rulings: VerificationReport) -> None:
        """Add what was found of decisions that were taken again."""
        self.rulings, self.ruling_differences, self.first_ruling = rulings.rulings, rulings.ruling_differences, rulings.first_ruling
        self.apart += rulings.apart

    @property
    def equal(self) -> bool:
        """Whether online was offline, and every difference from the order of event time is explained."""
        return not (self.differences or self.score_differences or self.ruling_differences or self.event_order.unexplained)


class Verification:
    """Compares decisions with what the topics say they must be."""

    def __init__(
        self,
        histories: Sequence[PartitionHistory],
        models: Mapping[ModelName, Model],
        features: Mapping[ModelName, Sequence[Feature]],
        unit: int,
        beside: Sequence[Feature] = (),
    ) -> None:
        """Bind the models.

        Args:
            histories: of every partition.
            models: that decided, by name and version.
            features: of each model, in its order.
            unit: minor units of a major unit of the base currency.
            beside: features that rules asked for.
        """
        self._histories, self._models, self._unit = histories, models, unit
        asked = tuple(dict.fromkeys(f for of_model in (*features.values(), beside) for f in of_model))
        self._plan: Plan = compile_plan(asked)
        names = Counter(f.name for f in asked)  # two models may know the same attribute by other vocabularies
        self._place = {f.name: n for n, f in enumerate(asked) if names[f.name] == 1}
        self._known: dict[tuple[str, ...], Ints] = {}
        self._of_model = {model: np.array([asked.index(f) for f in of_model], dtype=np.int64) for model, of_model in features.items()}
        self._names = {model: tuple(f.name for f in of_model) for model, of_model in features.items()}
        self.report = VerificationReport()

    def run(self, decisions: Iterable[ServedDecision], full_from_ms: int = 0) -> VerificationReport:
        """Compare all.

        Args:
            decisions: those of a partition in the order of the log.
            full_from_ms: event time from which the histories fill every window.
        """
        given = list(decisions)
        chosen = [d for d in given if self._comparable(d, full_from_ms)]
        event_order = EventOrder(self._histories, self._plan, self._unit)
        self._count_unserved(given, event_order)
        before = labels_before(chosen, self._histories)
        self.report.labels = sum(int(counted.max(initial=0)) for counted in before)
        for batch, offline in recomputed(batches(chosen, self._histories), self._histories, before, self._plan, self._unit):
            served = self._served(batch)
            self._compare(batch, served, offline)
            event_order.compare(batch, served, self.report.event_order)
        self._compare_scores([d for d in chosen if d.provenance is not None and not d.provenance.stands])
        return self.report

    def _comparable(self, decision: ServedDecision, full_from_ms: int) -> bool:
        """Whether a decision can be compared; why not is counted."""
        why = self._why_apart(decision, full_from_ms)
        if why:
            self.report.apart[why] += 1
        elif decision.provenance is not None and decision.provenance.stands:
            self.report.apart["score of an earlier vector"] += 1  # its vector is compared, its score is not
        return not why

    def _why_apart(self, decision: ServedDecision, full_from_ms: int) -> str:
        if decision.degraded:
            return "degraded"
        provenance = decision.provenance
        if provenance is None or len(provenance.seen) != len(self._histories):
            return "order not recorded"
        if decision.event_time_ms < full_from_ms:
            return "history not in the topics"
        if provenance.stands and not self._place.keys() >= set(decision.features):
            return "vector of a model that decided nothing"
        history = self._histories[decision.partition]
        place = history.payments_below(decision.offset)
        there = place < len(history.payments) and history.payment_offsets[place] == decision.offset
        paid = history.payments[place] if there else None
        if paid is None or PaymentKey.of(paid) != PaymentKey.of(decision):
            return "transaction not in the topics"
        return "" if decision.offset >= provenance.start.transactions else "order not recorded"

    def _count_unserved(self, decisions: Sequence[ServedDecision], event_order: EventOrder) -> None:
        for partition in range(len(self._histories)):
            decided = np.unique(np.array([d.offset for d in decisions if d.partition == partition], dtype=np.int64))
            if len(decided):
                scored = event_order.scored(partition)
                within = scored[(scored >= decided[0]) & (scored <= decided[-1])]
                self.report.unserved += len(np.setdiff1d(within, decided))

    def _served(self, batch: ServedBatch) -> Vectors:
        """The vectors as published, over all features of the plan; NaN where a model has no such feature."""
        served = np.full((len(batch.decisions), len(self._plan.features)), np.nan, dtype=np.float32)
        for row, decision in zip(served, batch.decisions, strict=True):
            if self._names_fit(decision):
                row[self._columns(decision)] = decision.vector
        return served

    def _names_fit(self, decision: ServedDecision) -> bool:
        """Whether its features are those of its model, and known ones beside; where an earlier decision stands, of the model that came after."""
        stands = decision.provenance is not None and decision.provenance.stands
        of_model = self._names[decision.model.name, decision.model.version]
        return stands or (self._begins_with_its_models(decision) and self._place.keys() >= set(decision.features[len(of_model) :]))

    def _begins_with_its_models(self, decision: ServedDecision) -> bool:
        names = self._names[decision.model.name, decision.model.version]
        return decision.features[: len(names)] == names

    def _columns(self, decision: ServedDecision) -> Ints:
        """The columns of its features in the plan."""
        model, stands = (decision.model.name, decision.model.version), decision.provenance is not None and decision.provenance.stands
        names = decision.features if stands or self._names_fit(decision) else self._names[model]
        key = names if stands else (*model, *names)
        if key not in self._known:
            own = () if stands else self._of_model[model].tolist()
            self._known[key] = np.array([*own, *(self._place[name] for name in names[len(own) :])], dtype=np.int64)
        return self._known[key]

    def _compare(self, batch: ServedBatch, served: Vectors, offline: Vectors) -> None:
        """Every feature of each decision's model, to the bit."""
        self.report.vectors += len(served)
        asked = np.zeros(served.shape, dtype=np.bool_)
        for row, decision in zip(asked, batch.decisions, strict=True):
            row[self._columns(decision)] = True
        differs = asked & (served.view(np.int32) != offline.view(np.int32))
        rows = np.flatnonzero(differs.any(axis=1))
        self.report.differences += len(rows)
        if len(rows) and self.report.first is None:
            row = int(rows[0])
            column = int(np.flatnonzero(differs[row])[0])
            values = float(served[row, column]), float(offline[row, column])
            self.report.first = Difference(batch, row, self._plan.features[column], *values)

    def _compare_scores(self, decisions: Sequence[ServedDecision]) -> None:
        """What each model says of the vectors as served, one by one and in batches, is what was published."""
        for name, model in self._models.items():
            of_model = [d for d in decisions if (d.model.name, d.model.version) == name and self._begins_with_its_models(d)]
            width = len(self._names[name])
            for start in range(0, len(of_model), CHUNK):
                chunk = of_model[start : start + CHUNK]
                vectors = np.stack([d.vector[:width] for d in chunk])
                together, *alone = (model.score(part) for part in (vectors, *(vectors[n : n + 1] for n in range(len(chunk)))))
                served = np.array([(d.score, d.raw_score) for d in chunk])
                one_by_one = np.array([(one.probability[0], one.raw[0]) for one in alone])
                in_one = np.stack([together.probability, together.raw], axis=1)
                self.report.score_differences += int(np.count_nonzero(((in_one != served) | (one_by_one != served)).any(axis=1)))
                self.report.scores += len(chunk)
