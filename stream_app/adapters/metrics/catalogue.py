"""Every metric of ours, a constant each: made from it, and the table of docs/operations.md with it. No label is without a bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream_app.adapters.metrics.batch_histogram import BatchHistogram
from stream_app.scoring.observation import EventKind

type MetricKind = Literal["counter", "gauge", "histogram"]

STAGES = ("decode", "read", "features", "score", "publish", "write")
"""Of a micro-batch, in order."""

STAGE_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 5.0)
LATENCY_S = (0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SCORE_BOUNDS = (0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
REQUEST_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
RECORDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0)


@dataclass(frozen=True)
class Metric:
    """One metric. A counter is exposed with the suffix `_total`, which is not part of `name`."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    kind: ClassVar[MetricKind]

    @property
    def exposed(self) -> str:
        """The name in Prometheus; a histogram adds `_bucket`, `_count` and `_sum`."""
        return self.name


@dataclass(frozen=True)
class CounterMetric(Metric):
    """Only goes up."""

    kind = "counter"

    @property
    def exposed(self) -> str:
        """See `Metric`."""
        return f"{self.name}_total"

    def made(self, registry: CollectorRegistry) -> Counter:
        """The counter, shown by this registry from now on."""
        return Counter(self.name, self.text, self.labels, registry=registry)


@dataclass(frozen=True)
class GaugeMetric(Metric):
    """Goes up and down."""

    kind = "gauge"

    def made(self, registry: CollectorRegistry) -> Gauge:
        """The gauge, shown by this registry from now on."""
        return Gauge(self.name, self.text, self.labels, registry=registry)


@dataclass(frozen=True)
class HistogramMetric(Metric):
    """Counts single values by their size."""

    kind = "histogram"

    def made(self, registry: CollectorRegistry) -> Histogram:
        """The histogram, shown by this registry from now on."""
        return Histogram(self.name, self.text, self.labels, buckets=self.buckets, registry=registry)


@dataclass(frozen=True)
class BatchHistogramMetric(Metric):
    """Counts arrays of values by their size; it has no labels."""

    kind = "histogram"

    def made(self, registry: CollectorRegistry) -> BatchHistogram:
        """The histogram, shown by this registry from now on."""
        return BatchHistogram(self.name, self.text, self.buckets, registry)


