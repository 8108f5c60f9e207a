"""Settings → what every aiokafka client needs to reach the brokers."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from stream_app.adapters.kafka.connecting import keep_causes
from stream_app.errors import SettingsError

if TYPE_CHECKING:
    from stream_app.settings import Settings


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for AIOKafkaConsumer, AIOKafkaProducer and AIOKafkaAdminClient alike; why they cannot connect is kept from now on.

    Raises:
        SettingsError: a certificate cannot be read, or SASL has no user; one line that names the setting.
    """
    keep_causes()
    protocol = settings.kafka_security_protocol
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap_servers, "security_protocol": protocol}
    if protocol in {"SSL", "SASL_SSL"}:
        options["ssl_context"] = _ssl_context(settings)
    if protocol.startswith("SASL_"):
        if not settings.kafka_sasl_username:
            name = "FRAUDSTREAM_KAFKA_SASL_USERNAME"
            raise SettingsError(f"{name} is empty; {protocol} needs a user. Example: {name}=fraudstream")
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    cafile, certfile, keyfile = settings.kafka_ssl_cafile, settings.kafka_ssl_certfile, settings.kafka_ssl_keyfile
    try:
        context = ssl.create_default_context(cafile=cafile or None)
    except OSError as error:
        raise SettingsError(f"FRAUDSTREAM_KAFKA_SSL_CAFILE = {cafile!r} is wrong: {error}. Give CA certificates in PEM.") from None
    if certfile:
        try:
            context.load_cert_chain(certfile, keyfile or None)
        except OSError as error:
            wrong = f"FRAUDSTREAM_KAFKA_SSL_CERTFILE = {certfile!r} (key {keyfile!r}) is wrong: {error}"
            raise SettingsError(f"{wrong}. Give the client's certificate and its key in PEM, without a passphrase.") from None
    elif keyfile:
        raise SettingsError("FRAUDSTREAM_KAFKA_SSL_KEYFILE is set without FRAUDSTREAM_KAFKA_SSL_CERTFILE. Set both, or neither.")
    return context
