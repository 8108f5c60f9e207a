"""Why a broker could not be talked to: the cause of this time, not that of another broker before."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed

from stream_app.adapters.kafka import connecting
from stream_app.adapters.kafka.log import KafkaLog
from stream_app.errors import NoAccess, Unavailable


@pytest.fixture
def greeted() -> None:
    """A broker that let this process connect a moment ago."""
    connecting.keep_causes()
    connecting._last["10.0.0.1", 9092] = connecting._Attempt("10.0.0.1:9092", "PLAINTEXT", "", None, time.monotonic())


@pytest.mark.usefixtures("greeted")
def test_where_every_broker_greets_and_none_goes_on_a_login_is_missing() -> None:
    """As a listener does that asks for one."""
    told = connecting.why_not_connected(KafkaConnectionError("Unable to bootstrap from [('10.0.0.1', 9092, <AddressFamily.AF_UNSPEC: 0>)]"))
    assert isinstance(told, NoAccess)
    assert "10.0.0.1:9092 greets and then hangs up" in str(told)


@pytest.mark.usefixtures("greeted")
def test_where_a_connection_is_refused_brokers_are_away_whatever_greeted_before() -> None:
    """A cluster that goes down is not told to be one that asks for a login."""
    with pytest.raises(Unavailable, match=r"did not answer.*FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS") as told:
        asyncio.run(KafkaLog({"bootstrap_servers": "127.0.0.1:9"}, "g").bounds([("t", 0)]))
    assert type(told.value) is Unavailable


def test_what_another_broker_said_is_no_cause_of_this_one() -> None:
    """A process may have talked to a broker that speaks TLS; the one that it cannot reach now is another."""
    refused = KafkaConnectionError("broken")
    refused.__cause__ = SaslAuthenticationFailed("no such user")
    connecting._last["10.0.0.1", 9092] = connecting._Attempt("10.0.0.1:9092", "SASL_SSL", "PLAIN", refused, time.monotonic())
    with pytest.raises(Unavailable, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS") as told:
        asyncio.run(KafkaLog({"bootstrap_servers": "127.0.0.1:9"}, "g").bounds([("t", 0)]))
    assert "10.0.0.1" not in str(told.value)
