"""Prometheus metrics of a worker. Made by whoever builds the worker, never at import."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import cast

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from stream_app.adapters.metrics.batch_histogram import BatchHistogram
from stream_app.adapters.metrics.catalogue import API, CATALOGUE, COUNTED, MODELS, STAGES, Metric
from stream_app.adapters.metrics.model_metrics import ModelMetrics
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.transaction import DeadLetterCode
from stream_app.operating.progress import Totals
from stream_app.scoring.drift import Drift
from stream_app.scoring.observation import Backlog, Decisions
from stream_app.scoring.outcomes import OUTCOMES, LabelOutcomes

_CHANGES = {True: "added", False: "taken_back"}

type _Made = Counter | Gauge | Histogram | BatchHistogram


class WorkerMetrics:
    """See `observation.Observer`; `models` is told of the models."""

    def __init__(self, minor_per_major: int = 100, threshold: float | None = None) -> None:
        """Make a worker's metrics of the catalogue, each at zero where its labels are known.

        Args:
            minor_per_major: minor units of one major unit of the base currency.
            threshold: that overrules the model's own.
        """
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._unit = minor_per_major
        self.models = ModelMetrics(self.registry, threshold)
        self._made = {metric.name: _make(metric, self.registry) for metric in CATALOGUE if metric not in (*MODELS, *API)}
        self._counters = {what: self._counter(metric.name) for what, metric in COUNTED.items()}
        self._refused = self._counter("fraudstream_dead_letters")
        for code in DeadLetterCode:
            self._refused.labels(code)
        stages = cast("Histogram", self._made["fraudstream_batch_stage_seconds"])
        self._by_stage = {stage: stages.labels(stage) for stage in STAGES}
        self._records = self._batches("fraudstream_batch_records")
        self._alert_latency = self._batches("fraudstream_alert_latency_seconds")
        self._decision_latency = self._batches("fraudstream_decision_latency_seconds")
        self._scores = self._batches("fraudstream_score")
        self._challenger_scores = self._batches("fraudstream_challenger_score")
        self._alerted_amount = self._counter("fraudstream_alerted_amount")
        self._partitions = self._gauge("fraudstream_partitions_owned")
        self._outcomes = tuple(self._counter(f"fraudstream_outcome{name}") for name in ("s", "s_amount", "_cards"))
        for counter in self._outcomes:
            for outcome in OUTCOMES:
                for change in _CHANGES.values():
                    counter.labels(outcome, change)
        self._followed: ModelMetadata | None = None
        self._drift: Drift | None = None
        self._gauge("fraudstream_build_info").labels(version("fraudstream")).set(1)

    def stage(self, name: str, seconds: float) -> None:
        """See `observation.Observer`."""
        self._by_stage[name].observe(seconds)

    def batch(self, records: int) -> None:
        """See `observation.Observer`."""
        self._records.observe(np.array([records]))

    def counted(self, what: str, count: int) -> None:
        """See `observation.Observer`."""
        if count:
            self._counters[what].inc(count)

    def decided(self, decisions: Decisions, published_s: float, written_s: float) -> None:
        """See `observation.Observer`. Clocks of two machines may differ: nothing is decided before it came."""
        if not len(decisions.scores):
            return
        self._scores.observe(decisions.scores)
        if decisions.of_challenger is not None:
            self._challenger_scores.observe(decisions.of_challenger)
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

    def judged(self, judged: LabelOutcomes) -> None:
        """See `observation.Observer`."""
        of_each = zip(self._outcomes, (judged.payments, judged.minor, judged.cards), (1, self._unit, 1), strict=True)
        for counter, changes, unit in of_each:
            for (outcome, added), value in changes.items():
                counter.labels(outcome, _CHANGES[added]).inc(value / unit)
        self._counter("fraudstream_outcomes_unknown").inc(judged.unknown)

    def refused(self, code: str) -> None:
        """See `observation.Observer`."""
        self._refused.labels(code).inc()

    def rebuild_begun(self) -> None:
        """See `observation.Observer`."""
        self._counter("fraudstream_rebuilds").inc()

    def rebuilding(self, partition: int, records_left: int) -> None:
        """See `observation.Observer`."""
        self._gauge("fraudstream_rebuild_records_left").labels(str(partition)).set(records_left)

    def waiting(self, backlog: Backlog) -> None:
        """See `observation.Observer`."""
        partition, lag = str(backlog.partition), self._gauge("fraudstream_lag_records")
        lag.labels("transactions", partition).set(backlog.transactions)
        lag.labels("labels", partition).set(backlog.labels)
        self._gauge("fraudstream_cursor_age_seconds").labels(partition).set(backlog.age_s)

    def partitions_owned(self, count: int) -> None:
        """How many partitions this worker holds. What was told of those before is forgotten: another worker may hold them now."""
        self._partitions.set(count)
        for name in ("fraudstream_lag_records", "fraudstream_cursor_age_seconds"):
            self._gauge(name).clear()

    def watch(self, server: str, is_up: Callable[[], bool]) -> None:
        """Show whether a server answers, whenever somebody looks."""
        self._gauge("fraudstream_server_up").labels(server).set_function(lambda: float(is_up()))

    def watch_readiness(self, is_ready: Callable[[], bool]) -> None:
        """Show whether this worker scores, whenever somebody looks."""
        self._gauge("fraudstream_ready").set_function(lambda: float(is_ready()))

    def watch_clock(self, behind_s: Callable[[], float]) -> None:
        """Show how far this machine's clock is behind, whenever somebody looks."""
        self._gauge("fraudstream_clock_behind_seconds").set_function(behind_s)

    def totals(self) -> Totals:
        """What was done since the start."""

        def total(metric: Counter | Gauge) -> int:
            return int(sum(s.value for family in metric.collect() for s in family.samples if not s.name.endswith("_created")))

        scored, alerts, labels = (total(self._counters[what]) for what in ("scored", "alerts", "labels"))
        return Totals(scored, alerts, labels, total(self._refused), total(self._partitions))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format; drift is worked out now."""
        index = self._gauge("fraudstream_drift_index")
        index.clear()
        if self._drift is not None:
            self._gauge("fraudstream_drift_decisions").set(self._drift.rows)
            for feature, value in self._drift.indices().items():
                index.labels(feature).set(value)
        return generate_latest(self.registry)

    def _counter(self, name: str) -> Counter:
        return cast("Counter", self._made[name])

    def _gauge(self, name: str) -> Gauge:
        return cast("Gauge", self._made[name])

    def _batches(self, name: str) -> BatchHistogram:
        return cast("BatchHistogram", self._made[name])


def _make(metric: Metric, registry: CollectorRegistry) -> _Made:
    match metric.kind:
        case "counter":
            return Counter(metric.name, metric.text, metric.labels, registry=registry)
        case "gauge":
            return Gauge(metric.name, metric.text, metric.labels, registry=registry)
    if metric.labels:
        return Histogram(metric.name, metric.text, metric.labels, buckets=metric.buckets, registry=registry)
    return BatchHistogram(metric.name, metric.text, metric.buckets, registry)