SCORED = CounterMetric("fraudstream_transactions_scored", "Payments that got a decision")
ALERTS = CounterMetric("fraudstream_alerts", "Alerts published")
LABELS = CounterMetric("fraudstream_labels", "Labels counted")
LABELS_INCOMPLETE = CounterMetric(
    "fraudstream_labels_incomplete",
    "Labels that leave out a merchant, category, country or address though state of it is kept: they do not count there",
)
DUPLICATES = CounterMetric("fraudstream_transactions_duplicate", "Transactions seen before on their card, not counted again")
LATE = CounterMetric("fraudstream_transactions_late", "Payments behind every window of their card: scored, not counted")
UNPRICED = CounterMetric("fraudstream_transactions_unpriced", "Payments without a rate into the base currency: their money is not summed")
DEGRADED = CounterMetric("fraudstream_transactions_degraded", "Payments decided while state was not whole")
REBUILT = CounterMetric("fraudstream_transactions_rebuilt", "Payments counted again to rebuild lost state; decided before")
SWEPT = CounterMetric("fraudstream_idle_removed", "Cards and terminals removed: idle for 128 days, they contribute nothing")
CREDITS = CounterMetric("fraudstream_transactions_credit", "Refunds and reversals: not scored")
CHALLENGER_SCORED = CounterMetric("fraudstream_challenger_scored", "Payments that the challenger scored too")
CHALLENGER_DECIDED = CounterMetric("fraudstream_challenger_decided", "Payments that the challenger decided, for its share of cards")
CHALLENGER_ONLY = CounterMetric("fraudstream_challenger_only_alerts", "Payments that only the challenger would alert")
CHAMPION_ONLY = CounterMetric("fraudstream_champion_only_alerts", "Payments that only the champion would alert")
HITS_UNJUDGED = CounterMetric(
    "fraudstream_rule_hits_unjudged", "Hits of rules that no label will be held against: far too many at once, or at one payment"
)
DEAD_LETTERS = CounterMetric("fraudstream_dead_letters", "Records refused, by code", ("code",))
ALERTED_AMOUNT = CounterMetric("fraudstream_alerted_amount", "Money of the alerts, in major units of the base currency")
BATCH_STAGE = HistogramMetric("fraudstream_batch_stage_seconds", "Time of each stage of a micro-batch", ("stage",), buckets=STAGE_S)
BATCH_RECORDS = BatchHistogramMetric("fraudstream_batch_records", "Records of a micro-batch, transactions and labels", buckets=RECORDS)
ALERT_LATENCY = BatchHistogramMetric(
    "fraudstream_alert_latency_seconds",
    "From the Kafka timestamp of an alerted payment to its alert acknowledged by Kafka",
    buckets=LATENCY_S,
)
DECISION_LATENCY = BatchHistogramMetric(
    "fraudstream_decision_latency_seconds", "From the Kafka timestamp of a payment to its state written", buckets=LATENCY_S
)
SCORE = BatchHistogramMetric("fraudstream_score", "Scores of all decisions, the champion's", buckets=SCORE_BOUNDS)
CHALLENGER_SCORE = BatchHistogramMetric(
    "fraudstream_challenger_score", "What the challenger says of the same payments", buckets=SCORE_BOUNDS
)
LAG = GaugeMetric("fraudstream_lag_records", "Records of a partition that are not decided yet, by kind", ("kind", "partition"))
CURSOR_AGE = GaugeMetric(
    "fraudstream_cursor_age_seconds", "Age of the oldest transaction of a partition that is not decided", ("partition",)
)
PARTITIONS_OWNED = GaugeMetric("fraudstream_partitions_owned", "Partitions that this worker holds")
READY = GaugeMetric("fraudstream_ready", "1 while this worker scores, as /readyz says")
SERVER_UP = GaugeMetric("fraudstream_server_up", "1 while this server answers", ("server",))
CLOCK_BEHIND = GaugeMetric(
    "fraudstream_clock_behind_seconds", "How far this machine's clock is behind what most records say by their Kafka timestamps"
)
REBUILDS = CounterMetric("fraudstream_rebuilds", "How often the state of a partition was lost and its rebuilding begun")
REBUILD_LEFT = GaugeMetric(
    "fraudstream_rebuild_records_left", "Records still to be counted again until the state of a partition is whole", ("partition",)
)
MODEL_INFO = GaugeMetric("fraudstream_model_info", "1 for the model in use", ("name", "version"))
MODEL_TRAINED = GaugeMetric("fraudstream_model_trained_timestamp_seconds", "When the model in use was trained, Unix time")
MODEL_LOADED = GaugeMetric("fraudstream_model_loaded_timestamp_seconds", "When the model in use was loaded, Unix time")
THRESHOLD = GaugeMetric("fraudstream_threshold", "Score from which a payment is alerted")
CHALLENGER_INFO = GaugeMetric("fraudstream_challenger_info", "1 for the challenger in use", ("name", "version"))
MODEL_CHANGES = CounterMetric("fraudstream_model_changes", "Models that came into use, and challengers that ended", ("role",))
MODELS_REFUSED = CounterMetric("fraudstream_models_refused", "Model versions that could not be used; the one before stayed", ("role",))
MODEL_REFUSED = GaugeMetric("fraudstream_model_refused", "1 while the alias points to a version that is refused", ("role",))
DRIFT_INDEX = GaugeMetric(
    "fraudstream_drift_index",
    "Population stability index of a feature, and of the score, over a day of payments against the training data",
    ("feature",),
)
DRIFT_DECISIONS = GaugeMetric("fraudstream_drift_decisions", "Payments that the index is taken over; it is shown from 1,000 on")
OUTCOMES = CounterMetric(
    "fraudstream_outcomes",
    "Payments whose label came: frauds caught, missed, or paid elsewhere than in the label's partition; false alarms; added, or taken back by a corrected label",
    ("outcome", "change"),
)
OUTCOMES_AMOUNT = CounterMetric("fraudstream_outcomes_amount", "Their money, in major units of the base currency", ("outcome", "change"))
OUTCOME_CARDS = CounterMetric(
    "fraudstream_outcome_cards",
    "Cards of a day with an alert that was true (caught) or with false ones only; a true one takes a false one back",
    ("outcome", "change"),
)
OUTCOMES_UNKNOWN = CounterMetric(
    "fraudstream_outcomes_unknown",
    "Labelled frauds of a time before alerts were noted, or that came while a later version's state was left alone: caught or missed, nobody knows",
)
KEYS_ASTRAY = GaugeMetric(
    "fraudstream_keys_astray_ratio",
    "Share of the last keys of a topic that another partitioner put where they stand than the payments', by kind",
    ("kind",),
)
BUILD_INFO = GaugeMetric("fraudstream_build_info", "1 for the version of the program", ("version",))
RELEASE_INFO = GaugeMetric("fraudstream_rules_release_info", "1 for the release of rules in force", ("name",))
RULES_IN_FORCE = GaugeMetric("fraudstream_rules_in_force", "Rules of the release in force, by mode: live or shadow", ("mode",))
RELEASES_REFUSED = CounterMetric("fraudstream_rules_releases_refused", "Releases that could not be used; the one before stayed")
RULES_OFFSET = GaugeMetric(
    "fraudstream_rules_offset", "Next offset of the topic of rules, and of lists, that this process reads", ("kind",)
)
RULES_CHANGED = GaugeMetric(
    "fraudstream_rules_changed_timestamp_seconds",
    "Kafka timestamp of the last record of the topic of rules, and of lists, Unix time",
    ("kind",),
)
RULES_ASKED = GaugeMetric(
    "fraudstream_rules_asked_timestamp_seconds",
    "When the broker of the topic of rules, and of lists, answered this process last, Unix time",
    ("kind",),
)
LIST_ENTRIES = GaugeMetric("fraudstream_list_entries", "Entries of a list that hold now", ("list",))
LIST_ENTRIES_ENDING = GaugeMetric("fraudstream_list_entries_ending", "Those of them that end within a day", ("list",))
RULE_RECORDS_REFUSED = CounterMetric(
    "fraudstream_rules_records_refused", "Records of the topic of rules, and of lists, that were not taken; the log says why", ("kind",)
)
RULE_FAILURES = CounterMetric(
    "fraudstream_rule_failures", "Rounds in which a rule could not be run, and hit nothing, by its code", ("code",)
)
RULE_HITS = CounterMetric(
    "fraudstream_rule_hits",
    "Payments that a rule hit, by its code and mode; `(other)`: of rules that are not in force any more",
    ("code", "mode"),
)
RULE_HITS_AMOUNT = CounterMetric("fraudstream_rule_hits_amount", "Their money, in major units of the base currency", ("code", "mode"))
RULE_OUTCOMES = CounterMetric(
    "fraudstream_rule_outcomes",
    "Payments that a rule hit and a label names: fraud or genuine, by its mode then; added, or taken back by a corrected label",
    ("code", "mode", "outcome", "change"),
)
RULE_OUTCOMES_AMOUNT = CounterMetric(
    "fraudstream_rule_outcomes_amount", "Their money, in major units of the base currency", ("code", "mode", "outcome", "change")
)
RULE_EXPECTED = GaugeMetric(
    "fraudstream_rule_expected_ratio",
    "Share of all payments that a rule is expected to hit, as it says itself: `expected_share`",
    ("code",),
)
DECIDED_BY = CounterMetric("fraudstream_decided_by", "Payments by who decided, where there are rules or lists", ("by",))
API_REQUEST = HistogramMetric(
    "fraudstream_api_request_seconds",
    "Time of the API's requests, from their first byte to the last of the answer; status 0: the caller went away",
    ("method", "path", "status"),
    buckets=REQUEST_S,
)
API_RULE_HITS = CounterMetric(
    "fraudstream_api_rule_hits",
    "Answers of /v1/score whose payment a rule hit, by its code and mode; `(other)`: of rules that are not in force any more",
    ("code", "mode"),
)
API_DECIDED_BY = CounterMetric("fraudstream_api_decided_by", "Answers of /v1/score by who decided", ("by",))
ANSWERS_PUBLISHED = CounterMetric("fraudstream_api_answers_published", "Answers of /v1/score that are in their topic")
ANSWERS_LOST = CounterMetric(
    "fraudstream_api_answers_lost",
    "Answers of /v1/score that were given and are not published: too many waited (full), too large, refused by Kafka, or the process ended (stopped)",
    ("code",),
)

