"""What Kafka's clients are given: no more than is needed, and what cannot connect is named before anything does."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.adapters.kafka.options import client_options
from stream_app.errors import SettingsError
from stream_app.settings import load_settings


def test_client_options_follow_the_security_protocol() -> None:
    """Nothing secret where nothing is needed; SASL and TLS where they are."""
    assert client_options(load_settings(kafka_bootstrap_servers="k:1")) == {"bootstrap_servers": "k:1", "security_protocol": "PLAINTEXT"}
    sasl = client_options(load_settings(kafka_security_protocol="SASL_SSL", kafka_sasl_username="u", kafka_sasl_password="p"))  # noqa: S106 - no secret
    assert (sasl["sasl_mechanism"], sasl["sasl_plain_username"], sasl["sasl_plain_password"]) == ("SCRAM-SHA-512", "u", "p")
    assert sasl["ssl_context"].check_hostname


@pytest.mark.parametrize(
    ("given_", "names"),
    [
        ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "KAFKA_SASL_USERNAME"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_cafile": "/none.pem"}, "KAFKA_SSL_CAFILE"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_certfile": "/none.pem"}, "KAFKA_SSL_CERTFILE"),
        ({"kafka_security_protocol": "SSL", "kafka_ssl_keyfile": "/none.key"}, "KAFKA_SSL_KEYFILE"),
    ],
)
def test_settings_that_cannot_connect_are_named(given_: dict[str, str], names: str) -> None:
    """One line, before anything connects."""
    with pytest.raises(SettingsError, match=f"FRAUDSTREAM_{names}"):
        client_options(load_settings(**given_))


def test_a_damaged_ca_file_is_named(tmp_path: Path) -> None:
    """Not a traceback of OpenSSL."""
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(SettingsError, match=r"ca\.pem"):
        client_options(load_settings(kafka_security_protocol="SSL", kafka_ssl_cafile=str(tmp_path / "ca.pem")))
