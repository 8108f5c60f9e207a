"""Prometheus metrics of the rules and lists in force, for workers and API alike."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry

from stream_app.adapters.metrics import catalogue
from stream_app.messages.alert import RuleMode
from stream_app.scoring.observation import EVERY_RULE, RuleCounts

MOST_CODES = 1_000
"""As many rules as a release may have: what comes beyond, over many releases, is counted together."""
OTHER = "other"


class RuleMetrics:
    """See `observation.RulesObserver`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._release = catalogue.RELEASE_INFO.made(registry)
        self._in_force = catalogue.RULES_IN_FORCE.made(registry)
        self._refused = catalogue.RELEASES_REFUSED.made(registry)
        self._offset, self._changed = catalogue.RULES_OFFSET.made(registry), catalogue.RULES_CHANGED.made(registry)
        self._records_refused = catalogue.RULE_RECORDS_REFUSED.made(registry)
        self._failures, self._hits = catalogue.RULE_FAILURES.made(registry), catalogue.RULE_HITS.made(registry)
        self._decided_by = catalogue.DECIDED_BY.made(registry)
        self._codes: set[str] = set()
        for kind in ("rules", "lists"):
            self._records_refused.labels(kind)
        self._failures.labels(EVERY_RULE)  # a series that is there before the first failure: its rise is seen

    def release_in_force(self, name: str | None, live: int, shadow: int) -> None:
        """See `observation.RulesObserver`. The release before is forgotten."""
        self._release.clear()
        if name is not None:
            self._release.labels(name).set(1)
        self._in_force.labels("live").set(live)
        self._in_force.labels("shadow").set(shadow)

    def release_refused(self) -> None:
        """See `observation.RulesObserver`."""
        self._refused.inc()

    def rules_read(self, kind: Literal["rules", "lists"], offset: int, at_ms: int | None) -> None:
        """See `observation.RulesObserver`."""
        self._offset.labels(kind).set(offset)
        if at_ms is not None:
            self._changed.labels(kind).set(at_ms / 1000)

    def record_refused(self, kind: Literal["rules", "lists"]) -> None:
        """See `observation.RulesObserver`."""
        self._records_refused.labels(kind).inc()

    def rule_failed(self, code: str) -> None:
        """See `observation.RulesObserver`."""
        self._failures.labels(self._shown(code)).inc()

    def counted(self, counts: RuleCounts) -> None:
        """What rules did with the payments of a micro-batch."""
        code: str
        mode: RuleMode
        for (code, mode), count in counts.hits.items():
            self._hits.labels(self._shown(code), mode).inc(count)
        for by, count in counts.decided.items():
            self._decided_by.labels(by).inc(count)

    def _shown(self, code: str) -> str:
        if code not in self._codes and len(self._codes) >= MOST_CODES:
            return OTHER
        self._codes.add(code)
        return code
