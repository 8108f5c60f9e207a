"""Prometheus metrics of the models in use, for workers and API alike."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream_app.adapters.metrics.catalogue import MODELS
from stream_app.scoring.ports import Model
from stream_app.scoring.registered import CHALLENGER, CHAMPION, RegisteredVersion


class ModelMetrics:
    """See `registered.ModelObserver`."""

    def __init__(self, registry: CollectorRegistry, threshold: float | None = None) -> None:
        """Args: `threshold` overrules the model's own."""
        gauges = {m.name: Gauge(m.name, m.text, m.labels, registry=registry) for m in MODELS if m.kind == "gauge"}
        counters = {m.name: Counter(m.name, m.text, m.labels, registry=registry) for m in MODELS if m.kind == "counter"}
        self._threshold = threshold
        self._in_use = {CHAMPION: gauges["fraudstream_model_info"], CHALLENGER: gauges["fraudstream_challenger_info"]}
        self._trained = gauges["fraudstream_model_trained_timestamp_seconds"]
        self._loaded = gauges["fraudstream_model_loaded_timestamp_seconds"]
        self._alerting = gauges["fraudstream_threshold"]
        self._refused = gauges["fraudstream_model_refused"]
        self._changes, self._refusals = counters["fraudstream_model_changes"], counters["fraudstream_models_refused"]
        for role in (CHAMPION, CHALLENGER):
            self._changes.labels(role)
            self._refusals.labels(role)
            self._refused.labels(role)

    def model_in_use(self, role: str, model: Model | None) -> None:
        """See `registered.ModelObserver`. The model before is forgotten."""
        info = self._in_use[role]
        info.clear()
        self._changes.labels(role).inc()
        if model is None:
            return
        info.labels(model.reference.name, model.reference.version).set(1)
        if role == CHAMPION:
            self._trained.set(model.metadata.trained_at_ms / 1000)
            self._loaded.set(time.time())
            self._alerting.set(model.metadata.threshold if self._threshold is None else self._threshold)

    def model_refused(self, role: str, refused: RegisteredVersion | None) -> None:
        """See `registered.ModelObserver`."""
        self._refused.labels(role).set(refused is not None)
        if refused is not None:
            self._refusals.labels(role).inc()
