"""The composition root: the only place that picks real parts."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.topics import partition_counts, topic_configs
from stream_app.adapters.kafka.topology import too_little, unequal
from stream_app.adapters.metrics.http_status import StatusServer
from stream_app.adapters.metrics.worker_metrics import WorkerMetrics
from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.adapters.redis.store import RedisStore
from stream_app.adapters.schema_registry.client import RegistryTls, SchemaRegistry
from stream_app.adapters.schema_registry.copies import SchemaCopies
from stream_app.adapters.schema_registry.fetcher import SchemaFetcher
from stream_app.bootstrap_rules import live_rules
from stream_app.delivery.backlog import BacklogWatch
from stream_app.delivery.held_partitions import Seek
from stream_app.delivery.inbox import KnownEnd
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.partition import PartitionDependencies
from stream_app.delivery.placement import KeyWatch
from stream_app.delivery.retry import RETRY_FOR_S
from stream_app.delivery.rounds import RoundDependencies, Rounds
from stream_app.delivery.runtime import Runtime, RuntimeDependencies
from stream_app.delivery.takeover import Takeover
from stream_app.delivery.topics import Topics
from stream_app.delivery.trusted_clock import ServerClock, TrustedClock
from stream_app.errors import ModelError, SettingsError
from stream_app.features.entities import KeptEntities, kept_of
from stream_app.labelling.report_reader import ReportReader, ReportRules
from stream_app.messages.addresses import without_password
from stream_app.messages.money import Money, read_rates
from stream_app.messages.transaction import Decoder, IntakeRules, Label, Transaction
from stream_app.operating.outage import Watch
from stream_app.operating.progress import Progress
from stream_app.operating.watchdog import Watchdog
from stream_app.scoring.bound_model import Challenger
from stream_app.scoring.bound_rules import RulesInForce
from stream_app.scoring.ports import Clock, Model
from stream_app.scoring.publication import Output
from stream_app.scoring.registered import CHALLENGER, CHAMPION, FetchedModel, ModelObserver
from stream_app.scoring.rehearsal import rehearse
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.serving import FollowedAlias, ModelSource, Serving
from stream_app.scoring.supply import refuse_unkept, refuse_unsupplied
from stream_app.settings import Settings
from stream_app.wire.decoder import WireDecoder
from stream_app.wire.inputs import Inputs
from stream_app.wire.mapped import MappedReader
from stream_app.wire.mapping import MappingError, SourceMapping
from stream_app.wire.mapping_text import MOST_MAPPING_BYTES, mapping_of
from stream_app.wire.schemas import SchemaBook

ASK_KAFKA = "Check FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS and the brokers."
ASK_REDIS = "Check FRAUDSTREAM_REDIS_URL and the server."


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
    """A worker's parts, connected and not yet started; `background` is to run beside them.

    Attributes:
        rules: followed in the background; no payment is taken before they have begun.
    """

    runtime: Runtime
    rules: LiveRules
    publisher: KafkaPublisher
    status: StatusServer
    background: tuple[Callable[[], Coroutine[Any, Any, None]], ...]


def model_loader(money: Money, kept: KeptEntities, mapping: SourceMapping | None = None) -> Callable[[FetchedModel], Model]:
    """A function that makes a model of its file, checked against the registry, the settings (and of what they keep state) and the mapping of payments, and warmed up."""

    def load(fetched: FetchedModel) -> Model:
        model = OnnxModel(fetched.content, fetched.reference)
        named = f"Model {fetched.reference.name} version {fetched.reference.version}"
        if fetched.features_hash and fetched.features_hash != model.metadata.features_hash():
            raise ModelError(
                f"{named} holds features of hash {model.metadata.features_hash()}; it was registered with {fetched.features_hash}. Train it again."
            )
        if model.metadata.base_currency != money.currency:
            raise ModelError(
                f"{named} was trained on amounts in {model.metadata.base_currency}; FRAUDSTREAM_BASE_CURRENCY is {money.currency}. Make them one."
            )
        refuse_unkept(named, model.metadata.resolved(), kept)
        if mapping is not None:
            refuse_unsupplied(named, model.metadata, mapping)
        rehearse(model, money, SystemClock())
        return model

    return load


def serving_scorers(
    settings: Settings,
    observer: ModelObserver,
    money: Money,
    output: Output,
    rules: Callable[[], RulesInForce],
    mapping: SourceMapping | None = None,
) -> Serving[Scorer]:
    """Follows the aliases of the settings, and binds a scorer to the models that they point to, and to the rules in force then."""
    registry, load = (
        ModelRegistry(settings.mlflow_tracking_uri, settings.model_cache),
        model_loader(money, kept_of(settings.entities), mapping),
    )

    def bind(champion: Model, challenger: Model | None) -> Scorer:
        beside = Challenger(challenger, settings.challenger_share) if challenger else None
        return Scorer(champion, money, output, SystemClock(), settings.threshold, beside, rules())

    aliases = (settings.model_alias, settings.challenger_alias)
    champion, challenger = (ModelSource(registry, settings.model_name, alias, load, observer) for alias in aliases)
    beside = FollowedAlias(CHALLENGER, challenger) if settings.challenger_alias else None
    return Serving(FollowedAlias(CHAMPION, champion), beside, bind)


def build_worker(
    settings: Settings, on_fatal: Callable[[BaseException], None], end_of: Callable[[str, int], KnownEnd | None], seek: Seek
) -> WorkerParts:
    """All parts of a worker.

    Args:
        settings: read once by the caller.
        on_fatal: called with the error that ends the worker.
        end_of: where what can be read of a topic and partition ends, as the consumer last heard it.
        seek: makes the consumer read partitions from other offsets.
    """
    options = client_options(settings)
    publisher = KafkaPublisher(options)
    money = Money(settings.base_currency, read_rates(settings.rates_file))
    metrics = WorkerMetrics(money.unit, settings.threshold)
    topics = topics_of(settings)
    live = live_rules(settings, metrics.rules)
    output = Output(settings.alerts_topic, settings.scores_topic)
    serving = serving_scorers(settings, metrics.models, money, output, lambda: live.in_force, mapping_of_settings(settings))
    rules, clock = intake_rules(settings), SystemClock()
    present = present_of(clock, rules)

    async def counts() -> dict[str, int]:
        found = await partition_counts(options, settings.topics())
        return {t: found.get(t, 0) for t in settings.topics()}

    async def retention() -> str | None:
        configs = await topic_configs(options, settings.topics())
        publisher.know({topic: config.max_message_bytes for topic, config in configs.items()})
        return too_little(settings, configs)

    store = RedisStore(settings.redis_url, settings.consumer_group, kept_of(settings.entities))
    inputs, registry = inputs_of(settings)
    watches, witness = _watches(settings, publisher, store, registry), ServerClock(present, store.now_ms)

    log, keys = KafkaLog(options, settings.consumer_group, topics.written), KeyWatch(PARTITIONERS)
    outputs = Outputs(log)
    takeover = Takeover(store, log, outputs, topics, clock)

    def away() -> str | None:
        return next(filter(None, (watch.away() for watch in watches)), None)

    runtime = Runtime(
        store,
        lambda scorer: PartitionDependencies(
            rounds=Rounds(RoundDependencies(store, scorer, money, topics.transactions, metrics, away)),
            end_of=end_of,
            publisher=publisher,
            takeover=takeover,
            outputs=outputs,
            observer=metrics,
            topics=topics,
            rules=rules,
            present=present,
            money=money,
            most_records=settings.batch_max_records,
            away=away,
            keys=keys,
            inputs=inputs,
        ),
        RuntimeDependencies(
            serving=serving,
            partition_counts=counts,
            too_little=retention,
            seek=seek,
            on_fatal=on_fatal,
            partitions_changed=metrics.partitions_owned,
            hear_witness=witness.look,
            unequal=partial(unequal, settings),
        ),
    )

    def not_ready() -> str | None:
        return away() or runtime.not_ready()

    def not_scoring() -> str | None:
        """Beyond what it waits for: what it is at work on, and the watchdog watches."""
        return not_ready() or runtime.taking_again()

    _show_health(metrics, watches, not_scoring)
    metrics.watch_clock(lambda: present.behind_s)
    metrics.watch_keys(keys.astray)
    progress = Progress(metrics.totals, runtime.behind, away)
    backlog = BacklogWatch(runtime.held, log, topics, metrics)
    watchdog = Watchdog(runtime.progress, backlog.undecided, lambda: not_ready() is not None)

    async def follow() -> None:
        await live.run(serving.rebind)

    background = (*(watch.run for watch in watches), witness.run, progress.run, watchdog.run, backlog.run, follow)
    background = background if registry is None else (*background, registry.run)
    return WorkerParts(runtime, live, publisher, StatusServer(metrics.pieces, not_scoring), background)


def _show_health(metrics: WorkerMetrics, watches: tuple[Watch, ...], not_ready: Callable[[], str | None]) -> None:
    """As metrics, what /readyz and the log tell."""
    metrics.watch_readiness(lambda: not_ready() is None)
    for watch in watches:
        metrics.watch(watch.server.lower(), watch.is_up)


def intake_rules(settings: Settings) -> IntakeRules:
    """What a record must keep beyond its schema."""
    mapping = mapping_of_settings(settings)
    of_mapping = () if mapping is None else (path[-1] for path in (mapping.path_of("card_id"), mapping.key) if path)
    return IntakeRules(
        card_fields=("card_id", *of_mapping),
        refuse_card_numbers=settings.refuse_card_numbers,
        max_ahead_s=settings.max_ahead_s,
        max_ahead_of_clock_s=settings.max_ahead_of_clock_s,
    )


def reports_of(settings: Settings, mapping: SourceMapping) -> tuple[ReportReader, Callable[[], Awaitable[None]]]:
    """What reads reports of labels by a mapping, and what returns when all schemas that it was found lacking are here.

    Raises:
        MappingError: the mapping cannot be used.
    """
    rules, url = ReportRules(ZoneInfo(mapping.zone or "UTC"), settings.refuse_card_numbers), settings.schema_registry_url
    if not url:
        return ReportReader(mapping, rules), _nothing_lacks
    book = SchemaBook()
    fetcher = SchemaFetcher(registry_of(settings), SchemaCopies(settings.model_cache / "schemas", url), book, RETRY_FOR_S)
    return ReportReader(mapping, rules, book), fetcher.fetched


async def _nothing_lacks() -> None:
    """No schema is needed."""


def inputs_of(settings: Settings) -> tuple[Inputs, SchemaFetcher | None]:
    """How records of both inputs are read, and what fetches the schemas of those that are framed, where there is a registry."""
    rules, mapping, url = intake_rules(settings), mapping_of_settings(settings), settings.schema_registry_url
    try:
        mapped = None if mapping is None else MappedReader(mapping)
    except MappingError as error:
        raise _unusable(settings.mapping_file, error) from None
    if not url:
        payments = Decoder(Transaction, rules) if mapped is None else WireDecoder(Transaction, rules, None, mapped)
        return Inputs(payments, Decoder(Label, rules)), None
    book, registry = SchemaBook(), registry_of(settings)
    fetcher = SchemaFetcher(registry, SchemaCopies(settings.model_cache / "schemas", url), book, RETRY_FOR_S)
    return Inputs(WireDecoder(Transaction, rules, book, mapped), WireDecoder(Label, rules, book), fetcher.fetched), fetcher


def mapping_of_settings(settings: Settings) -> SourceMapping | None:
    """The mapping of payments' records; None where none is set.

    Raises:
        SettingsError: it cannot be used; where and why.
    """
    if not (file := settings.mapping_file):
        return None
    try:
        return mapping_in(Path(file))
    except MappingError as error:
        raise _unusable(file, error) from None


def mapping_in(file: Path) -> SourceMapping:
    """The mapping in a file of YAML.

    Raises:
        MappingError: it cannot be used; where and why.
    """
    try:
        with file.open("rb") as opened:
            return mapping_of(opened.read(MOST_MAPPING_BYTES + 1).decode())
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"It cannot be read: {error}.") from None


def _unusable(file: str, why: Exception) -> SettingsError:
    return SettingsError(f"FRAUDSTREAM_MAPPING_FILE = {file!r} cannot be used. {why} docs/how-to/wire-formats.md shows one.")


def registry_of(settings: Settings) -> SchemaRegistry:
    """The schema registry of the settings; it is not connected to yet."""
    tls = RegistryTls(
        settings.schema_registry_ssl_cafile,
        settings.schema_registry_ssl_certfile,
        settings.schema_registry_ssl_keyfile,
    )
    return SchemaRegistry(settings.schema_registry_url, tls)


def present_of(clock: Clock, rules: IntakeRules) -> TrustedClock:
    """The present by a clock that may be half as far behind as it would have to be to refuse a payment on time: clocks of producers differ too."""
    return TrustedClock(clock, rules.max_ahead_of_clock_s / 2)


def topics_of(settings: Settings) -> Topics:
    """The topics' names."""
    return Topics(
        transactions=settings.transactions_topic,
        labels=settings.labels_topic,
        alerts=settings.alerts_topic,
        scores=settings.scores_topic,
        transactions_dlq=settings.transactions_dlq_topic,
        labels_dlq=settings.labels_dlq_topic,
    )


def _watches(settings: Settings, publisher: KafkaPublisher, store: RedisStore, registry: SchemaFetcher | None) -> tuple[Watch, ...]:
    kafka, redis = settings.kafka_bootstrap_servers, without_password(settings.redis_url)
    always = (
        Watch("Kafka", kafka, ASK_KAFKA, publisher.ping),
        Watch("Redis", redis, ASK_REDIS, store.ping),
    )
    if registry is None:
        return always
    return (*always, Watch("Schema registry", without_password(settings.schema_registry_url), "", registry.look))