COUNTED: dict[EventKind, CounterMetric] = {
    "scored": SCORED,
    "alerts": ALERTS,
    "labels": LABELS,
    "labels_incomplete": LABELS_INCOMPLETE,
    "duplicates": DUPLICATES,
    "late": LATE,
    "unpriced": UNPRICED,
    "degraded": DEGRADED,
    "rebuilt": REBUILT,
    "swept": SWEPT,
    "credits": CREDITS,
    "challenger_scored": CHALLENGER_SCORED,
    "challenger_decided": CHALLENGER_DECIDED,
    "challenger_only": CHALLENGER_ONLY,
    "champion_only": CHAMPION_ONLY,
    "hits_unjudged": HITS_UNJUDGED,
}
"""By the name that `Observer.counted` has for it."""

MODELS = (
    MODEL_INFO,
    MODEL_TRAINED,
    MODEL_LOADED,
    THRESHOLD,
    CHALLENGER_INFO,
    MODEL_CHANGES,
    MODELS_REFUSED,
    MODEL_REFUSED,
)
"""Of workers and API alike."""

RULES = (
    RELEASE_INFO,
    RULES_IN_FORCE,
    RELEASES_REFUSED,
    RULES_OFFSET,
    RULES_CHANGED,
    RULES_ASKED,
    RULE_RECORDS_REFUSED,
    LIST_ENTRIES,
    LIST_ENTRIES_ENDING,
    RULE_FAILURES,
    RULE_EXPECTED,
)
"""Of rules and lists in force, of workers and API alike."""

