"""Settings: environment variables `FRAUDSTREAM_*`, typed, frozen, read once at start.

Precedence, highest first: the environment, `.env`, `.fraudstream/local.env` (written by `fraudstream local up`, removed by
`fraudstream local down`), the defaults below. `settings_table` renders the table of the README from these definitions.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from stream_app.errors import SettingsError
from stream_app.messages.addresses import without_password
from stream_app.messages.checked_addresses import checked_brokers, checked_http_url, checked_redis_url
from stream_app.messages.iso import CURRENCIES

PREFIX = "FRAUDSTREAM_"
LOCAL_ENV = Path(".fraudstream") / "local.env"
OTHERS = frozenset({"FRAUDSTREAM_TEST_BACKEND", "FRAUDSTREAM_LOCAL_TOKEN"})
"""Variables with our prefix that are no settings: where the tests take their servers from, and by what the local stack knows its own."""
_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT(_.+)?)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")
"""What Kubernetes puts into every pod for a service named fraudstream or fraudstream-…; and `…_PORT=tcp://…`."""

_WITH_URLS = frozenset(
    {
        "kafka_bootstrap_servers",
        "kafka_sasl_password",
        "redis_url",
        "mlflow_tracking_uri",
        "schema_registry_url",
    }
)


def _currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError("it must be a currency of ISO 4217")
    return code


def _matching(pattern: str, words: str) -> AfterValidator:
    """Text of a form; where it is another, the error says the form in words."""
    form = re.compile(pattern)

    def check(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(words)
        return text

    return AfterValidator(check)


def _served(word: str) -> str:
    """The alias of a version, see `alias_of`."""
    alias = alias_of(word)
    if alias and (why := no_alias(alias)) is not None:
        raise ValueError(why)
    return alias


def no_alias(alias: str) -> str | None:
    """Why MLflow takes no alias of this name, or None."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", alias):
        return "an alias has up to 256 letters, digits, underscores and dashes"
    reserved = alias.lower() == "latest" or re.fullmatch("[vV][0-9]+", alias)
    return f"MLflow keeps {alias!r} for itself; take a word for what the version does, as challenger" if reserved else None


def alias_of(word: str) -> str:
    """The alias that a word means: the stages of older registries, Production and Staging, are the aliases champion and challenger."""
    return {"production": "champion", "staging": "challenger"}.get(word.lower(), word)


