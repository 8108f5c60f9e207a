"""What stands between this machine and a scoring worker: one finding for each part, with its remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from stream_app.adapters.kafka.codecs import readable
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.adapters.kafka.topics import copies_of, partition_counts, topic_configs
from stream_app.adapters.kafka.topology import KEEP_DAYS, TopicConfig, losing, too_little, unbounded, unequal, wrong_rule_topics
from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.adapters.redis.store import RedisStore
from stream_app.bootstrap_inputs import inputs_of, mapping_of_settings, registry_of
from stream_app.delivery.open_transactions import open_for_long, what_waits
from stream_app.delivery.placement import SAMPLE, newest_keys, together
from stream_app.errors import FraudstreamError, ModelError, RecordError, Unavailable
from stream_app.features.aggregations import DAY_MS
from stream_app.features.model_metadata import ModelMetadata
from stream_app.messages.addresses import without_password, without_passwords
from stream_app.messages.records import Record
from stream_app.messages.transaction import Transaction
from stream_app.scoring.registered import FetchedModel
from stream_app.scoring.supply import ENOUGH, SuppliedFields, refuse_unsupplied
from stream_app.settings import LOCAL_ENV, Settings, in_environment
from stream_app.wire.inputs import Reads, decode_one, some_ready

MOST_CLOCK_SKEW_S = 5.0
_SERVERS = {"Kafka": "kafka_bootstrap_servers", "Redis": "redis_url", "MLflow": "mlflow_tracking_uri"}
"""By which setting each is named."""


type Check = Callable[[Settings], Awaitable[str]]
"""Says what is well, or raises."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One part's state; `text` names the remedy where it is not well. `well` is None where it was not checked."""

    subject: str
    well: bool | None
    text: str


async def examine(settings: Settings) -> list[Finding]:
    """Examine every part; one that fails does not hide the others, and one cause is told once: what a check needs names the deepest first."""
    checks: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
        ("Kafka", _kafka, ()),
        ("topics", _topics, ("Kafka",)),
        ("copies", _copies, ("Kafka", "topics")),
        ("codecs", readable, ("Kafka",)),
        ("transactions", _transactions, ("Kafka",)),
        ("keys", _keys, ("Kafka", "topics", "codecs")),
        ("Redis", _redis, ()),
        ("state", _state, ("Redis", "Kafka", "topics")),
        ("MLflow", _mlflow, ()),
    )
    found: dict[str, Finding] = {}
    for subject, check, needs in checks:
        lacking = next((found[name] for name in needs if not found[name].well), None)
        found[subject] = _not_checked(subject, lacking) if lacking else await _finding(subject, check, settings)
    if settings.schema_registry_url:
        found["schemas"] = await _finding("schemas", _schemas, settings)
    of_mlflow = [await _finding(subject, check, settings, found["MLflow"]) for subject, check in (("model", _model), ("clock", _clock))]
    lacking = next((finding for finding in (found["Kafka"], found["topics"], found["codecs"], of_mlflow[0]) if not finding.well), None)
    fields = _not_checked("fields", lacking) if lacking else await _finding("fields", _fields, settings)
    return [*found.values(), *of_mlflow, fields]


class _UnwellError(FraudstreamError):
    """A part that answers and is not as it must be."""


def _not_checked(subject: str, needed: Finding) -> Finding:
    return Finding(subject, well=None, text=f"not checked: see {needed.subject}")


async def _finding(subject: str, check: Check, settings: Settings, needed: Finding | None = None) -> Finding:
    """The finding of one check; where it fails for want of `needed`, which has its own finding, that is not told again."""
    try:
        return Finding(subject, well=True, text=await check(settings))
    except FraudstreamError as error:
        if needed is not None and not needed.well and isinstance(error, Unavailable):
            return _not_checked(subject, needed)
        return Finding(subject, well=False, text=str(error) + _where_nothing_is_named(subject, error))
    except Exception as error:  # noqa: BLE001 - the other findings are still worth having
        text = f"could not be examined: {type(error).__name__}: {without_passwords(str(error))}. Report this with the text."
        return Finding(subject, well=False, text=text)


def _where_nothing_is_named(subject: str, error: FraudstreamError) -> str:
    """On a first day no setting names a server: then the remedy is to start some, not to check a name."""
    setting = _SERVERS.get(subject, "")
    if not isinstance(error, Unavailable) or not setting or in_environment(setting) or LOCAL_ENV.is_file():
        return ""
    return " No setting names one: `fraudstream local up` starts Kafka, Redis and MLflow on this machine."


