"""`fraudstream api`: connects, listens, and lets go again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from errno import EADDRINUSE
from functools import partial
from pathlib import Path

import uvicorn
from loguru import logger
from uvicorn.supervisors import Multiprocess

from stream_app.api.app import ApiParts, create_app
from stream_app.api.connections import Connection
from stream_app.api.keys import read_keys
from stream_app.api.limits import App, Limits
from stream_app.api.probes import Probes
from stream_app.api.processes import SharedMetrics
from stream_app.bootstrap import SystemClock
from stream_app.bootstrap_api import ApiBackground, build_api
from stream_app.bootstrap_inputs import intake_rules
from stream_app.errors import SettingsError
from stream_app.features.warm import warm
from stream_app.operating.code_pages import LLVM, give_back
from stream_app.operating.garbage import spare_the_collector
from stream_app.operating.logs import set_up_logs
from stream_app.rules.warm import warm as warm_rules
from stream_app.settings import Settings, load_settings

STOP_WITHIN_S = 10
KEEP_ALIVE_S = 30
HANGS_AFTER_S = 30
"""A process that has not answered its supervisor for so long is ended and started anew: kernels may be compiled meanwhile."""


def run() -> None:
    """Serve until told to stop (SIGTERM, Ctrl-C); requests under way are answered."""
    settings = load_settings()
    set_up_logs(settings.log_level, settings.log_format)
    app = application()  # whatever is wrong with the settings ends the program here, however many processes there are
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    asked = "keys are asked for" if settings.api_keys_file else "no keys are asked for"
    logger.info("API on http://{}:{}, {}", host, port, asked)
    if settings.api_processes == 1:
        server = uvicorn.Server(server_config(app))
        stop_when_told(server)
        server.run(sockets=[listener])
        return
    del app
    settings.model_cache.mkdir(parents=True, exist_ok=True)  # the one folder that a process may write to wherever it runs
    with tempfile.TemporaryDirectory(prefix="api-", dir=settings.model_cache) as folder:
        config = server_config(partial(application, Path(folder)), processes=settings.api_processes)
        Multiprocess(config, [listener]).run()


def application(shared: Path | None = None) -> Limits:
    """The application by the settings of this process.

    Args:
        shared: folder of the processes that serve beside this one, see `processes`.
    """
    settings = load_settings()
    set_up_logs(settings.log_level, settings.log_format)
    keys = read_keys(settings.api_keys_file, settings.api_host)
    built = build_api(settings)
    background, render = built.background, built.metrics.render
    if shared is not None:
        metrics = SharedMetrics(shared, settings.api_processes, render)
        background, render = replace(background, run=(*background.run, metrics.keep, metrics.end_with_supervisor)), metrics.render
    probes = Probes(built.not_ready, render)
    parts = ApiParts(
        built.online, built.labels, built.desk, keys, intake_rules(settings), SystemClock(), settings.api_max_batch, probes, built.answered
    )
    app = create_app(parts, lambda _: _life(background))
    return Limits(app, settings.api_max_body_bytes, settings.api_timeout_s, built.metrics.request)


def server_config(app: App | Callable[[], App], processes: int = 1) -> uvicorn.Config:
    """How uvicorn serves an application: its connections bounded, nothing logged of a request, no WebSockets.

    Args:
        app: the application; of several processes what makes it in each.
        processes: that answer on the port.
    """
    return uvicorn.Config(
        app,
        factory=processes > 1,
        workers=processes,
        timeout_worker_healthcheck=HANGS_AFTER_S,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )


def stop_when_told(server: uvicorn.Server) -> None:
    """Have SIGTERM and Ctrl-C stop it from now on: by itself it hears them only once its loop runs.

    When it has stopped it raises them again; stopping as told is no failure, so that changes nothing then.
    """

    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


@contextlib.asynccontextmanager
async def _life(background: ApiBackground) -> AsyncIterator[None]:
    """Compile the kernels, follow model, rules and lists, watch Redis and Kafka; at the end let go of all connections."""
    await asyncio.to_thread(warm)
    await asyncio.to_thread(warm_rules)
    spare_the_collector()
    give_back(LLVM)
    beside = [asyncio.create_task(run()) for run in background.run]
    try:
        yield
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await background.close()
        logger.info("Stopped.")


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio turns Nagle's delay off only where this is said
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.api_host, settings.api_port))
    except (OSError, ValueError, TypeError) as error:  # of a name that is none: UnicodeError or TypeError
        listener.close()
        if getattr(error, "errno", None) == EADDRINUSE:
            raise SettingsError(
                f"FRAUDSTREAM_API_PORT = {settings.api_port} is taken by another process. Set another port, or 0 for a free one."
            ) from None
        raise SettingsError(
            f"FRAUDSTREAM_API_HOST = {settings.api_host!r} cannot be listened on: {getattr(error, 'strerror', None) or error}. Example: 127.0.0.1"
        ) from None
    listener.listen(1024)
    return listener
