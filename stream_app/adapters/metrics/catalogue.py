"""Every metric of ours, as data: made from it, and the table of docs/operations.md with it. No label is without a bound."""

from __future__ import annotations

from typing import Literal, NamedTuple

type Kind = Literal["counter", "gauge", "histogram"]

STAGES = ("decode", "read", "features", "score", "publish", "write")
"""Of a micro-batch, in order."""

STAGE_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 5.0)
LATENCY_S = (0.001, 0.002, 0.004, 0.008, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SCORE = (0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
REQUEST_S = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
RECORDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0)


class Metric(NamedTuple):
    """One metric. A counter is exposed with the suffix `_total`, which is not part of `name`."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name in Prometheus; a histogram adds `_bucket`, `_count` and `_sum`."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


COUNTED = {
    "scored": Metric("fraudstream_transactions_scored", "counter", "Payments that got a decision"),
    "alerts": Metric("fraudstream_alerts", "counter", "Alerts published"),
    "labels": Metric("fraudstream_labels", "counter", "Labels counted"),
    "duplicates": Metric("fraudstream_transactions_duplicate", "counter", "Transactions seen before on their card, not counted again"),
    "late": Metric("fraudstream_transactions_late", "counter", "Payments behind every window of their card: scored, not counted"),
    "unpriced": Metric(
        "fraudstream_transactions_unpriced", "counter", "Payments without a rate into the base currency: their money is not summed"
    ),
    "degraded": Metric("fraudstream_transactions_degraded", "counter", "Payments decided while state was not whole"),
    "rebuilt": Metric("fraudstream_transactions_rebuilt", "counter", "Payments counted again to rebuild lost state; decided before"),
    "swept": Metric("fraudstream_idle_removed", "counter", "Cards and terminals removed: idle for 128 days, they contribute nothing"),
    "credits": Metric("fraudstream_transactions_credit", "counter", "Refunds and reversals: not scored"),
    "challenger_scored": Metric("fraudstream_challenger_scored", "counter", "Payments that the challenger scored too"),
    "challenger_decided": Metric(
        "fraudstream_challenger_decided", "counter", "Payments that the challenger decided, for its share of cards"
    ),
    "challenger_only": Metric("fraudstream_challenger_only_alerts", "counter", "Payments that only the challenger would alert"),
    "champion_only": Metric("fraudstream_champion_only_alerts", "counter", "Payments that only the champion would alert"),
}
"""By the name that `Observer.counted` has for it."""

MODELS = (
    Metric("fraudstream_model_info", "gauge", "1 for the model in use", ("name", "version")),
    Metric("fraudstream_model_trained_timestamp_seconds", "gauge", "When the model in use was trained, Unix time"),
    Metric("fraudstream_model_loaded_timestamp_seconds", "gauge", "When the model in use was loaded, Unix time"),
    Metric("fraudstream_threshold", "gauge", "Score from which a payment is alerted"),
    Metric("fraudstream_challenger_info", "gauge", "1 for the challenger in use", ("name", "version")),
    Metric("fraudstream_model_changes", "counter", "Models that came into use, and challengers that ended", ("role",)),
    Metric("fraudstream_models_refused", "counter", "Model versions that could not be used; the one before stayed", ("role",)),
    Metric("fraudstream_model_refused", "gauge", "1 while the alias points to a version that is refused", ("role",)),
)
"""Of workers and API alike."""

API = (
    Metric(
        "fraudstream_api_request_seconds",
        "histogram",
        "Time of the API's requests, from their first byte to the last of the answer; status 0: the caller went away",
        ("method", "path", "status"),
        REQUEST_S,
    ),
)
"""Of the API alone. The path is the route's, never one with an id."""

CATALOGUE: tuple[Metric, ...] = (
    *COUNTED.values(),
    Metric("fraudstream_dead_letters", "counter", "Records refused, by code", ("code",)),
    Metric("fraudstream_alerted_amount", "counter", "Money of the alerts, in major units of the base currency"),
    Metric("fraudstream_batch_stage_seconds", "histogram", "Time of each stage of a micro-batch", ("stage",), STAGE_S),
    Metric("fraudstream_batch_records", "histogram", "Records of a micro-batch, transactions and labels", (), RECORDS),
    Metric(
        "fraudstream_alert_latency_seconds",
        "histogram",
        "From the Kafka timestamp of an alerted payment to its alert acknowledged by Kafka",
        (),
        LATENCY_S,
    ),
    Metric(
        "fraudstream_decision_latency_seconds",
        "histogram",
        "From the Kafka timestamp of a payment to its state written",
        (),
        LATENCY_S,
    ),
    Metric("fraudstream_score", "histogram", "Scores of all decisions, the champion's", (), SCORE),
    Metric("fraudstream_challenger_score", "histogram", "What the challenger says of the same payments", (), SCORE),
    Metric("fraudstream_lag_records", "gauge", "Records of a partition that are not decided yet, by kind", ("kind", "partition")),
    Metric("fraudstream_cursor_age_seconds", "gauge", "Age of the oldest transaction of a partition that is not decided", ("partition",)),
    Metric("fraudstream_partitions_owned", "gauge", "Partitions that this worker holds"),
    Metric("fraudstream_ready", "gauge", "1 while this worker scores, as /readyz says"),
    Metric("fraudstream_server_up", "gauge", "1 while this server answers", ("server",)),
    Metric(
        "fraudstream_clock_behind_seconds",
        "gauge",
        "How far this machine's clock is behind what most records say by their Kafka timestamps",
    ),
    Metric("fraudstream_rebuilds", "counter", "How often the state of a partition was lost and its rebuilding begun"),
    Metric(
        "fraudstream_rebuild_records_left",
        "gauge",
        "Records still to be counted again until the state of a partition is whole",
        ("partition",),
    ),
    *MODELS,
    Metric(
        "fraudstream_drift_index",
        "gauge",
        "Population stability index of a feature, and of the score, over a day of payments against the training data",
        ("feature",),
    ),
    Metric("fraudstream_drift_decisions", "gauge", "Payments that the index is taken over; it is shown from 1,000 on"),
    Metric(
        "fraudstream_outcomes",
        "counter",
        "Payments whose label came: frauds caught or missed, false alarms; added, or taken back by a corrected label",
        ("outcome", "change"),
    ),
    Metric("fraudstream_outcomes_amount", "counter", "Their money, in major units of the base currency", ("outcome", "change")),
    Metric(
        "fraudstream_outcome_cards",
        "counter",
        "Cards of a day with an alert that was true (caught) or with false ones only; a true one takes a false one back",
        ("outcome", "change"),
    ),
    Metric("fraudstream_outcomes_unknown", "counter", "Labelled frauds of a time before alerts were noted: caught or missed, nobody knows"),
    Metric("fraudstream_build_info", "gauge", "1 for the version of the program", ("version",)),
    *API,
)


def metrics_table() -> str:
    """The table of all metrics in Markdown."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.text} |")
    return "\n".join(rows)