RULES_DID = (RULE_HITS, RULE_HITS_AMOUNT, RULE_OUTCOMES, RULE_OUTCOMES_AMOUNT, DECIDED_BY)
"""Of what they did with a worker's payments."""

API = (API_REQUEST, API_RULE_HITS, API_DECIDED_BY, ANSWERS_PUBLISHED, ANSWERS_LOST)
"""Of the API alone. The path is the route's, never one with an id."""

CATALOGUE: tuple[Metric, ...] = (
    *COUNTED.values(),
    DEAD_LETTERS,
    ALERTED_AMOUNT,
    BATCH_STAGE,
    BATCH_RECORDS,
    ALERT_LATENCY,
    DECISION_LATENCY,
    SCORE,
    CHALLENGER_SCORE,
    LAG,
    CURSOR_AGE,
    PARTITIONS_OWNED,
    READY,
    SERVER_UP,
    CLOCK_BEHIND,
    REBUILDS,
    REBUILD_LEFT,
    *MODELS,
    *RULES,
    *RULES_DID,
    DRIFT_INDEX,
    DRIFT_DECISIONS,
    OUTCOMES,
    OUTCOMES_AMOUNT,
    OUTCOME_CARDS,
    OUTCOMES_UNKNOWN,
    KEYS_ASTRAY,
    BUILD_INFO,
    *API,
)


def metrics_table() -> str:
    """The table of all metrics in Markdown."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.text} |")
    return "\n".join(rows)
