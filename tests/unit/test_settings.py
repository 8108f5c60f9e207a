"""Settings: read once, typed; what is wrong stops the start with one line that says which, why, and an example of a right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.errors import SettingsError
from stream_app.messages.addresses import without_password, without_passwords
from stream_app.settings import PREFIX, Settings, in_environment, load_settings

WRONG = [
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka"),
    ("KAFKA_SECURITY_PROTOCOL", "TLS"),
    ("KAFKA_SASL_MECHANISM", "GSSAPI"),
    ("REDIS_URL", "localhost:6379"),
    ("MLFLOW_TRACKING_URI", "localhost:5000"),
    ("CONSUMER_GROUP", "a group"),
    ("TRANSACTIONS_TOPIC", "bad topic!"),
    ("SCORES_TOPIC", "bad topic!"),
    ("BASE_CURRENCY", "EURO"),
    ("THRESHOLD", "1.5"),
    ("THRESHOLD", "nan"),
    ("REFUSE_CARD_NUMBERS", "perhaps"),
    ("MAX_AHEAD_S", "-1"),
    ("BATCH_MAX_RECORDS", "0"),
    ("METRICS_PORT", "70000"),
    ("LOG_LEVEL", "LOUD"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092, other:9092"),
    ("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092\n"),
    ("LOG_FORMAT", "xml"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_told_in_one_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which setting, what it is, why that is wrong, and an example that would be accepted."""
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith(f"{PREFIX}{name} = {value!r} is wrong: ")
    assert "\n" not in text
    why = text.partition(" is wrong: ")[2].partition(". Example: ")[0]
    assert why
    assert not set(r"^$[]{}|\+*?") & set(why), "no regular expression"
    assert not {"String", "Input", "pattern"} & set(why.split()), "no words of the library"
    monkeypatch.setenv(PREFIX + name, text.rpartition(f"Example: {PREFIX}{name}=")[2])
    load_settings()


def test_two_topics_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alerts among the transactions would be read as transactions."""
    monkeypatch.setenv("FRAUDSTREAM_ALERTS_TOPIC", "transactions")
    with pytest.raises(SettingsError, match="'transactions' is named twice"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVER", "FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"),
        ("fraudstream_redis_uri", "FRAUDSTREAM_REDIS_URL"),
        ("FRAUDSTREAM_METRIC_PORT", "FRAUDSTREAM_METRICS_PORT"),
    ],
)
def test_a_name_that_is_no_setting_is_refused_with_the_nearest_one(name: str, near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment and from `.env` alike: the default would be used in its place, unnoticed."""
    monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError, match=f"{name} is no setting; the nearest is {near}"):
        load_settings()
    monkeypatch.delenv(name)
    Path(".env").write_text(f"{name}=x\n")
    with pytest.raises(SettingsError, match=near):
        load_settings()


def test_names_that_others_write_are_let_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes tells every pod of services named fraudstream…; the tests and the local stack have a variable each."""
    for name, value in {
        "FRAUDSTREAM_SERVICE_HOST": "10.0.0.1",
        "FRAUDSTREAM_WORKER_SERVICE_PORT_METRICS": "9464",
        "FRAUDSTREAM_PORT": "tcp://10.0.0.1:9464",
        "FRAUDSTREAM_PORT_9464_TCP_ADDR": "10.0.0.1",
        "FRAUDSTREAM_TEST_BACKEND": "docker",
        "FRAUDSTREAM_LOCAL_TOKEN": "0123",
    }.items():
        monkeypatch.setenv(name, value)
    assert load_settings() == Settings()


@pytest.mark.parametrize("url", ["user:pa$s@redis:6379/0", "http://user:pa$s@redis:6379", "redis.example:6379?password=pa$s"])
def test_a_wrong_address_is_told_without_its_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Error lines end in logs and tickets."""
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", url)
    with pytest.raises(SettingsError, match="FRAUDSTREAM_REDIS_URL") as caught:
        load_settings()
    assert str(caught.value).startswith("FRAUDSTREAM_REDIS_URL = … is wrong: it must begin with redis://")
    assert "pa$s" not in str(caught.value)


