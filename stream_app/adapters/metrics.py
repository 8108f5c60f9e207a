"""Prometheus metrics of a worker. Made by whoever builds the worker, never at import."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from stream_app.progress import Totals

_STAGE_BUCKETS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 5.0)
_LATENCY_BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 5.0, 30.0, 300.0)
_COUNTED = {
    "scored": ("fraudstream_transactions_scored", "Payments that got a decision"),
    "alerts": ("fraudstream_alerts", "Alerts published"),
    "labels": ("fraudstream_labels", "Labels counted"),
    "duplicates": ("fraudstream_transactions_duplicate", "Transactions seen before on their card, not counted again"),
    "late": ("fraudstream_transactions_late", "Payments behind every window of their card: scored, not counted"),
    "unpriced": ("fraudstream_transactions_unpriced", "Payments without a rate into the base currency: their money is not summed"),
    "degraded": ("fraudstream_transactions_degraded", "Payments decided while state was not whole"),
    "rebuilt": ("fraudstream_transactions_rebuilt", "Payments counted again to rebuild lost state; decided before"),
    "credits": ("fraudstream_transactions_credit", "Refunds and reversals: not scored"),
}


class Metrics:
    """See `ports.Observer`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._stages = Histogram(
            "fraudstream_batch_stage_seconds",
            "Time of each stage of a micro-batch",
            ["stage"],
            buckets=_STAGE_BUCKETS,
            registry=self.registry,
        )
        self._counters = {k: Counter(name, text, registry=self.registry) for k, (name, text) in _COUNTED.items()}
        self._refused = Counter("fraudstream_dead_letters", "Records refused, by code", ["code"], registry=self.registry)
        self._latency = Histogram(
            "fraudstream_decision_latency_seconds",
            "From the Kafka timestamp of a micro-batch's oldest record to its state written",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._model = Gauge("fraudstream_model_info", "The model in use", ["name", "version"], registry=self.registry)
        self._rebuilds = Gauge(
            "fraudstream_rebuild_records_left",
            "Records still to be counted again until the state of a partition is whole",
            ["partition"],
            registry=self.registry,
        )
        self._partitions = Gauge("fraudstream_partitions_owned", "Partitions that this worker holds", registry=self.registry)
        self._by_stage = {s: self._stages.labels(s) for s in ("read", "score", "publish", "write")}

    def stage(self, name: str, seconds: float) -> None:
        """See `ports.Observer`."""
        self._by_stage[name].observe(seconds)

    def counted(self, what: str, count: int) -> None:
        """See `ports.Observer`."""
        if count:
            self._counters[what].inc(count)

    def refused(self, code: str) -> None:
        """See `ports.Observer`."""
        self._refused.labels(code).inc()

    def latency(self, seconds: float) -> None:
        """See `ports.Observer`."""
        self._latency.observe(seconds)

    def rebuilding(self, partition: int, records_left: int) -> None:
        """See `ports.Observer`."""
        self._rebuilds.labels(str(partition)).set(records_left)

    def model_in_use(self, name: str, version: str) -> None:
        """Name the model in use; the one before is forgotten."""
        self._model.clear()
        self._model.labels(name, version).set(1)

    def partitions_owned(self, count: int) -> None:
        """How many partitions this worker holds."""
        self._partitions.set(count)

    def totals(self) -> Totals:
        """What was done since the start."""

        def total(metric: Counter | Gauge) -> int:
            return int(sum(s.value for family in metric.collect() for s in family.samples if not s.name.endswith("_created")))

        scored, alerts, labels = (total(self._counters[what]) for what in ("scored", "alerts", "labels"))
        return Totals(scored, alerts, labels, total(self._refused), total(self._partitions))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
