"""Prometheus metrics of the models in use, for workers and API alike."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry

from stream_app.adapters.metrics import catalogue
from stream_app.scoring.ports import Model
from stream_app.scoring.registered import CHALLENGER, CHAMPION, RegisteredVersion


class ModelMetrics:
    """See `registered.ModelObserver`."""

    def __init__(self, registry: CollectorRegistry, threshold: float | None = None) -> None:
        """Args: `threshold` overrules the model's own."""
        self._threshold = threshold
        self._in_use = {CHAMPION: catalogue.MODEL_INFO.made(registry), CHALLENGER: catalogue.CHALLENGER_INFO.made(registry)}
        self._trained = catalogue.MODEL_TRAINED.made(registry)
        self._loaded = catalogue.MODEL_LOADED.made(registry)
        self._alerting = catalogue.THRESHOLD.made(registry)
        self._refused = catalogue.MODEL_REFUSED.made(registry)
        self._changes = catalogue.MODEL_CHANGES.made(registry)
        self._refusals = catalogue.MODELS_REFUSED.made(registry)
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
