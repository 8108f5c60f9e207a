"""The parts of the API, picked and put together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from loguru import logger

from stream_app.adapters.kafka.keyed_topic import KeyedTopic
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.publisher import LazyPublisher
from stream_app.adapters.metrics.api_metrics import ApiMetrics
from stream_app.adapters.redis.state_reader import RedisStateReader
from stream_app.bootstrap import ASK_KAFKA, ASK_REDIS, serving_scorers
from stream_app.bootstrap_rules import live_rules, rule_desk
from stream_app.delivery.answer_log import AnswerLog, AnswerTaker, not_kept
from stream_app.delivery.live_rules import LiveRules
from stream_app.delivery.rule_desk import RuleDesk
from stream_app.errors import FraudstreamError, Unavailable
from stream_app.features.entities import kept_of
from stream_app.messages.addresses import without_password
from stream_app.messages.money import Money, read_rates
from stream_app.operating.outage import ANSWER_TIMEOUT_S, Watch
from stream_app.scoring.online_scoring import Answered, LabelIntake, OnlineScoring
from stream_app.scoring.publication import NO_OUTPUT
from stream_app.scoring.scorer import Scorer
from stream_app.settings import Settings

_UNKNOWN = "Rules and lists are not read yet; the log says why."


@dataclass(frozen=True, slots=True)
class ApiBackground:
    """What runs beside the API's routes until it is cancelled, and how to let go of all connections."""

    run: tuple[Callable[[], Coroutine[Any, Any, None]], ...]
    close: Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class BuiltApi:
    """The API's parts, not yet connected; `not_ready` says at once why no payment can be scored now, to whoever asks: no address is in it."""

    online: OnlineScoring
    labels: LabelIntake
    desk: RuleDesk
    answered: AnswerTaker
    metrics: ApiMetrics
    not_ready: Callable[[], str | None]
    background: ApiBackground


def build_api(settings: Settings) -> BuiltApi:
    """All parts of the API.

    Until rules and lists were read to the ends that they had, it answers nothing that they have a say in. From then on what was read last stays in
    force while Kafka is away.
    """
    metrics, history = (
        ApiMetrics(settings.threshold),
        RedisStateReader(settings.redis_url, settings.consumer_group, kept_of(settings.entities)),
    )
    money = Money(settings.base_currency, read_rates(settings.rates_file))
    live = live_rules(settings, metrics.rules)
    serving = serving_scorers(settings, metrics.models, money, NO_OUTPUT, lambda: live.in_force)
    options = client_options(settings)
    publisher = LazyPublisher(options)
    timeout_s = min(ANSWER_TIMEOUT_S, settings.api_timeout_s)  # a Redis that takes longer has every request that needs it run out of time
    redis = Watch("Redis", without_password(settings.redis_url), ASK_REDIS, history.ping, timeout_s=timeout_s)
    kafka = Watch("Kafka", settings.kafka_bootstrap_servers, ASK_KAFKA, publisher.ping)
    for watch in (kafka, redis):
        metrics.watch(watch.server.lower(), watch.is_up)

    def present() -> Scorer:
        if live.unknown:
            raise Unavailable(_UNKNOWN)
        return serving.present()

    answers = AnswerLog(settings.answers_topic, KeyedTopic(options, publisher, settings.answers_topic).publish, metrics)

    async def close() -> None:
        await answers.close()
        await publisher.stop()
        await history.close()

    def not_ready() -> str | None:
        if live.unknown:
            return _UNKNOWN
        if serving.why_not_ready is not None:
            return "No model is loaded yet; the log says why."
        return None if redis.has_answered() else "Redis does not answer; the log says more."

    async def follow() -> None:
        await live.run(serving.rebind)

    background = (serving.run, redis.run, kafka.run, follow, answers.run, lambda: _begin(live))
    online, labels = OnlineScoring(present, history, money), LabelIntake(history, publisher.started, settings.labels_topic)
    keep = answers.take if settings.answers_topic else not_kept

    def answered(one: Answered, size: int) -> None:
        metrics.rules.answered(one.decision.decided_by, one.decision.rules)
        keep(one, size)

    return BuiltApi(online, labels, rule_desk(settings, live, publisher), answered, metrics, not_ready, ApiBackground(background, close))


async def _begin(live: LiveRules) -> None:
    """Say why the API is not ready, where rules and lists are not read in time; they are followed on."""
    try:
        await live.begun()
    except FraudstreamError as error:
        logger.error("Not ready: {}", error)
