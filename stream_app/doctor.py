"""What stands between this machine and a scoring worker: one finding for each part, with its remedy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from stream_app.adapters.kafka_options import client_options
from stream_app.adapters.onnx_model import OnnxModel
from stream_app.adapters.redis_store import RedisStore
from stream_app.adapters.registry import ModelRegistry
from stream_app.adapters.topics import partition_counts
from stream_app.addresses import without_password, without_passwords
from stream_app.errors import FraudstreamError
from stream_app.settings import Settings

MOST_CLOCK_SKEW_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One part's state; `text` names the remedy where it is not well."""

    subject: str
    well: bool
    text: str


async def examine(settings: Settings) -> list[Finding]:
    """Examine every part; one that fails does not hide the others."""
    checks: list[tuple[str, Callable[[Settings], Awaitable[str]]]] = [
        ("Kafka", _kafka),
        ("topics", _topics),
        ("Redis", _redis),
        ("MLflow", _mlflow),
        ("model", _model),
        ("clock", _clock),
    ]
    return [await _finding(subject, check, settings) for subject, check in checks]


class _UnwellError(FraudstreamError):
    """A part that answers and is not as it must be."""


async def _finding(subject: str, check: Callable[[Settings], Awaitable[str]], settings: Settings) -> Finding:
    try:
        return Finding(subject, well=True, text=await check(settings))
    except FraudstreamError as error:
        return Finding(subject, well=False, text=str(error))
    except Exception as error:  # noqa: BLE001 - the other findings are still worth having
        text = f"could not be examined: {type(error).__name__}: {without_passwords(str(error))}. Report this with the text."
        return Finding(subject, well=False, text=text)


async def _kafka(settings: Settings) -> str:
    began = time.perf_counter()
    await partition_counts(client_options(settings), [settings.transactions_topic])
    return f"answers at {settings.kafka_bootstrap_servers} ({(time.perf_counter() - began) * 1000:.0f} ms)"


async def _topics(settings: Settings) -> str:
    names = settings.topics()
    counts = await partition_counts(client_options(settings), names)
    missing = [n for n in names if n not in counts]
    if missing:
        raise _UnwellError(f"missing: {', '.join(missing)}. Create them: fraudstream topics --partitions 4")
    if len(set(counts.values())) > 1:
        raise _UnwellError(_unequal(settings, counts))
    return f"{len(names)} topics of {next(iter(counts.values()))} partitions"


def _unequal(settings: Settings, counts: dict[str, int]) -> str:
    """What differs from the transactions, and how to mend each: partitions of an input are never added, its cards would move to others."""
    wanted = counts[settings.transactions_topic]
    command = f"kafka-topics.sh --bootstrap-server {settings.kafka_bootstrap_servers}"
    short = [t for t, n in counts.items() if n < wanted and t != settings.labels_topic]
    long = [t for t, n in counts.items() if n > wanted and t != settings.labels_topic]
    said = [", ".join(f"{t} {n}" for t, n in counts.items())]
    said += [f"Add partitions: {command} --alter --topic {topic} --partitions {wanted}" for topic in short]
    said += [f"Delete and make again: {command} --delete --topic {topic}; fraudstream topics" for topic in long]
    if counts[settings.labels_topic] != wanted:
        said.append(
            f"Labels: make a new topic of {wanted} partitions, have them sent there, and name it in FRAUDSTREAM_LABELS_TOPIC; "
            "partitions added to this one would move cards between them"
        )
    return f"differ in partitions: {'. '.join(said)}."


async def _redis(settings: Settings) -> str:
    store = RedisStore(settings.redis_url, settings.consumer_group)
    try:
        memory, server = await store.info("memory"), await store.info("server")
    finally:
        await store.close()
    policy = memory["maxmemory_policy"]
    if policy != "noeviction":
        raise _UnwellError(
            f"evicts state when memory is full (maxmemory-policy {policy}). Set it: redis-cli CONFIG SET maxmemory-policy noeviction"
        )
    return f"{server['redis_version']} answers, {memory['used_memory_human']} in use, noeviction"


async def _mlflow(settings: Settings) -> str:
    version = await asyncio.to_thread(
        ModelRegistry(settings.mlflow_tracking_uri, Path()).version_of, settings.model_name, settings.model_alias
    )
    return f"{without_password(settings.mlflow_tracking_uri)} answers; {settings.model_name}@{settings.model_alias} is version {version[0]}"


async def _model(settings: Settings) -> str:
    fetched = await asyncio.to_thread(
        ModelRegistry(settings.mlflow_tracking_uri, settings.model_cache).fetch, settings.model_name, settings.model_alias
    )
    metadata = OnnxModel(fetched.content, fetched.reference).metadata
    if metadata.base_currency != settings.base_currency:
        raise _UnwellError(
            f"version {fetched.reference.version} was trained on amounts in {metadata.base_currency}, FRAUDSTREAM_BASE_CURRENCY is "
            f"{settings.base_currency}. Set it to {metadata.base_currency}, or train with the other."
        )
    return f"version {fetched.reference.version} from {fetched.origin}: parity holds, {len(metadata.features)} features, hash {metadata.features_hash()}"


async def _clock(settings: Settings) -> str:
    """Against the Date header of MLflow: the only server here that tells its time."""
    try:
        answer = await asyncio.to_thread(httpx.get, f"{settings.mlflow_tracking_uri}/health", timeout=5)
    except (httpx.HTTPError, httpx.InvalidURL):
        raise _UnwellError(
            "cannot be compared: MLflow, which would tell its time, does not answer. Start it, or see `timedatectl`."
        ) from None
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        raise _UnwellError("cannot be compared: MLflow answers without its time. See `timedatectl`.") from None
    skew = time.time() - theirs
    if abs(skew) > MOST_CLOCK_SKEW_S:
        raise _UnwellError(f"differs from MLflow's by {skew:.0f} s. Synchronise both machines (NTP): times from the future are refused.")
    return f"within {MOST_CLOCK_SKEW_S:.0f} s of MLflow's"
