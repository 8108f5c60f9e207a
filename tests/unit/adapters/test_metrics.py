"""The metrics: named by Prometheus' rules, bounded in their labels, documented, and true to what they are told."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_app.adapters.metrics import batch_histogram
from stream_app.adapters.metrics.api_metrics import ApiMetrics
from stream_app.adapters.metrics.batch_histogram import BatchHistogram
from stream_app.adapters.metrics.catalogue import API, CATALOGUE, COUNTED, LATENCY_S, MODELS, RULES, SERVER_UP, Metric, metrics_table
from stream_app.adapters.metrics.worker_metrics import WorkerMetrics
from stream_app.messages.alert import ModelReference, RuleHit, RuleMode
from stream_app.messages.refusals import DeadLetterCode
from stream_app.scoring.observation import Backlog, Decisions, EventKind, ListFill, ReleaseInForce, RuleCounts
from stream_app.scoring.outcomes import LabelOutcomes, RuleOutcome
from tests.conftest import ROOT
from tests.unit.scoring.test_scorer import START, FakeModel

BOUNDED = {
    "method",
    "path",
    "status",
    "outcome",
    "change",
    "role",
    "code",
    "stage",
    "kind",
    "partition",
    "server",
    "name",
    "version",
    "feature",
    "mode",
    "by",
    "list",
}
"""Roles, codes, stages, kinds and servers are ours; a worker holds few partitions; a model has few features; of models and programs one is shown;
paths are those of routes, methods those of HTTP."""
OPERATIONS = ROOT.joinpath("docs", "operations.md").read_text()


def samples(metrics: WorkerMetrics | ApiMetrics) -> dict[str, float]:
    """What Prometheus would read: `name{label="value"}` → value."""
    lines = [line for line in metrics.render().decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def decisions(scores: list[float], arrived_s: list[float], minor: list[int], alerted: list[int]) -> Decisions:
    """Decisions of these scores."""
    width, size = len(FakeModel.metadata.features), len(scores)
    arrived = np.array([1000 * s for s in arrived_s], dtype=np.int64)
    vectors = np.zeros((size, width), dtype=np.float32)
    score = np.array(scores, dtype=np.float32)
    return Decisions(
        FakeModel.metadata, vectors, score, arrived, arrived, np.array(minor, dtype=np.int64), np.array(alerted, dtype=np.int64)
    )


def test_every_kind_of_event_that_is_counted_has_a_metric() -> None:
    """A worker that counts one without would end at its first."""
    assert COUNTED.keys() == set(get_args(EventKind))


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda m: m.name)
def test_metrics_are_named_by_prometheus_rules(metric: Metric) -> None:
    """Our prefix, lower case, base units; the suffix of a counter is the library's; every label has a bound."""
    assert re.fullmatch(r"fraudstream(_[a-z]+)+", metric.name)
    assert not re.search(r"_(ms|minutes|hours|days|kb|mb|percent|total|count|sum|bucket)$", metric.name)
    assert set(metric.labels) <= BOUNDED
    assert (metric.kind == "histogram") == bool(metric.buckets)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_the_table_of_metrics_is_current() -> None:
    """Made anew with `python -m tests.unit.adapters.test_metrics`."""
    begin, end = OPERATIONS.index("<!-- metrics:"), OPERATIONS.index("<!-- /metrics -->")
    current = OPERATIONS[begin:end].split("\n", 1)[1].strip() == metrics_table()
    assert current, (
        "docs/operations.md is behind the catalogue: `.venv/bin/python -m tests.unit.adapters.test_metrics` makes its table anew"
    )


def names(page: bytes) -> set[str]:
    """Of the metrics of ours that a page shows."""
    shown = {family.name for family in text_string_to_metric_families(page.decode())}
    return {name for name in shown if name.startswith("fraudstream_") and not name.endswith("_created")}


