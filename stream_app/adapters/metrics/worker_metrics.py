"""Prometheus metrics of a worker. Made by whoever builds the worker, never at import."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from importlib.metadata import version
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, ProcessCollector, generate_latest

from stream_app.adapters.metrics import catalogue
from stream_app.adapters.metrics.model_metrics import ModelMetrics
from stream_app.adapters.metrics.rule_metrics import PaymentRuleMetrics
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.refusals import DeadLetterCode
from stream_app.operating.progress import Totals
from stream_app.scoring.drift import Drift
from stream_app.scoring.observation import Backlog, Decisions, EventKind
from stream_app.scoring.outcomes import OUTCOMES, LabelOutcomes

_CHANGES = {True: "added", False: "taken_back"}


class WorkerMetrics:
    """See `observation.Observer`; `models` is told of the models, `rules` of rules and lists."""

    def __init__(self, minor_per_major: int = 100, threshold: float | None = None) -> None:
        """Make a worker's metrics of the catalogue, each at zero where its labels are known.

        Args:
            minor_per_major: minor units of one major unit of the base currency.
            threshold: that overrules the model's own.
        """
        self.registry = to = CollectorRegistry()
        ProcessCollector(registry=to)
        self._unit = minor_per_major
        self.models = ModelMetrics(to, threshold)
        self.rules = PaymentRuleMetrics(to, minor_per_major)
        self._counted = {metric: metric.made(to) for metric in catalogue.COUNTED.values()}
        self._refused = catalogue.DEAD_LETTERS.made(to)
        for code in DeadLetterCode:
            self._refused.labels(code)
        stages = catalogue.BATCH_STAGE.made(to)
        self._by_stage = {stage: stages.labels(stage) for stage in catalogue.STAGES}
        self._records = catalogue.BATCH_RECORDS.made(to)
        self._alert_latency, self._decision_latency = catalogue.ALERT_LATENCY.made(to), catalogue.DECISION_LATENCY.made(to)
        self._scores, self._challenger_scores = catalogue.SCORE.made(to), catalogue.CHALLENGER_SCORE.made(to)
        self._alerted_amount = catalogue.ALERTED_AMOUNT.made(to)
        self._partitions = catalogue.PARTITIONS_OWNED.made(to)
        self._lag, self._cursor_age = catalogue.LAG.made(to), catalogue.CURSOR_AGE.made(to)
        self._rebuilds, self._rebuild_left = catalogue.REBUILDS.made(to), catalogue.REBUILD_LEFT.made(to)
        self._ready, self._server_up = catalogue.READY.made(to), catalogue.SERVER_UP.made(to)
        self._clock_behind = catalogue.CLOCK_BEHIND.made(to)
        self._outcomes = catalogue.OUTCOMES.made(to), catalogue.OUTCOMES_AMOUNT.made(to), catalogue.OUTCOME_CARDS.made(to)
        for counter in self._outcomes:
            for outcome in OUTCOMES:
                for change in _CHANGES.values():
                    counter.labels(outcome, change)
        self._outcomes_unknown = catalogue.OUTCOMES_UNKNOWN.made(to)
        self._keys_astray = catalogue.KEYS_ASTRAY.made(to)
        self._followed: ModelMetadata | None = None
        self._drift: Drift | None = None
        self._drift_index, self._drift_decisions = catalogue.DRIFT_INDEX.made(to), catalogue.DRIFT_DECISIONS.made(to)
        catalogue.BUILD_INFO.made(to).labels(version("fraudstream")).set(1)

    def stage(self, name: str, seconds: float) -> None:
        """See `observation.Observer`."""
        self._by_stage[name].observe(seconds)

    def batch(self, records: int) -> None:
        """See `observation.Observer`."""
        self._records.observe(np.array([records]))

    def counted(self, what: EventKind, count: int) -> None:
        """See `observation.Observer`."""
        if count:
            self._counted[catalogue.COUNTED[what]].inc(count)

    def decided(self, decisions: Decisions, published_s: float, written_s: float) -> None:
        """See `observation.Observer`. Clocks of two machines may differ: nothing is decided before it came."""
        if not len(decisions.scores):
            return
        self._scores.observe(decisions.scores)
        if decisions.of_challenger is not None:
            self._challenger_scores.observe(decisions.of_challenger)
        if decisions.rules is not None:
            self.rules.counted(decisions.rules)
        self._follow(decisions)
        self._decision_latency.observe((written_s - decisions.arrived_ms / 1000).clip(0))
        if len(decisions.alerted):
            self._alert_latency.observe((published_s - decisions.arrived_ms[decisions.alerted] / 1000).clip(0))
            self._alerted_amount.inc(int(decisions.minor[decisions.alerted].clip(0).sum()) / self._unit)

    def _follow(self, decisions: Decisions) -> None:
        """Count for drift; another model begins anew."""
        if decisions.metadata is not self._followed:
            self._followed, baseline = decisions.metadata, decisions.metadata.baseline
            self._drift = None if baseline is None else Drift(decisions.metadata, baseline)
        if self._drift is not None:
            self._drift.add(decisions.vectors, decisions.scores, decisions.times_ms)

    def label_outcomes(self, outcomes: LabelOutcomes) -> None:
        """See `observation.Observer`."""
        of_each = zip(self._outcomes, (outcomes.payments, outcomes.minor, outcomes.cards), (1, self._unit, 1), strict=True)
        for counter, changes, unit in of_each:
            for (outcome, added), value in changes.items():
                counter.labels(outcome, _CHANGES[added]).inc(value / unit)
        self._outcomes_unknown.inc(outcomes.unknown)
        self.rules.judged(outcomes)

    def refused(self, code: str) -> None:
        """See `observation.Observer`."""
        self._refused.labels(code).inc()

    def rebuild_begun(self) -> None:
        """See `observation.Observer`."""
        self._rebuilds.inc()

    def rebuilding(self, partition: int, records_left: int) -> None:
        """See `observation.Observer`."""
        self._rebuild_left.labels(str(partition)).set(records_left)

    def waiting(self, backlog: Backlog) -> None:
        """See `observation.Observer`."""
        partition = str(backlog.partition)
        self._lag.labels("transactions", partition).set(backlog.transactions)
        self._lag.labels("labels", partition).set(backlog.labels)
        self._cursor_age.labels(partition).set(backlog.age_s)

    def partitions_owned(self, count: int) -> None:
        """How many partitions this worker holds. What was told of those before is forgotten: another worker may hold them now."""
        self._partitions.set(count)
        self._lag.clear()
        self._cursor_age.clear()

    def watch(self, server: str, is_up: Callable[[], bool]) -> None:
        """Show whether a server answers, whenever somebody looks."""
        self._server_up.labels(server).set_function(lambda: float(is_up()))

    def watch_readiness(self, is_ready: Callable[[], bool]) -> None:
        """Show whether this worker scores, whenever somebody looks."""
        self._ready.set_function(lambda: float(is_ready()))

    def watch_clock(self, behind_s: Callable[[], float]) -> None:
        """Show how far this machine's clock is behind, whenever somebody looks."""
        self._clock_behind.set_function(behind_s)

    def watch_keys(self, astray: Callable[[], tuple[float, float]]) -> None:
        """Show which share of payments' keys, and of labels', stands elsewhere than it should, whenever somebody looks."""
        self._keys_astray.labels("transactions").set_function(lambda: astray()[0])
        self._keys_astray.labels("labels").set_function(lambda: astray()[1])

    def totals(self) -> Totals:
        """What was done since the start."""

        def total(metric: Counter | Gauge) -> int:
            return int(sum(s.value for family in metric.collect() for s in family.samples if not s.name.endswith("_created")))

        scored, alerts, labels = (total(self._counted[m]) for m in (catalogue.SCORED, catalogue.ALERTS, catalogue.LABELS))
        return Totals(scored, alerts, labels, total(self._refused), total(self._partitions))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format; drift is worked out now."""
        return b"".join(self.pieces())

    def pieces(self, names: Collection[str] = ()) -> Iterator[bytes]:
        """The same, one metric after the other; with `names`, those of these names alone.

        All of a release of a thousand rules takes a tenth of a second: whoever sends it lets others run in between.
        """
        self._drift_index.clear()
        if self._drift is not None:
            self._drift_decisions.set(self._drift.rows)
            for feature, value in self._drift.indices().items():
                self._drift_index.labels(feature).set(value)
        asked: Any = self.registry.restricted_registry(list(names)) if names else self.registry
        for family in asked.collect():
            yield generate_latest(_OneFamily(family))


class _OneFamily(CollectorRegistry):
    """A registry of one metric."""

    def __init__(self, family: Metric) -> None:
        super().__init__()
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """See `CollectorRegistry`."""
        yield self._family
