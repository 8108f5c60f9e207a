"""Settings of whatever anybody writes: one line with the setting's name or a value that works, never a traceback, and no part of a password."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.adapters.faust.options import faust_options
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.metrics.http_status import StatusServer
from stream_app.adapters.redis.servers import RedisServers
from stream_app.api.keys import read_keys
from stream_app.commands.doctor import examine
from stream_app.errors import FraudstreamError, SettingsError
from stream_app.messages.money import read_rates
from stream_app.settings import PREFIX, Settings, load_settings

PASSWORD = "Sup3rS3cret"  # noqa: S105 - nobody's
SIGNS = st.sampled_from(
    [*"aZ09-_.:/@?#[]%,;=& \t\r\n\0\\'\"{}$<>|+*~\x1b\x7f", "é", "漢", "\u202e", "\ud800", "🂡", "٣", "..", "%zz", "%00"]
)
TEXT = st.lists(SIGNS, max_size=12).map("".join)
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from(["1e999", "-0", "0x10", "1_000", " 5 ", "٣", "NaN", "1" * 400])).map(str)
PARTS = st.one_of(TEXT, st.just("localhost"), st.just("127.0.0.1"), st.just("[::1]"), st.just("a" * 64 + ".b"))

NOBODY = {"kafka_bootstrap_servers": "127.0.0.1:1", "redis_url": "redis://127.0.0.1:1", "mlflow_tracking_uri": "http://127.0.0.1:1"}


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Nearly an address of a server, with a password in it, perhaps cut in two by a sign that has a meaning."""
    scheme = draw(st.sampled_from(["redis://", "rediss://", "unix://", "http://", "https://", "", "redis:", "ftp://"]))
    password = PASSWORD[:5] + draw(TEXT) + PASSWORD[5:]
    user = draw(st.sampled_from(["", "bank"]))
    at = draw(st.sampled_from(["@", "@@", "%40", ""]))
    port = draw(st.sampled_from(["", ":6379", ":0", ":65536", ":x", ":-1", ":"]))
    tail = draw(st.sampled_from(["", "/0", "/x", "?db=1", "?foo=1", "?decode_responses=true", "/0?ssl_cert_reqs=maybe", "/@x", "#0"]))
    return f"{scheme}{user}:{password}{at}{draw(PARTS)}{port}{tail}"


VALUES = st.one_of(TEXT, NUMBERS, addresses().filter(lambda a: "://" in a), st.just("x" * 5_000))


def told(line: str) -> None:
    """It is one line, and nothing of the password is in it."""
    assert "\n" not in line
    assert PASSWORD[:5] not in line
    assert PASSWORD[5:] not in line


def loaded(**values: str) -> Settings | None:
    """The settings of these values; None where they were refused, in one line that names one of them."""
    try:
        return load_settings(**values)
    except SettingsError as error:
        said = str(error)
    told(said)
    assert any(f"{PREFIX}{name.upper()}" in said for name in values) or said.startswith("Settings: topic")
    return None


def tried(step: Any, *arguments: Any) -> Any:
    """What it returns; None where an error of ours was raised, which is told as it must be."""
    try:
        return step(*arguments)
    except FraudstreamError as error:
        told(str(error))
        return None


@pytest.mark.parametrize("name", Settings.model_fields)
@settings(max_examples=60)
@given(value=VALUES)
def test_no_value_of_a_setting_is_a_traceback(name: str, value: str) -> None:
    """What is not refused by the settings is refused by what reads it first, or taken."""
    found = loaded(**{name: value})
    if found is None:
        return
    tried(client_options, found)
    tried(faust_options, found)
    tried(read_rates, found.rates_file)
    tried(read_keys, found.api_keys_file, found.api_host)


@settings(max_examples=300)
@given(url=addresses())
@example(f"redis://:{PASSWORD[:5]}#{PASSWORD[5:]}@host/0")
@example(f"redis://:{PASSWORD}@host/0?decode_responses=true")
@example(f"redis://:{PASSWORD}@host/0?foo=1")
@example(f"redis://:{PASSWORD}")
@example(f"redis://bank:{PASSWORD}/x@host")
def test_a_url_that_the_settings_take_is_one_that_its_library_takes(url: str) -> None:
    """And what is said of a server that does not answer there holds nothing of the password."""
    for name in ("redis_url", "mlflow_tracking_uri", "kafka_bootstrap_servers"):
        found = loaded(**{name: url})
        if found is not None and name == "redis_url":
            tried(RedisServers, found.redis_url, 1, 1)


@settings(max_examples=40)
@given(host=PARTS)
def test_a_host_that_cannot_be_listened_on_is_named(host: str) -> None:
    """The worker's start, before it asks any server."""
    found = loaded(metrics_host=host, metrics_port="0")
    if found is None or not host:
        return

    async def listen() -> None:
        server = StatusServer(lambda _: [], lambda: None)
        try:
            await server.start(found.metrics_host, found.metrics_port)
        finally:
            await server.stop()

    with suppress(SettingsError):
        asyncio.run(listen())


@settings(max_examples=12)
@given(user=TEXT, password=TEXT, name=TEXT, tail=st.sampled_from(["", "/0", "?db=1", "/3?client_name=a", "?health_check_interval=3"]))
def test_what_the_settings_take_the_doctor_examines(user: str, password: str, name: str, tail: str) -> None:
    """Nobody answers at these addresses, which is what it says; never that something could not be examined."""
    login = f"{user}:{PASSWORD[:5]}{password}{PASSWORD[5:]}@127.0.0.1:1"
    values = {"redis_url": f"redis://{login}{tail}", "mlflow_tracking_uri": f"http://{login}", "model_name": name, "model_cache": name}
    taken = NOBODY | {setting: value for setting, value in values.items() if loaded(**{setting: value}) is not None}
    found = loaded(**taken)
    assert found is not None
    for finding in asyncio.run(examine(found)):
        told(finding.text)
        assert "could not be examined" not in finding.text
        assert not finding.well


@pytest.mark.parametrize("command", [["doctor"], ["topics"], ["worker"], ["api"], ["alerts"]], ids=" ".join)
@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("REDIS_URL", f"redis://:{PASSWORD[:5]}#{PASSWORD[5:]}@host/0", 78),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:99999", 78),
    ],
)
def test_a_command_says_one_line_and_its_exit_code(command: list[str], name: str, value: str, code: int) -> None:
    """Before it asks anybody anything."""
    ran = subprocess.run(
        [sys.executable, "-m", "stream_app.cli", *command],
        env={**os.environ, PREFIX + name: value},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (code, "")
    told(ran.stderr.strip())
    assert ran.stderr.startswith(f"fraudstream: {PREFIX}{name} = ")
