"""The composition root: the only place that picks real parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from loguru import logger

from stream_app.adapters.http_status import StatusServer
from stream_app.adapters.kafka_log import KafkaLog
from stream_app.adapters.kafka_options import client_options
from stream_app.adapters.kafka_publisher import KafkaPublisher
from stream_app.adapters.metrics import Metrics
from stream_app.adapters.onnx_model import OnnxModel
from stream_app.adapters.redis_store import RedisStore
from stream_app.adapters.registry import ModelRegistry
from stream_app.adapters.topics import partition_counts
from stream_app.addresses import without_password
from stream_app.backlog import BacklogWatch
from stream_app.errors import ModelError
from stream_app.holdings import Seek
from stream_app.money import Money, read_rates
from stream_app.outage import Watch
from stream_app.partition import Workplace
from stream_app.progress import Progress
from stream_app.runtime import Runtime, Surroundings
from stream_app.scorer import Output, Scorer
from stream_app.settings import Settings
from stream_app.takeover import Takeover, Topics
from stream_app.topology import unequal
from stream_app.transaction import IntakeRules
from stream_app.watchdog import Watchdog


class SystemClock:
    """See `ports.Clock`."""

    def now_ms(self) -> int:
        """Unix time, ms."""
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        """Seconds, ever forward."""
        return time.perf_counter()


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """A worker's parts, connected and not yet started; `background` is to run beside them."""

    runtime: Runtime
    publisher: KafkaPublisher
    status: StatusServer
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...]


def scorer_loader(settings: Settings, metrics: Metrics, money: Money) -> Callable[[], Scorer]:
    """A function that fetches the model behind the alias and binds a scorer to it."""
    registry = ModelRegistry(settings.mlflow_tracking_uri, settings.model_cache)

    def load() -> Scorer:
        fetched = registry.fetch(settings.model_name, settings.model_alias)
        model = OnnxModel(fetched.content, fetched.reference)
        if model.metadata.base_currency != money.currency:
            raise ModelError(
                f"Model {fetched.reference.name} version {fetched.reference.version} was trained on amounts in {model.metadata.base_currency}; "
                f"FRAUDSTREAM_BASE_CURRENCY is {money.currency}. Make them one."
            )
        scorer = Scorer(model, money, Output(settings.alerts_topic, settings.scores_topic), SystemClock(), settings.threshold)
        metrics.model_in_use(fetched.reference, model.metadata, scorer.policy.threshold)
        logger.info(
            "Model {} version {} from {}, {} features, threshold {:.4f}",
            fetched.reference.name,
            fetched.reference.version,
            fetched.origin,
            len(model.metadata.features),
            scorer.policy.threshold,
        )
        return scorer

    return load


def build_worker(
    settings: Settings, on_fatal: Callable[[BaseException], None], end_offset: Callable[[str, int], int | None], seek: Seek
) -> WorkerParts:
    """All parts of a worker.

    Args:
        settings: read once by the caller.
        on_fatal: called with the error that ends the worker.
        end_offset: the log's end of a topic and partition as the consumer last heard it.
        seek: makes the consumer read partitions from other offsets.
    """
    options = client_options(settings)
    publisher = KafkaPublisher(options)
    money = Money(settings.base_currency, read_rates(settings.rates_file))
    metrics = Metrics(money.unit)
    topics = topics_of(settings)
    rules = IntakeRules(settings.refuse_card_numbers, settings.max_ahead_s)

    async def counts() -> dict[str, int]:
        found = await partition_counts(options, settings.topics())
        return {t: found.get(t, 0) for t in settings.topics()}

    store = RedisStore(settings.redis_url, settings.consumer_group)
    watches = _watches(settings, publisher, store)

    log = KafkaLog(options, settings.consumer_group)
    takeover = Takeover(store, log, topics)

    def away() -> str | None:
        return next(filter(None, (watch.away() for watch in watches)), None)

    runtime = Runtime(
        store,
        lambda scorer: Workplace(scorer, end_offset, publisher, takeover, metrics, topics, rules, money, settings.batch_max_records, away),
        Surroundings(scorer_loader(settings, metrics, money), counts, seek, on_fatal, metrics.partitions_owned, partial(unequal, settings)),
    )

    def not_ready() -> str | None:
        return away() or runtime.not_ready()

    _show_health(metrics, watches, not_ready)
    progress = Progress(metrics.totals, runtime.behind, away)
    watchdog = Watchdog(runtime.progress, runtime.undecided, lambda: not_ready() is not None)
    backlog = BacklogWatch(runtime.held, log, topics, metrics)
    background = (*(watch.run for watch in watches), progress.run, watchdog.run, backlog.run)
    return WorkerParts(runtime, publisher, StatusServer(metrics.render, not_ready), background)


def _show_health(metrics: Metrics, watches: tuple[Watch, ...], not_ready: Callable[[], str | None]) -> None:
    """As metrics, what /readyz and the log tell."""
    metrics.watch_readiness(lambda: not_ready() is None)
    for watch in watches:
        metrics.watch(watch.server.lower(), watch.is_up)


def topics_of(settings: Settings) -> Topics:
    """The topics' names."""
    return Topics(
        settings.transactions_topic,
        settings.labels_topic,
        settings.alerts_topic,
        settings.scores_topic,
        settings.transactions_dlq_topic,
        settings.labels_dlq_topic,
    )


def _watches(settings: Settings, publisher: KafkaPublisher, store: RedisStore) -> tuple[Watch, ...]:
    kafka, redis = settings.kafka_bootstrap_servers, without_password(settings.redis_url)
    return (
        Watch(("Kafka", kafka), "Check FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS and the brokers.", publisher.ping),
        Watch(("Redis", redis), "Check FRAUDSTREAM_REDIS_URL and the server.", store.ping),
    )