def test_every_metric_that_is_shown_is_in_the_catalogue_and_the_other_way_round() -> None:
    """By a worker and by the API; those of the process aside, which are prometheus_client's."""
    metrics = WorkerMetrics()
    metrics.models.model_in_use("champion", FakeModel())
    metrics.waiting(Backlog(0, 1, 2, 3.0))
    metrics.rebuilding(0, 1)
    metrics.watch("kafka", lambda: True)
    metrics.rules.release_in_force(ReleaseInForce("abc", {"large": "live"}, {"large": 0.1}))
    metrics.rules.lists_hold({"bad": ListFill(1, 0)})
    api = ApiMetrics()
    api.models.model_in_use("champion", FakeModel())
    api.rules.release_in_force(ReleaseInForce("abc", {"large": "live"}, {"large": 0.1}))
    api.rules.lists_hold({"bad": ListFill(1, 0)})
    api.request("GET", "/health", 200, 0.001)
    assert names(metrics.render()) | names(api.render()) == {m.name for m in CATALOGUE}
    assert names(api.render()) == {m.name for m in (*MODELS, *RULES, SERVER_UP, *API)}


def test_a_scrape_is_rendered_metric_by_metric_or_of_some_alone() -> None:
    """So that payments are decided between two of them: what all pieces come to is what is read at once."""
    metrics = WorkerMetrics()
    metrics.counted("scored", 3)
    pieces = list(metrics.pieces())
    assert all(piece.count(b"# TYPE") <= 2 for piece in pieces), "a counter has a second one for when it was made"
    shown = names(b"".join(pieces))
    assert shown == names(metrics.render())
    assert len(pieces) >= len(shown)
    assert (
        b"".join(metrics.pieces(["fraudstream_transactions_scored_total"])).splitlines()[-1] == b"fraudstream_transactions_scored_total 3.0"
    )
    assert not list(metrics.pieces(["nothing"]))


def test_no_caller_can_add_a_series_of_the_api() -> None:
    """A method that HTTP does not have, and a path that no route has, are one each."""
    api = ApiMetrics()
    for number in range(5):
        api.request(f"BREW{number}", "none", 405, 0.001)
    assert api.render().count(b"fraudstream_api_request_seconds_sum") == 1


def test_what_can_be_counted_is_there_before_it_happens() -> None:
    """Else the first of a kind would be no increase for Prometheus."""
    shown = samples(WorkerMetrics())
    for code in DeadLetterCode:
        assert shown[f'fraudstream_dead_letters_total{{code="{code}"}}'] == 0
    assert shown["fraudstream_alerts_total"] == shown["fraudstream_rebuilds_total"] == shown["fraudstream_score_count"] == 0