def test_a_wrong_secret_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a right one: not in the settings' text."""
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_SASL_PASSWORD", "pa$s")
    assert "pa$s" not in repr(load_settings())


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://…@host:6379/0"),
        ("redis://:se/c@r et@host:6379/0", "redis://…@host:6379/0"),
        ("user:secret@host:6379", "…@host:6379"),
        ("rediss://host/0?db=1&password=secret&x=1", "rediss://host/0?db=1&password=…&x=1"),
        ("http://host:5000", "http://host:5000"),
        ("redis://:secret", "redis://…"),
        ("user:secret", "…"),
        ("kafka-1:9092,kafka-2:9092", "kafka-1:9092,kafka-2:9092"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
    ],
)
def test_an_address_is_shown_without_its_password(address: str, shown: str) -> None:
    """Whatever the password holds; the host stays."""
    assert without_password(address) == shown


def test_a_librarys_text_is_shown_without_passwords() -> None:
    """Every URL in it; what is no URL stays."""
    text = "Client error for 'http://user:secret@mlflow:5000/api' (see https://mdn/404), models:/fraud@champion"
    assert without_passwords(text) == "Client error for 'http://…@mlflow:5000/api' (see https://mdn/404), models:/fraud@champion"


def test_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment stands over `.env`, `.env` over the local stack's file; that one is not the user's word."""
    Path(".fraudstream").mkdir()
    Path(".fraudstream/local.env").write_text("FRAUDSTREAM_REDIS_URL=redis://local/0\nFRAUDSTREAM_MODEL_NAME=local\n")
    assert load_settings().redis_url == "redis://local/0"
    assert not in_environment("redis_url")
    Path(".env").write_text("FRAUDSTREAM_REDIS_URL=redis://file/0\n")
    assert (load_settings().redis_url, load_settings().model_name) == ("redis://file/0", "local")
    assert in_environment("redis_url")
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", "redis://environment/0")
    assert load_settings().redis_url == "redis://environment/0"


def test_a_file_that_is_not_utf8_is_named() -> None:
    """One line, no traceback."""
    Path(".env").write_bytes(b"FRAUDSTREAM_MODEL_NAME=\xff\n")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings()


def test_the_local_stacks_file_that_is_not_utf8_is_named() -> None:
    """The same, with who makes it anew."""
    Path(".fraudstream").mkdir()
    Path(".fraudstream/local.env").write_bytes(b"FRAUDSTREAM_MODEL_NAME=\xff\n")
    with pytest.raises(SettingsError, match=r"local\.env cannot be read.*fraudstream local up"):
        load_settings()


@pytest.mark.parametrize("alias", ["latest", "LATEST", "v3", "a b"])
def test_an_alias_that_mlflow_refuses_is_no_setting(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be refused when a model was trained already."""
    monkeypatch.setenv("FRAUDSTREAM_CHALLENGER_ALIAS", alias)
    with pytest.raises(SettingsError, match="FRAUDSTREAM_CHALLENGER_ALIAS"):
        load_settings()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis://:Sup3rpa#ss@host/0", "it holds a #; in a user or password write"),
        ("redis://:Sup3rpa/ss@host/0", "an @ stands behind the host"),
        ("redis://host/0?foo=1", "'foo' is no option"),
        ("redis://host/0?decode_responses=true", "'decode_responses' is no option"),
        ("redis://host/0?socket_timeout=0", "'socket_timeout' is no option"),
        ("redis://host/0?ssl_ca_certs=ca.pem", "those of TLS need rediss://"),
        ("rediss://host/0?ssl_cert_reqs=maybe", "the value of the option 'ssl_cert_reqs'"),
        ("redis://host/cards", "the number of a database"),
        ("redis://:Sup3rpass@/0", "it names no host"),
        ("redis://host:99999/0", "its port is no number"),
        ("unix://", "unix:///run/redis.sock"),
    ],
)
def test_a_url_of_redis_that_cannot_work_says_why_and_how_to_write_it(url: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each was a traceback, a part of the password, or another answer than was asked for."""
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", url)
    with pytest.raises(SettingsError, match="FRAUDSTREAM_REDIS_URL") as caught:
        load_settings()
    assert why in str(caught.value)
    assert "Sup3r" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:p%23ss@host:6379/3",
        "rediss://bank:p@ss@host/0?ssl_ca_certs=/etc/ca.pem&ssl_cert_reqs=required",
        "unix:///run/redis.sock?db=1",
        "redis://[::1]:6379/0",
    ],
)
def test_a_url_of_redis_that_works_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is."""
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", url)
    assert load_settings().redis_url == url
