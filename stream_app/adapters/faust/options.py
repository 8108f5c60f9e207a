"""Settings → options of the Faust app."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import faust
from faust.types.auth import SASLMechanism

from stream_app.adapters.kafka.options import client_options
from stream_app.operating.logs import LIBRARY_LOGS
from stream_app.settings import Settings

SESSION_TIMEOUT_S = 8.0
"""A killed worker is missed after this long."""
_PREFETCH_BYTES = 1_048_576


class PlainWorker(faust.Worker):  # type: ignore[misc]
    """Faust's worker without its spinner, whose escape codes stand in logs too, terminal or not, and with the exit code of a fatal error."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.spinner = None

    def execute_from_commandline(self) -> None:
        """Run until told to stop, then raise `SystemExit` with the app's exit code."""
        try:
            super().execute_from_commandline()
        except SystemExit as end:
            raise SystemExit(self.app.exit_code(end.code)) from None


def faust_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments for `faust.App`. No tables, no web server, no changelogs: state is ours."""
    brokers = ";".join(f"kafka://{b}" for b in settings.kafka_bootstrap_servers.split(","))
    return {
        "id": settings.consumer_group,
        "Worker": PlainWorker,
        "broker": brokers,
        "broker_credentials": _credentials(settings),
        "broker_session_timeout": SESSION_TIMEOUT_S,
        "broker_heartbeat_interval": SESSION_TIMEOUT_S / 4,
        "broker_commit_interval": 1.0,
        "broker_max_poll_records": settings.batch_max_records,
        "consumer_max_fetch_size": _PREFETCH_BYTES,
        "consumer_auto_offset_reset": "earliest",
        "stream_wait_empty": False,
        "stream_recovery_delay": 0.0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "store": "memory://",
        "datadir": str(Path(tempfile.gettempdir()) / f"faust-{settings.consumer_group}"),  # Faust wants one; it stays empty
        "logging_config": dict(LIBRARY_LOGS),
    }


def _credentials(settings: Settings) -> Any:
    options = client_options(settings)
    context = options.get("ssl_context")
    if "sasl_mechanism" in options:
        return faust.SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=SASLMechanism(options["sasl_mechanism"]),
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context is not None else None