@given(st.lists(st.lists(st.floats(0, 400) | st.sampled_from(LATENCY_S), max_size=20), max_size=5))
def test_an_array_counts_as_its_values_would_one_by_one(batches: list[list[float]]) -> None:
    """The library's own histogram is the oracle; bounds belong to the bucket below."""
    one, other = CollectorRegistry(), CollectorRegistry()
    ours, theirs = BatchHistogram("h", "text", LATENCY_S, one), Histogram("h", "text", buckets=LATENCY_S, registry=other)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_histogram, "_MOST_WAITING", 10)  # some are counted at once, the last when somebody looks
        for batch in batches:
            ours.observe(np.array(batch))
            for value in batch:
                theirs.observe(value)

    def values(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
        families = text_string_to_metric_families(generate_latest(registry).decode())
        return {(s.name, s.labels.get("le", "")): s.value for f in families for s in f.samples if not s.name.endswith("_created")}

    assert values(one) == pytest.approx(values(other))


def test_decisions_show_their_scores_latencies_and_the_money_of_alerts() -> None:
    """Two of three are alerts; one of them has no rate; a clock that runs behind makes no negative latency."""
    metrics, second = WorkerMetrics(minor_per_major=100), START / 1000
    metrics.decided(decisions([0.02, 0.7, 0.9], [second, second + 1, second + 9], [100, 1250, -1], [1, 2]), second + 1.1, second + 2)
    shown = samples(metrics)
    assert shown['fraudstream_score_bucket{le="0.5"}'] == 1
    assert shown["fraudstream_decision_latency_seconds_count"] == 3
    assert shown["fraudstream_decision_latency_seconds_sum"] == pytest.approx(2 + 1 + 0)
    assert shown["fraudstream_alert_latency_seconds_count"] == 2
    assert shown["fraudstream_alert_latency_seconds_sum"] == pytest.approx(0.1)
    assert shown["fraudstream_alerted_amount_total"] == 12.5


def test_what_a_challenger_says_is_shown_beside_the_champions_scores() -> None:
    """Of the same payments; nothing where there is none."""
    metrics, second = WorkerMetrics(), START / 1000
    alone = decisions([0.02, 0.7], [second, second], [100, 100], [])
    metrics.decided(alone, second, second)
    assert samples(metrics)["fraudstream_challenger_score_count"] == 0
    metrics.decided(replace(alone, of_challenger=np.array([0.04, 0.96], dtype=np.float32)), second, second)
    shown = samples(metrics)
    assert (shown["fraudstream_score_count"], shown["fraudstream_challenger_score_count"]) == (4, 2)
    assert shown['fraudstream_challenger_score_bucket{le="0.95"}'] == 1


def test_the_model_before_is_forgotten() -> None:
    """One model is in use."""
    metrics, before = WorkerMetrics(threshold=0.75), FakeModel()
    before.reference = ModelReference("fake", "6")
    metrics.models.model_in_use("champion", before)
    metrics.models.model_in_use("champion", FakeModel())
    shown = samples(metrics)
    assert 'fraudstream_model_info{name="fake",version="6"}' not in shown
    assert shown['fraudstream_model_info{name="fake",version="7"}'] == 1
    assert shown["fraudstream_threshold"] == 0.75
    assert shown['fraudstream_model_changes_total{role="champion"}'] == 2
    assert shown["fraudstream_model_trained_timestamp_seconds"] == START / 1000


def test_a_partition_that_was_given_away_is_shown_no_more() -> None:
    """Else its lag would stand still for ever beside its new owner's."""
    metrics = WorkerMetrics()
    metrics.waiting(Backlog(3, 5, 2, 1.5))
    assert samples(metrics)['fraudstream_lag_records{kind="transactions",partition="3"}'] == 5
    metrics.partitions_owned(0)
    assert not [name for name in samples(metrics) if 'partition="3"' in name]


def rule_series(metrics: WorkerMetrics | ApiMetrics, prefix: str = "fraudstream_rule_") -> dict[str, float]:
    """Those of rules, by what stands behind the prefix."""
    return {
        name.removeprefix(prefix): value for name, value in samples(metrics).items() if name.startswith(prefix) and "_created" not in name
    }


def test_a_rule_is_shown_from_its_release_on_and_forgotten_with_it() -> None:
    """Each of its series is there before it is counted. A label that comes for a rule that went counts under `(other)`, and so does any code that no
    release named: there are never more than a release has.
    """
    metrics = WorkerMetrics(minor_per_major=100)
    metrics.rules.release_in_force(ReleaseInForce("one", {"large": "live", "new": "shadow"}, {"large": 0.25}))
    shown = rule_series(metrics)
    assert shown['hits_total{code="large",mode="live"}'] == shown['hits_total{code="new",mode="shadow"}'] == 0
    assert (
        shown['outcomes_total{change="taken_back",code="new",mode="shadow",outcome="genuine"}'] == shown['failures_total{code="new"}'] == 0
    )
    assert shown['expected_ratio{code="large"}'] == 0.25
    metrics.rules.counted(RuleCounts({("large", "live"): 3}, {("large", "live"): 12.5}))
    key = RuleOutcome("large", "live", is_fraud=True, added=True)
    metrics.label_outcomes(LabelOutcomes(hits={key: 2}, hits_minor={key: 750}))
    shown = rule_series(metrics)
    assert (shown['hits_total{code="large",mode="live"}'], shown['hits_amount_total{code="large",mode="live"}']) == (3, 12.5)
    assert shown['outcomes_total{change="added",code="large",mode="live",outcome="fraud"}'] == 2
    assert shown['outcomes_amount_total{change="added",code="large",mode="live",outcome="fraud"}'] == 7.5
    metrics.rules.release_in_force(ReleaseInForce("two", {"new": "live"}))
    assert not [name for name in rule_series(metrics) if "large" in name]
    assert rule_series(metrics)['hits_total{code="new",mode="shadow"}'] == 0, "what it did in shadow stands beside what it does now"
    metrics.label_outcomes(LabelOutcomes(hits={key: 2}, hits_minor={key: 750}))
    for number in range(5):
        metrics.rules.rule_failed(f"r{number}")
        metrics.rules.counted(RuleCounts({(f"r{number}", "live"): 1}))
    shown = rule_series(metrics)
    assert shown['hits_total{code="(other)",mode="live"}'] == shown['failures_total{code="(other)"}'] == 5
    assert shown['outcomes_total{change="added",code="(other)",mode="live",outcome="fraud"}'] == 2
    metrics.rules.release_in_force(None)
    assert not [name for name in rule_series(metrics) if "new" in name]


def hit(code: str, mode: RuleMode) -> RuleHit:
    """Of a rule."""
    return RuleHit(code, 1, mode, "alert", "review", {}, "large")


def test_what_rules_did_in_answers_is_shown_by_the_api_as_a_worker_shows_it_of_payments() -> None:
    """Each series from the release on, gone with it, and codes of no release under one name: no more series than a release has rules. Who
    decided is always there.
    """
    api = ApiMetrics()

    def series() -> dict[str, float]:
        return {name: value for name, value in rule_series(api, "fraudstream_api_").items() if name.startswith(("rule", "decided"))}

    assert series()['decided_by_total{by="final_block"}'] == 0
    api.rules.release_in_force(ReleaseInForce("one", {"large": "live", "new": "shadow"}))
    assert series()['rule_hits_total{code="large",mode="live"}'] == series()['rule_hits_total{code="new",mode="shadow"}'] == 0
    api.rules.answered("rule", (hit("large", "live"), hit("new", "shadow")))
    api.rules.answered("model", ())
    shown = series()
    assert (shown['rule_hits_total{code="large",mode="live"}'], shown['rule_hits_total{code="new",mode="shadow"}']) == (1, 1)
    assert (shown['decided_by_total{by="rule"}'], shown['decided_by_total{by="model"}']) == (1, 1)
    api.rules.release_in_force(ReleaseInForce("two", {"new": "shadow"}))
    assert not [name for name in series() if "large" in name]
    for number in range(5):
        api.rules.answered("rule", (hit(f"r{number}", "live"),))
    assert series()['rule_hits_total{code="(other)",mode="live"}'] == 5
    assert not [name for name in rule_series(api) if "hits" in name or "outcomes" in name], "what it never counts"


def test_a_list_that_is_gone_is_shown_no_more() -> None:
    """And one that is there shows what holds, and what of it ends soon."""
    metrics = WorkerMetrics()
    metrics.rules.lists_hold({"bad": ListFill(5, 2)})
    shown = samples(metrics)
    assert (shown['fraudstream_list_entries{list="bad"}'], shown['fraudstream_list_entries_ending{list="bad"}']) == (5, 2)
    metrics.rules.lists_hold({})
    assert not [name for name in samples(metrics) if "bad" in name]


def test_servers_and_readiness_are_asked_when_somebody_looks() -> None:
    """Not when they were told last."""
    metrics, up = WorkerMetrics(), True
    metrics.watch("redis", lambda: up)
    metrics.watch_readiness(lambda: up)
    assert samples(metrics)['fraudstream_server_up{server="redis"}'] == samples(metrics)["fraudstream_ready"] == 1
    up = False
    assert samples(metrics)['fraudstream_server_up{server="redis"}'] == samples(metrics)["fraudstream_ready"] == 0


if __name__ == "__main__":
    before, rest = OPERATIONS.split("<!-- metrics:", 1)
    about, after = rest.split("\n", 1)
    ROOT.joinpath("docs", "operations.md").write_text(
        f"{before}<!-- metrics:{about}\n{metrics_table()}\n<!-- /metrics -->{after.split('<!-- /metrics -->')[1]}"
    )
