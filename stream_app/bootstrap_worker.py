"""The parts of a worker, picked and put together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.publisher import KafkaPublisher
from stream_app.adapters.kafka.topics import partition_counts, topic_configs
from stream_app.adapters.kafka.topology import too_little, unequal
from stream_app.adapters.metrics.http_status import StatusServer
from stream_app.adapters.metrics.worker_metrics import WorkerMetrics
from stream_app.adapters.redis.store import RedisStore
from stream_app.adapters.schema_registry.fetcher import SchemaFetcher
from stream_app.bootstrap import ASK_KAFKA, ASK_REDIS, SystemClock, present_of, serving_scorers, topics_of
from stream_app.bootstrap_inputs import inputs_of, intake_rules, mapping_of_settings
from stream_app.bootstrap_rules import live_rules
from stream_app.delivery.backlog import BacklogWatch
from stream_app.delivery.held_partitions import Seek
from stream_app.delivery.inbox import KnownEnd
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.outputs import Outputs
from stream_app.delivery.partition import PartitionDependencies
from stream_app.delivery.placement import KeyWatch
from stream_app.delivery.rounds import RoundDependencies, Rounds
from stream_app.delivery.runtime import Runtime, RuntimeDependencies
from stream_app.delivery.takeover import Takeover
from stream_app.delivery.topics import Topics
from stream_app.delivery.trusted_clock import ServerClock, TrustedClock
from stream_app.features.entities import kept_of
from stream_app.messages.addresses import without_password
from stream_app.messages.money import Money, read_rates
from stream_app.messages.transaction import IntakeRules
from stream_app.operating.outage import Watch
from stream_app.operating.progress import Progress
from stream_app.operating.watchdog import Watchdog
from stream_app.scoring.publication import Output
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.serving import Serving
from stream_app.settings import Settings
from stream_app.wire.inputs import Inputs

type _Background = tuple[Callable[[], Coroutine[Any, Any, None]], ...]


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
    background: _Background


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all parts of one worker stand on: its connections, clocks, and what it tells."""

    settings: Settings
    options: dict[str, Any]
    publisher: KafkaPublisher
    store: RedisStore
    log: KafkaLog
    topics: Topics
    money: Money
    metrics: WorkerMetrics
    rules: IntakeRules
    clock: SystemClock
    present: TrustedClock
    inputs: Inputs
    registry: SchemaFetcher | None
    watches: tuple[Watch, ...]
    keys: KeyWatch = field(default_factory=lambda: KeyWatch(PARTITIONERS))

    def away(self) -> str | None:
        """Which server does not answer, or None."""
        return next(filter(None, (watch.away() for watch in self.watches)), None)


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
    ground = _ground(settings)
    metrics = ground.metrics
    live = live_rules(settings, metrics.rules)
    output = Output(settings.alerts_topic, settings.scores_topic)
    serving = serving_scorers(settings, metrics.models, ground.money, output, lambda: live.in_force, mapping_of_settings(settings))
    witness = ServerClock(ground.present, ground.store.now_ms)
    runtime = Runtime(ground.store, _partitions(ground, end_of), _outside(ground, serving, witness, on_fatal, seek))

    async def follow() -> None:
        await live.run(serving.rebind)

    def not_scoring() -> str | None:
        """Beyond what it waits for: what it is at work on, and the watchdog watches."""
        return ground.away() or runtime.not_ready() or runtime.taking_again()

    _show_health(ground, not_scoring)
    background = (*(watch.run for watch in ground.watches), witness.run, *_looked_after(ground, runtime), follow)
    background = background if ground.registry is None else (*background, ground.registry.run)
    return WorkerParts(runtime, live, ground.publisher, StatusServer(metrics.pieces, not_scoring), background)


