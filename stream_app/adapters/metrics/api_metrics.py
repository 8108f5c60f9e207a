"""Prometheus metrics of the API."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from stream_app.adapters.metrics.catalogue import API_REQUEST
from stream_app.adapters.metrics.model_metrics import ModelMetrics


class ApiMetrics:
    """Requests by method, path of the route and status; the models in use."""

    def __init__(self, threshold: float | None = None) -> None:
        """Args: `threshold` overrules the model's own."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.models = ModelMetrics(self.registry, threshold)
        self._requests = API_REQUEST.made(self.registry)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """One request was answered; status 0: its caller went away."""
        self._requests.labels(method if method in _METHODS else "other", path, str(status)).observe(seconds)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