_NAME = "letters, digits, dots, underscores and dashes"
Topic = Annotated[str, _matching(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}", f"a topic's name is up to 249 {_NAME}, and not one or two dots")]
Brokers = Annotated[str, AfterValidator(checked_brokers)]
RedisUrl = Annotated[str, AfterValidator(checked_redis_url)]
HttpUrl = Annotated[str, AfterValidator(checked_http_url)]
Group = Annotated[str, _matching(r"[A-Za-z0-9._-]{1,100}", f"a group's name is up to 100 {_NAME}")]


def _setting(default: Any, about: str, example: str) -> Any:
    return Field(default=default, description=about, examples=[example])


class Settings(BaseSettings):
    """All settings of worker, API and commands. Frozen; units stand in the names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True, env_file_encoding="utf-8")

    kafka_bootstrap_servers: Brokers = _setting(
        "localhost:9092", "Kafka brokers, host:port, separated by commas", "kafka-1:9092,kafka-2:9092"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _setting(
        "PLAINTEXT", "How to talk to the brokers", "SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = _setting(
        "SCRAM-SHA-512", "SASL mechanism, where the protocol is SASL_*", "PLAIN"
    )
    kafka_sasl_username: str = _setting("", "SASL user", "fraudstream")
    kafka_sasl_password: SecretStr = _setting(SecretStr(""), "SASL password", "…")
    kafka_ssl_cafile: str = _setting("", "File with the CA certificates of the brokers; empty: the system's", "/etc/kafka/ca.pem")
    kafka_ssl_certfile: str = _setting("", "Client certificate, for mutual TLS", "/etc/kafka/client.pem")
    kafka_ssl_keyfile: str = _setting("", "Key of the client certificate", "/etc/kafka/client.key")
    redis_url: RedisUrl = _setting(
        "redis://localhost:6379/0",
        "Redis, or a server of a Redis Cluster, that holds the features' state; `noeviction`",
        "rediss://user:secret@redis:6379/0",
    )
    mlflow_tracking_uri: HttpUrl = _setting(
        "http://localhost:5000", "MLflow server with the model registry (it must serve artifacts)", "http://mlflow:5000"
    )
    model_name: str = _setting("fraudstream", "Registered model", "fraud-eu")
    model_alias: Annotated[str, Field(min_length=1), AfterValidator(_served)] = _setting(
        "champion", "Alias of the version to serve; Production and Staging of older registries mean champion and challenger", "champion"
    )
    promotion_needs_approval: bool = _setting(False, "Whether a promotion needs two persons: one asks for it, another one promotes", "true")
    challenger_alias: Annotated[str, AfterValidator(_served)] = _setting(
        "challenger", "Alias of a version that scores beside it, where there is one; empty: none", "challenger"
    )
    challenger_share: Annotated[float, Field(ge=0, le=1)] = _setting(
        0.0, "Share of the cards, 0 to 1, that the challenger decides for; the same cards always", "0.05"
    )
    model_cache: Path = _setting(
        Path(".fraudstream/models"),
        "Folder of the verified copies of the model and of schemas, used when MLflow or the registry is down",
        "/var/lib/fraudstream/models",
    )
    entities: Annotated[str, _matching(r"[a-z]+(,[a-z]+)*", "names with commas between them, and nothing else")] = _setting(
        "terminal,device",
        "What state is kept of beside cards: terminal, device, merchant, mcc, country, ip; the same for every worker and the API",
        "terminal,device,merchant,mcc,country,ip",
    )
    consumer_group: Group = _setting("fraudstream", "Kafka consumer group; also the namespace of the state in Redis", "fraud-eu")
    transactions_topic: Topic = _setting("transactions", "Topic of transactions, in", "payments.authorised")
    labels_topic: Topic = _setting("fraud-labels", "Topic of labels (chargebacks, analysts), in", "chargebacks")
    alerts_topic: Topic = _setting("fraud-alerts", "Topic of alerts, out", "alerts")
    scores_topic: Topic | Literal[""] = _setting(
        "", "Topic of every decision with its features, out; empty: not published", "transaction-scores"
    )
    answers_topic: Topic | Literal[""] = _setting(
        "", "Topic of what the API answered to /v1/score, and by what, out; empty: not published", "fraud-answers"
    )
    transactions_dlq_topic: Topic = _setting("transactions-dlq", "Dead letters of the transactions", "payments.dlq")
    labels_dlq_topic: Topic = _setting("fraud-labels-dlq", "Dead letters of the labels", "chargebacks.dlq")
    rules_topic: Topic = _setting("fraud-rules", "Topic of rules and releases, of one partition", "rules")
    lists_topic: Topic = _setting("fraud-lists", "Topic of lists and their entries, of one partition", "lists")
    rules_keep_days: Annotated[int, Field(ge=39, le=36_500)] | None = _setting(
        None, "Days that `fraudstream topics` has both of them keep their records; empty: without end", "400"
    )
    rules_need_approval: bool = _setting(
        False, "Whether a live rule comes into force only when another than its author approved it", "true"
    )
    rules_most_share: Annotated[float, Field(gt=0, le=1)] = _setting(
        0.05, "Share of the last day's payments, 0 to 1, above which a live rule comes into force only when it is confirmed", "0.01"
    )
    schema_registry_url: HttpUrl | Literal[""] = _setting(
        "",
        "Schema registry with Confluent's API, for records that are framed for one; empty: none",
        "https://user:secret@registry:8081",
    )
    schema_registry_ssl_cafile: str = _setting(
        "", "File with the CA certificates of the schema registry; empty: the system's", "/etc/kafka/ca.pem"
    )
    schema_registry_ssl_certfile: str = _setting("", "Client certificate for the schema registry, for mutual TLS", "/etc/kafka/client.pem")
    schema_registry_ssl_keyfile: str = _setting("", "Key of that certificate", "/etc/kafka/client.key")
    mapping_file: str = _setting(
        "", "YAML file that says where our fields are in other people's records of payments; empty: they have our names", "mapping.yml"
    )
    base_currency: Annotated[str, AfterValidator(_currency)] = _setting("EUR", "Currency of all windows of money", "USD")
    rates_file: str = _setting("", "JSON file of exchange rates into the base currency; empty: none", "rates-2026-11.json")
    threshold: Annotated[float, Field(ge=0, le=1)] | None = _setting(
        None, "Score from which a transaction is alerted; empty: the model's own", "0.35"
    )
    refuse_card_numbers: bool = _setting(True, "Refuse a card_id that is a card number (13-19 digits that pass Luhn)", "false")
    max_ahead_s: Annotated[int, Field(ge=0, le=86_400)] = _setting(
        60, "How far event_time may be ahead of the record's Kafka timestamp", "60"
    )
    max_ahead_of_clock_s: Annotated[int, Field(ge=600, le=86_400)] = _setting(
        3600, "How far it may be ahead of the worker's clock too: more than that clock may be wrong by", "3600"
    )
    batch_max_records: Annotated[int, Field(ge=1, le=20_000)] = _setting(1000, "Largest micro-batch of a partition", "500")
    metrics_port: Annotated[int, Field(ge=0, le=65_535)] = _setting(
        9464, "Port of /metrics, /livez and /readyz; 0: a free one, shown in the log", "9464"
    )
    metrics_host: str = _setting("127.0.0.1", "Address that /metrics listens on", "0.0.0.0")  # noqa: S104 - an example: containers need it
    api_host: str = _setting("127.0.0.1", "Address that the API listens on; another than loopback needs keys", "0.0.0.0")  # noqa: S104 - as above
    api_port: Annotated[int, Field(ge=0, le=65_535)] = _setting(8000, "Port of the API; 0: a free one, shown in the log", "8000")
    api_processes: Annotated[int, Field(ge=1, le=64)] = _setting(
        1, "Processes that answer on the API's port; one for each core that it may use", "4"
    )
    api_keys_file: str = _setting("", "File of the API's keys, hashed (`fraudstream api-key`); empty: none are asked for", "api-keys")
    api_timeout_s: Annotated[float, Field(gt=0, le=60)] = _setting(2.0, "Longest time for a request to the API, its body included", "1")
    api_max_body_bytes: Annotated[int, Field(ge=1024, le=67_108_864)] = _setting(2_097_152, "Largest body of a request", "1048576")
    api_max_batch: Annotated[int, Field(ge=1, le=100_000)] = _setting(1000, "Most rows of a request to /predict_batch", "500")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = _setting("INFO", "Least level that is logged", "DEBUG")
    log_format: Literal["text", "json"] = _setting("text", "Logs for people or for machines", "json")

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        """No name, file or password has a line end or what is no text. A URL in the wrong place may hold a password."""
        if isinstance(value, str) and not value.isprintable():
            raise ValueError("it holds a sign that cannot be printed, as a line end")
        if isinstance(value, str) and "://" in value and info.field_name not in _WITH_URLS:
            raise ValueError("it takes no URL")
        return value

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        names = [*self.topics(), *self.rule_topics(), *self.own_topics()]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"topic {twice[0]!r} is named twice; each topic needs a name of its own")
        return self

    def topics(self) -> tuple[str, ...]:
        """Names of the topics that have the same partitions: transactions, labels, alerts, dead letters, and scores where they are published."""
        names = (self.transactions_topic, self.labels_topic, self.alerts_topic, self.transactions_dlq_topic, self.labels_dlq_topic)
        return (*names, self.scores_topic) if self.scores_topic else names

    def own_topics(self) -> tuple[str, ...]:
        """Names of the topics that the API alone writes, with partitions of their own: that of answers, where they are published."""
        return (self.answers_topic,) if self.answers_topic else ()

    def rule_topics(self) -> tuple[str, str]:
        """Names of the topics of rules and of lists, which have one partition each."""
        return self.rules_topic, self.lists_topic


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from environment, `.env` and the local stack's file.

    Raises:
        SettingsError: one line that says which setting is wrong, why, and an example of a right one; or which name is none.
    """
    _refuse_unknown({**_dotenv(), **os.environ})
    try:
        return Settings(_env_file=(LOCAL_ENV, ".env"), **overrides)
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{LOCAL_ENV} cannot be read: {error}. It is made anew by `fraudstream local up`.") from None


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    why = first["msg"].removeprefix("Value error, ").partition(", unable to ")[0]
    why = why.replace("Input should be", "it must be").replace("a valid boolean", "true or false")
    if not first["loc"]:
        return f"Settings: {why}."
    name = str(first["loc"][0])
    field = Settings.model_fields[name]
    example = (field.examples or [""])[0]
    given = first["input"]
    shown = "…" if field.annotation is SecretStr or _may_hold_password(str(given)) else repr(given)
    return f"{PREFIX}{name.upper()} = {shown} is wrong: {why}. Example: {PREFIX}{name.upper()}={example}"


def _may_hold_password(text: str) -> bool:
    """Whether it is like an address with a login, in whatever setting it was put. Where its password ends nobody knows: the address is wrong."""
    return "@" in text or without_password(text) != text


def _refuse_unknown(variables: Mapping[str, str | None]) -> None:
    """A misspelt name would be ignored, and the default taken in its place."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name, value in variables.items():
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or upper in OTHERS or _is_of_kubernetes(upper, value or ""):
            continue
        near = get_close_matches(upper, known, n=1, cutoff=0)[0]
        raise SettingsError(f"{name} is no setting; the nearest is {near}. Correct the name, or take it out (README: Settings).")


def _is_of_kubernetes(name: str, value: str) -> bool:
    return bool(_KUBERNETES.search(name)) or (name.endswith("_PORT") and "://" in value)


def settings_table() -> str:
    """The table of all settings in Markdown, made from the definitions."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        text = (
            ""
            if default is None or default == "" or isinstance(default, SecretStr)
            else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        )
        rows.append(f"| `{PREFIX}{name.upper()}` | {text} | {field.description} |")
    return "\n".join(rows)


def in_environment(name: str) -> bool:
    """Whether the user set `name` (without prefix) in the environment or `.env`, not merely the local stack's file."""
    return bool(os.environ.get(f"{PREFIX}{name.upper()}")) or bool(_dotenv().get(f"{PREFIX}{name.upper()}"))


def _dotenv() -> dict[str, str | None]:
    from dotenv import dotenv_values  # noqa: PLC0415 - pydantic-settings' own reader, needed here alone

    try:
        return dotenv_values(".env") if Path(".env").is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{Path('.env').absolute()} cannot be read: {error}. Write it in UTF-8, one NAME=value a line.") from None