def _ground(settings: Settings) -> _Ground:
    options, topics = client_options(settings), topics_of(settings)
    publisher, money = KafkaPublisher(options), Money(settings.base_currency, read_rates(settings.rates_file))
    store = RedisStore(settings.redis_url, settings.consumer_group, kept_of(settings.entities))
    rules, clock, (inputs, registry) = intake_rules(settings), SystemClock(), inputs_of(settings)
    return _Ground(
        settings=settings,
        options=options,
        publisher=publisher,
        store=store,
        log=KafkaLog(options, settings.consumer_group, topics.written),
        topics=topics,
        money=money,
        metrics=WorkerMetrics(money.unit, settings.threshold),
        rules=rules,
        clock=clock,
        present=present_of(clock, rules),
        inputs=inputs,
        registry=registry,
        watches=_watches(settings, publisher, store, registry),
    )


def _partitions(ground: _Ground, end_of: Callable[[str, int], KnownEnd | None]) -> Callable[[Callable[[], Scorer]], PartitionDependencies]:
    """What all partitions share, of the scorer that is bound then."""
    store, metrics, topics = ground.store, ground.metrics, ground.topics
    outputs = Outputs(ground.log)
    takeover = Takeover(store, ground.log, outputs, topics, ground.clock)

    def shared(scorer: Callable[[], Scorer]) -> PartitionDependencies:
        return PartitionDependencies(
            rounds=Rounds(RoundDependencies(store, scorer, ground.money, topics.transactions, metrics, ground.away)),
            end_of=end_of,
            publisher=ground.publisher,
            takeover=takeover,
            outputs=outputs,
            observer=metrics,
            topics=topics,
            rules=ground.rules,
            present=ground.present,
            money=ground.money,
            most_records=ground.settings.batch_max_records,
            away=ground.away,
            keys=ground.keys,
            inputs=ground.inputs,
        )

    return shared


def _outside(
    ground: _Ground, serving: Serving[Scorer], witness: ServerClock, on_fatal: Callable[[BaseException], None], seek: Seek
) -> RuntimeDependencies:
    """What the runtime asks of Kafka and of the process."""
    settings, options = ground.settings, ground.options

    async def counts() -> Mapping[str, int]:
        found = await partition_counts(options, settings.topics())
        return {t: found.get(t, 0) for t in settings.topics()}

    async def retention() -> str | None:
        configs = await topic_configs(options, settings.topics())
        ground.publisher.know({topic: config.max_message_bytes for topic, config in configs.items()})
        return too_little(settings, configs)

    return RuntimeDependencies(
        serving=serving,
        partition_counts=counts,
        too_little=retention,
        seek=seek,
        on_fatal=on_fatal,
        partitions_changed=ground.metrics.partitions_owned,
        hear_witness=witness.look,
        unequal=partial(unequal, settings),
    )


def _looked_after(ground: _Ground, runtime: Runtime) -> _Background:
    """Who tells how far the worker is, and ends one that stands still though nothing is away."""
    progress = Progress(ground.metrics.totals, runtime.behind, ground.away)
    backlog = BacklogWatch(runtime.held, ground.log, ground.topics, ground.metrics)
    watchdog = Watchdog(runtime.progress, backlog.undecided, lambda: (ground.away() or runtime.not_ready()) is not None)
    return progress.run, watchdog.run, backlog.run


def _show_health(ground: _Ground, not_scoring: Callable[[], str | None]) -> None:
    """As metrics, what /readyz and the log tell."""
    metrics = ground.metrics
    metrics.watch_readiness(lambda: not_scoring() is None)
    for watch in ground.watches:
        metrics.watch(watch.server.lower(), watch.is_up)
    metrics.watch_clock(lambda: ground.present.behind_s)
    metrics.watch_keys(ground.keys.astray)


def _watches(settings: Settings, publisher: KafkaPublisher, store: RedisStore, registry: SchemaFetcher | None) -> tuple[Watch, ...]:
    kafka, redis = settings.kafka_bootstrap_servers, without_password(settings.redis_url)
    always = (
        Watch("Kafka", kafka, ASK_KAFKA, publisher.ping),
        Watch("Redis", redis, ASK_REDIS, store.ping),
    )
    if registry is None:
        return always
    return (*always, Watch("Schema registry", without_password(settings.schema_registry_url), "", registry.look))
