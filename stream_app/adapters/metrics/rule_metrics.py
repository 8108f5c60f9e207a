"""Prometheus metrics of the rules and lists in force, and of what they did: with a worker's payments, and in the API's answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Counter

from stream_app.adapters.metrics import catalogue
from stream_app.messages.alert import Decider, RuleHit, RuleMode
from stream_app.scoring.observation import EVERY_RULE, ListFill, ReleaseInForce, RuleCounts, RuleTopicKind
from stream_app.scoring.outcomes import LabelOutcomes

OTHER = "(other)"
"""In the place of the code of a rule that is not in force: a label may come weeks after its rule went. So there are never more codes than a
release has rules."""
_MODES: tuple[RuleMode, ...] = ("live", "shadow")
_OUTCOMES = {True: "fraud", False: "genuine"}
_CHANGES = {True: "added", False: "taken_back"}


class RuleMetrics:
    """See `observation.RulesObserver`. Whoever counts what rules did adds counters by code and mode: their series come and go with a release."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._release = catalogue.RELEASE_INFO.made(registry)
        self._in_force, self._expected = catalogue.RULES_IN_FORCE.made(registry), catalogue.RULE_EXPECTED.made(registry)
        self._refused = catalogue.RELEASES_REFUSED.made(registry)
        self._offset, self._changed = catalogue.RULES_OFFSET.made(registry), catalogue.RULES_CHANGED.made(registry)
        self._asked, self._records_refused = catalogue.RULES_ASKED.made(registry), catalogue.RULE_RECORDS_REFUSED.made(registry)
        self._entries, self._ending = catalogue.LIST_ENTRIES.made(registry), catalogue.LIST_ENTRIES_ENDING.made(registry)
        self._failures = catalogue.RULE_FAILURES.made(registry)
        self._by_mode: list[tuple[Counter, tuple[tuple[str, ...], ...]]] = []
        self._codes: set[str] = set()
        for kind in get_args(RuleTopicKind):
            self._records_refused.labels(kind)
        self._failures.labels(EVERY_RULE)  # a series that is there before the first failure: its rise is seen
        self.release_in_force(None)

    def _each(self, counter: Counter, further: Iterable[tuple[str, ...]] = ((),)) -> Counter:
        """A counter by code, mode, and further labels with all values that they have."""
        self._by_mode.append((counter, tuple(further)))
        return counter

    def release_in_force(self, release: ReleaseInForce | None) -> None:
        """See `observation.RulesObserver`. The release before is forgotten, and every rule that is not in this one."""
        self._release.clear()
        self._expected.clear()
        modes: Mapping[str, RuleMode] = {} if release is None else release.modes
        for mode in _MODES:
            self._in_force.labels(mode).set(list(modes.values()).count(mode))
        for code in self._codes - modes.keys():
            self._forget(code)
        self._codes = set(modes)
        for code, mode in modes.items():
            self._begin(code, mode)
        if release is not None:
            self._release.labels(release.name).set(1)
            for code, share in release.expected.items():
                self._expected.labels(code).set(share)

    def _begin(self, code: str, mode: RuleMode) -> None:
        """Each series of a rule is there before it is counted: its first rise is seen."""
        self._failures.labels(code)
        for counter, further in self._by_mode:
            for labels in further:
                counter.labels(code, mode, *labels)

    def _forget(self, code: str) -> None:
        self._failures.remove(code)
        for counter, further in self._by_mode:
            for mode, labels in product(_MODES, further):
                counter.remove(code, mode, *labels)

    def release_refused(self) -> None:
        """See `observation.RulesObserver`."""
        self._refused.inc()

    def rules_read(self, kind: RuleTopicKind, offset: int, at_ms: int | None) -> None:
        """See `observation.RulesObserver`."""
        self._offset.labels(kind).set(offset)
        if at_ms is not None:
            self._changed.labels(kind).set(at_ms / 1000)

    def rules_asked(self, kind: RuleTopicKind, answered_s: float) -> None:
        """See `observation.RulesObserver`."""
        self._asked.labels(kind).set(answered_s)

    def lists_hold(self, fills: Mapping[str, ListFill]) -> None:
        """See `observation.RulesObserver`. A list that is not there any more is forgotten."""
        self._entries.clear()
        self._ending.clear()
        for name, fill in fills.items():
            self._entries.labels(name).set(fill.entries)
            self._ending.labels(name).set(fill.ending)

    def record_refused(self, kind: RuleTopicKind) -> None:
        """See `observation.RulesObserver`."""
        self._records_refused.labels(kind).inc()

    def rule_failed(self, code: str) -> None:
        """See `observation.RulesObserver`."""
        self._failures.labels(code if code == EVERY_RULE else self._shown(code)).inc()

    def _shown(self, code: str) -> str:
        return code if code in self._codes else OTHER


class PaymentRuleMetrics(RuleMetrics):
    """And what they did with a worker's payments."""

    def __init__(self, registry: CollectorRegistry, minor_per_major: int = 100) -> None:
        """Args: `minor_per_major`: minor units of one major unit of the base currency."""
        super().__init__(registry)
        self._unit = minor_per_major
        self._hits = self._each(catalogue.RULE_HITS.made(registry))
        self._hits_amount = self._each(catalogue.RULE_HITS_AMOUNT.made(registry))
        outcomes = tuple(product(_OUTCOMES.values(), _CHANGES.values()))
        self._outcomes = self._each(catalogue.RULE_OUTCOMES.made(registry), outcomes)
        self._outcomes_amount = self._each(catalogue.RULE_OUTCOMES_AMOUNT.made(registry), outcomes)
        self._decided_by = catalogue.DECIDED_BY.made(registry)

    def counted(self, counts: RuleCounts) -> None:
        """What rules did with the payments of a micro-batch."""
        for (code, mode), count in counts.hits.items():
            self._hits.labels(self._shown(code), mode).inc(count)
        for (code, mode), money in counts.money.items():
            self._hits_amount.labels(self._shown(code), mode).inc(money)
        for by, count in counts.decided.items():
            self._decided_by.labels(by).inc(count)

    def judged(self, outcomes: LabelOutcomes) -> None:
        """What labels say of rules that hit."""
        for key, count in outcomes.hits.items():
            labels = self._shown(key.code), key.mode, _OUTCOMES[key.is_fraud], _CHANGES[key.added]
            self._outcomes.labels(*labels).inc(count)
            self._outcomes_amount.labels(*labels).inc(outcomes.hits_minor[key] / self._unit)


class AnswerRuleMetrics(RuleMetrics):
    """And what they did in the API's answers: a payment that is asked about may be decided again by a worker, so that these are counted apart."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._hits = self._each(catalogue.API_RULE_HITS.made(registry))
        decided_by = catalogue.API_DECIDED_BY.made(registry)
        self._decided_by = {by: decided_by.labels(by) for by in get_args(Decider)}

    def answered(self, by: Decider, hits: Iterable[RuleHit]) -> None:
        """One payment was decided for who asked: by whom, and which rules hit."""
        self._decided_by[by].inc()
        for hit in hits:
            self._hits.labels(self._shown(hit.code), hit.mode).inc()