async def _kafka(settings: Settings) -> str:
    began = time.perf_counter()
    await partition_counts(client_options(settings), [settings.transactions_topic])
    return f"answers at {settings.kafka_bootstrap_servers} ({(time.perf_counter() - began) * 1000:.0f} ms)"


async def _topics(settings: Settings) -> str:
    names = settings.topics()
    every = names + settings.own_topics() + settings.rule_topics()
    all_counts = await partition_counts(client_options(settings), every)
    missing = [n for n in every if n not in all_counts]
    if missing:
        raise _UnwellError(f"missing: {', '.join(missing)}. Create them: fraudstream topics --partitions 4")
    counts = {name: all_counts[name] for name in names}
    if len(set(counts.values())) > 1:
        raise _UnwellError(unequal(settings, counts))
    configs = await topic_configs(client_options(settings), names + settings.rule_topics())
    if little := too_little(settings, {name: configs[name] for name in names}):
        raise _UnwellError(little)
    if wrong := wrong_rule_topics(settings, all_counts, configs):
        raise _UnwellError(wrong)
    loose = unbounded(settings, {t: configs[t] for t in (settings.transactions_topic, settings.labels_topic)})
    well = (
        f"{len(names)} topics of {next(iter(counts.values()))} partitions; transactions and labels are kept for {KEEP_DAYS} days or more; "
        f"rules and lists {_kept(configs[name] for name in settings.rule_topics())}"
    )
    return f"{well}; but {loose}" if loose else well


def _kept(configs: Iterable[TopicConfig]) -> str:
    shortest_ms = min((one.retention_ms for one in configs if one.retention_ms >= 0), default=None)
    return "without end" if shortest_ms is None else f"for {shortest_ms // DAY_MS} days: let checkpoints be younger (docs/rules.md)"


async def _copies(settings: Settings) -> str:
    names = settings.topics() + settings.rule_topics()
    copies = await copies_of(client_options(settings), names)
    loose = losing(settings, await topic_configs(client_options(settings), names), copies)
    fewest = min(copies.of.values())
    well = f"{copies.brokers} broker{'s' * (copies.brokers > 1)}, {fewest} cop{'ies' if fewest > 1 else 'y'} of each topic or more"
    return f"{well}; but {loose}" if loose else well


async def _transactions(settings: Settings) -> str:
    """Whether a producer's transaction stops an input."""
    options, names = client_options(settings), (settings.transactions_topic, settings.labels_topic)
    counts = await partition_counts(options, names)
    found = await KafkaLog(options, settings.consumer_group).open_transactions(
        [(t, n) for t, count in counts.items() for n in range(count)]
    )
    for place, transaction in found.items():
        if open_for_long(transaction, time.time()):
            raise _UnwellError(what_waits(place, transaction, settings.kafka_bootstrap_servers))
    return "no producer's Kafka transaction holds an input back"


async def _keys(settings: Settings) -> str:
    names = settings.transactions_topic, settings.labels_topic
    log = KafkaLog(client_options(settings), settings.consumer_group)
    count = (await partition_counts(client_options(settings), names))[names[0]]
    payments, labels = [await newest_keys(log, name, range(count)) for name in names]
    return together(payments, labels, count, PARTITIONERS)


async def _schemas(settings: Settings) -> str:
    registry, began = registry_of(settings), time.perf_counter()
    await registry.ping()
    return f"the schema registry answers at {registry.shown} ({(time.perf_counter() - began) * 1000:.0f} ms)"


async def _redis(settings: Settings) -> str:
    store = RedisStore(settings.redis_url, settings.consumer_group)
    try:
        memory, server = await store.info("memory"), await store.info("server")
    finally:
        await store.close()
    for address, found in memory.items():
        if found["maxmemory_policy"] != "noeviction":
            named = f"{address} " if address else ""
            raise _UnwellError(
                f"{named}evicts state when memory is full (maxmemory-policy {found['maxmemory_policy']}). Set it: "
                "redis-cli CONFIG SET maxmemory-policy noeviction"
            )
    versions = ", ".join(sorted({found["redis_version"] for found in server.values()}))
    used_mb = sum(found["used_memory"] for found in memory.values()) / 2**20
    many = "" if "" in memory else f" as a cluster of {len(memory)} servers"
    return f"{versions} answers{many}, {used_mb:.1f} MB in use, noeviction"


