"""The Faust worker: `fraudstream worker`, or `faust -A stream_app.worker worker`.

Faust keeps the group, the assignment and the agent; the batch loop behind `Runtime` does the work and knows no Faust.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import faust
from faust.types import TP
from loguru import logger

from stream_app.adapters.faust.batches import FetchedBatch, use_batches
from stream_app.adapters.faust.options import PlainWorker, faust_options
from stream_app.bootstrap_worker import WorkerParts, build_worker
from stream_app.delivery.held_partitions import Seek
from stream_app.delivery.inbox import Fetched, KnownEnd
from stream_app.errors import FraudstreamError, Stop
from stream_app.features.warm import warm
from stream_app.messages.records import Place
from stream_app.operating.code_pages import LLVM, give_back
from stream_app.operating.garbage import spare_the_collector
from stream_app.operating.logs import set_up_logs
from stream_app.operating.watchdog import end_within
from stream_app.rules.warm import warm as warm_rules
from stream_app.settings import Settings, load_settings

STOP_WITHIN_S = 15.0
"""Less than supervisors wait before they kill: 30 s in Kubernetes."""


class FraudWorker(faust.App):  # type: ignore[misc]
    """A Faust app whose consumer hands record batches to the runtime."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(**faust_options(settings))
        self.settings = settings
        self.fatal: BaseException | None = None
        self.background: list[asyncio.Task[None]] = []
        use_batches(self, self)
        self.agent(self.topic(settings.transactions_topic, settings.labels_topic), name="score", sink=[])(self._score)
        self.on_partitions_revoked.connect(self._let_go)

    @cached_property
    def parts(self) -> WorkerParts:
        """Built inside the running loop, not at import."""
        return build_worker(self.settings, self._end, self._end_of, self._seek)

    def taker(self, topic: str, partition: int) -> Any:
        """See `batches.PartitionFlow`."""
        return self.parts.runtime.taker(topic, partition)

    def deliver(self, topic: str, fetched: FetchedBatch) -> None:
        """See `batches.PartitionFlow`."""
        taker, records, position, size, done = fetched
        self.parts.runtime.submit(topic, taker, Fetched(records, done, position, size))

    async def assign(self, assigned: set[Place], seek: Seek) -> Any:
        """See `batches.PartitionFlow`."""
        try:
            return await self.parts.runtime.assign(assigned, seek)
        except FraudstreamError as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else hears of it
            logger.opt(exception=error).error("Taking partitions over failed")
            self._end(Stop(f"Taking partitions over failed: {type(error).__name__}: {error}. Report this with the log above."))
        return {}  # nothing is held, so nothing is read until the worker has ended

    def failed(self, error: FraudstreamError) -> None:
        """See `batches.PartitionFlow`."""
        self._end(error)

    async def _score(self, stream: Any) -> None:
        """The agent that Faust subscribes to the topics for. Records come by `deliver`, past its stream."""
        async for _ in stream:
            self._end(Stop("Faust took a record through its stream, past the partitions. Install the versions of requirements.lock."))

    async def _let_go(self, _app: Any, _revoked: Any, **_: Any) -> None:
        await self.parts.runtime.revoke()

    async def on_start(self) -> None:
        """Connect before Faust joins the group."""
        try:
            await self._connect()
        except FraudstreamError as error:
            self._note(error)
            raise
        except Exception as error:
            stop = Stop(f"The worker could not start: {type(error).__name__}: {error}.")
            self._note(stop)
            raise stop from error

    async def _connect(self) -> None:
        settings, parts = self.settings, self.parts
        port = await parts.status.start(settings.metrics_host, settings.metrics_port)
        logger.info("Metrics, /livez and /readyz on http://{}:{}", settings.metrics_host, port)
        await asyncio.to_thread(warm)
        await asyncio.to_thread(warm_rules)
        await parts.publisher.start()
        await parts.runtime.start()
        self.background = [asyncio.create_task(run()) for run in parts.background]
        for task in self.background:
            task.add_done_callback(self._no_longer_beside)
        await parts.rules.begun()
        spare_the_collector()
        give_back(LLVM)

    def _no_longer_beside(self, task: asyncio.Task[None]) -> None:
        """What ends a reader beside the batches would end them too, once there is a model."""
        if not task.cancelled() and isinstance(error := task.exception(), Stop):
            self._end(error)

    async def stop(self) -> None:
        """Stop all services, within a bounded time."""
        end_within(STOP_WITHIN_S, lambda: self.exit_code(0))
        await super().stop()

    async def on_stop(self) -> None:
        """Let go of partitions and connections, where there are any."""
        if "parts" not in vars(self):
            return
        for task in self.background:
            task.cancel()
        await self.parts.runtime.stop()
        await self.parts.publisher.stop()
        await self.parts.status.stop()
        logger.info("Stopped.")

    def exit_code(self, code: Any) -> int:
        """The fatal error's code, or else the one Faust ends with."""
        if self.fatal is not None:
            return int(getattr(self.fatal, "exit_code", 1))
        return code if isinstance(code, int) else 1

    def _end_of(self, topic: str, partition: int) -> KnownEnd | None:
        at = TP(topic, partition)
        heard = self.consumer.readable_end(at) if at in self.consumer.assignment() else None
        return None if heard is None else KnownEnd(*heard)

    async def _seek(self, positions: Mapping[Place, int]) -> None:
        await self.consumer.seek_to(positions)

    def _end(self, error: BaseException) -> None:
        """A fatal error: one line, a clean stop, and the error's exit code.

        The stop is the one an operator asks for. Faust's `crash` ends its consumer's thread on its own, beside the stop, which then fails at the
        thread's closed loop and leaves the rest unstopped.
        """
        if self._note(error):
            signal.raise_signal(signal.SIGTERM)

    def _note(self, error: BaseException) -> bool:
        """Keep and log the first fatal error; whether this is it."""
        if self.fatal is not None:
            return False
        self.fatal = error
        logger.error("{}", error)
        return True


def create_app() -> FraudWorker:
    """The Faust app, from the settings."""
    settings = load_settings()
    set_up_logs(settings.log_level, settings.log_format)
    return FraudWorker(settings)


def run() -> int:
    """Run a worker until it is told to stop; the exit code."""
    app = create_app()
    worker = PlainWorker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True)
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        return app.exit_code(end.code)
    return app.exit_code(0)


def __getattr__(name: str) -> Any:
    """`faust -A stream_app.worker` looks for `app`: made when asked for, so that importing this module connects to nothing."""
    if name == "app":
        try:
            app = create_app()
        except FraudstreamError as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(getattr(error, "exit_code", 1))
        globals()["app"] = app
        return app
    raise AttributeError(name)


__all__ = ["FraudWorker", "create_app", "run"]
