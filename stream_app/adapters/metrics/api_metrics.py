"""Prometheus metrics of the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from stream_app.adapters.metrics.catalogue import ANSWERS_LOST, ANSWERS_PUBLISHED, API_REQUEST, SERVER_UP
from stream_app.adapters.metrics.model_metrics import ModelMetrics
from stream_app.adapters.metrics.rule_metrics import AnswerRuleMetrics
from stream_app.scoring.observation import LostAnswer


class ApiMetrics:
    """Requests by method, path of the route and status; models, rules and lists in use, and what rules did in answers; which servers answer."""

    def __init__(self, threshold: float | None = None) -> None:
        """Args: `threshold` overrules the model's own."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.models = ModelMetrics(self.registry, threshold)
        self.rules = AnswerRuleMetrics(self.registry)
        self._server_up = SERVER_UP.made(self.registry)
        self._published, self._lost = ANSWERS_PUBLISHED.made(self.registry), ANSWERS_LOST.made(self.registry)
        for why in get_args(LostAnswer):
            self._lost.labels(why)
        self._requests = API_REQUEST.made(self.registry)
        self._observe: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """One request was answered; status 0: its caller went away."""
        of = (method if method in _METHODS else "other", path, status)
        if of not in self._observe:
            self._observe[of] = self._requests.labels(*of).observe
        self._observe[of](seconds)

    def answers_published(self, count: int) -> None:
        """See `observation.AnswersObserver`."""
        self._published.inc(count)

    def answers_lost(self, why: LostAnswer, count: int) -> None:
        """See `observation.AnswersObserver`."""
        self._lost.labels(why).inc(count)

    def watch(self, server: str, is_up: Callable[[], bool]) -> None:
        """Show whether a server answers, whenever somebody looks."""
        self._server_up.labels(server).set_function(lambda: float(is_up()))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
