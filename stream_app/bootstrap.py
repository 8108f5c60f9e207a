"""The composition root: with the modules that begin with its name the only place that picks real parts. Here are those that workers, API and commands share."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.delivery.topics import Topics
from stream_app.delivery.trusted_clock import TrustedClock
from stream_app.errors import ModelError
from stream_app.features.entities import KeptEntities, kept_of
from stream_app.messages.money import Money
from stream_app.messages.transaction import IntakeRules
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
from stream_app.wire.mapping import SourceMapping

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