async def _state(settings: Settings) -> str:
    """Whether Redis holds the state of every partition of which the group has decided payments."""
    topic, options = settings.transactions_topic, client_options(settings)
    count = (await partition_counts(options, [topic]))[topic]
    committed = await KafkaLog(options, settings.consumer_group).committed([(topic, p) for p in range(count)])
    begun = {p for (_, p), offset in committed.items() if offset}
    store = RedisStore(settings.redis_url, settings.consumer_group)
    try:
        missing = sorted(begun.intersection(await store.without_cursor(count)))
    finally:
        await store.close()
    if missing:
        raise _UnwellError(
            f"partition {', '.join(map(str, missing))}: group {settings.consumer_group!r} decided payments, and no state of them is in Redis. It was "
            "emptied, or FRAUDSTREAM_REDIS_URL is another than the workers'. A running worker rebuilds it within seconds; start one."
        )
    return f"there for all {len(begun)} partitions of which group {settings.consumer_group!r} decided payments"


async def _mlflow(settings: Settings) -> str:
    answers = f"{without_password(settings.mlflow_tracking_uri)} answers"
    registry = ModelRegistry(settings.mlflow_tracking_uri, Path())
    try:
        version = await asyncio.to_thread(registry.version_of, settings.model_name, settings.model_alias)
    except ModelError:
        return answers  # what is wrong is the model's finding
    return f"{answers}; {settings.model_name}@{settings.model_alias} is version {version.version}"


async def _model(settings: Settings) -> str:
    fetched, metadata = await _served(settings)
    if (mapping := mapping_of_settings(settings)) is not None:
        refuse_unsupplied(f"version {fetched.reference.version}", metadata, mapping)
    if metadata.base_currency != settings.base_currency:
        raise _UnwellError(
            f"version {fetched.reference.version} was trained on amounts in {metadata.base_currency}, FRAUDSTREAM_BASE_CURRENCY is "
            f"{settings.base_currency}. Set it to {metadata.base_currency}, or train with the other."
        )
    return f"version {fetched.reference.version} from {fetched.origin}: parity holds, {len(metadata.features)} features, hash {metadata.features_hash()}"


async def _served(settings: Settings) -> tuple[FetchedModel, ModelMetadata]:
    registry = ModelRegistry(settings.mlflow_tracking_uri, settings.model_cache)
    fetched = await asyncio.to_thread(registry.fetch, settings.model_name, settings.model_alias)
    return fetched, OnnxModel(fetched.content, fetched.reference).metadata


async def _fields(settings: Settings) -> str:
    """Whether the newest payments have what the model's training had."""
    _, metadata = await _served(settings)
    if not metadata.needs:
        return (
            "the model needs nothing that a payment may lack"
            if metadata.needs == {}
            else "the model says nothing of them: it is of before that"
        )
    inputs, _ = inputs_of(settings)
    log, topic = KafkaLog(client_options(settings), settings.consumer_group), settings.transactions_topic
    places = [(topic, number) for number in range((await partition_counts(client_options(settings), [topic]))[topic])]
    bounds = await log.bounds(places)
    seen = SuppliedFields(metadata)
    async for _, records in log.walk({place: max(bounds[place].begin, bounds[place].end - SAMPLE) for place in places}):
        async for some in some_ready(records, inputs.payments, inputs):
            seen.add(_payments(some, inputs.payments))
    if seen.payments < ENOUGH:
        return f"{seen.payments:,} newest payments are too few to compare with training"
    if differences := seen.differences():
        raise _UnwellError(
            f"of the {seen.payments:,} newest payments {'; '.join(differences)}. The model's features of it are not what they were. Have the producer "
            "send it, name it in the mapping, or train on what comes."
        )
    return f"{len(metadata.needs)} fields that the model needs stand in as many of the {seen.payments:,} newest payments as in training, or nearly"


def _payments(records: Iterable[Record], decoder: Reads[Transaction]) -> Iterator[Transaction]:
    """Those that a worker takes; what it refuses is in its dead letters."""
    for record in records:
        with suppress(RecordError):
            yield decode_one(decoder, record, None)


async def _clock(settings: Settings) -> str:
    """Against the Date header of MLflow: the only server here that tells its time."""
    try:
        answer = await asyncio.to_thread(httpx.get, f"{settings.mlflow_tracking_uri}/health", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Unavailable("MLflow, which would tell its time, does not answer.") from None
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        raise _UnwellError("cannot be compared: MLflow answers without its time. See `timedatectl`.") from None
    skew = time.time() - theirs
    if abs(skew) > MOST_CLOCK_SKEW_S:
        raise _UnwellError(f"differs from MLflow's by {skew:.0f} s. Synchronise both machines (NTP): times from the future are refused.")
    return f"within {MOST_CLOCK_SKEW_S:.0f} s of MLflow's"
