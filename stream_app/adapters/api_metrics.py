"""Prometheus metrics of the API."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from stream_app.adapters.model_metrics import ModelMetrics

_BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)


class ApiMetrics:
    """Requests by method, path of the route and status; the models in use."""

    def __init__(self, threshold: float | None = None) -> None:
        """Args: `threshold` overrules the model's own."""
        self.registry = CollectorRegistry()
        self.models = ModelMetrics(self.registry, threshold)
        self._requests = Histogram(
            "fraudstream_api_request_seconds",
            "Time of requests, from their first byte to the last of the answer; the path is the route's, never one with an id",
            ["method", "path", "status"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """One request was answered; status 0: its caller went away."""
        self._requests.labels(method if method in _METHODS else "other", path, str(status)).observe(seconds)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
