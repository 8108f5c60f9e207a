"""The local stack: one `LocalStack` is one folder, `.fraudstream/`, with its servers, their data, logs and record."""

from __future__ import annotations

import random
import shutil
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from stream_app.errors import Stop, Unavailable
from stream_app.local import processes, record
from stream_app.local.servers import HOST, SERVERS, Server, last_lines
from stream_app.messages.addresses import without_password
from stream_app.settings import PREFIX, in_environment, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from stream_app.local.jars import OnDownload
    from stream_app.local.record import Service

START_S = 120.0
POLL_S = 0.1
PORTS = range(20_000, 32_000)  # below the range from which the kernel gives ports to outgoing connections

type State = Literal["running", "stopped", "external", "broken"]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers answer, as the settings take it; empty: not asked for."""

    kafka: str = ""
    redis: str = ""
    mlflow: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One server now. `broken`: it should answer and does not."""

    service: str
    state: State
    address: str = ""
    pid: int | None = None
    uptime_s: float | None = None
    log: Path | None = None


class LocalStack:
    """The servers of one folder. Safe to use from several processes at once; they take turns.

    Args:
        home: folder of the stack; made by `up`.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self._record = record.StackRecord()

    def up(self, services: Sequence[str] = tuple(SERVERS), on_progress: OnDownload | None = None) -> Addresses:
        """Make the servers run and answer; those that do already are left alone.

        1. check the servers that the settings name: they are used, not started;
        2. end what a killed or failed start left;
        3. start what is missing, all at once, and wait until each answers;
        4. write `local.env`, which the settings read.

        Args:
            services: which ones: "kafka", "redis", "mlflow".
            on_progress: called with bytes done and in total while Kafka is downloaded, the first time.

        Raises:
            Unavailable: a server named by the settings, or Maven Central, does not answer.
            Stop: a server ended while starting, or a package is missing.
        """
        chosen = [_server(name) for name in services]
        found = {s.name: _external(s) for s in chosen if in_environment(s.setting)}
        self.home.mkdir(parents=True, exist_ok=True)
        with record.locked(self._lock):
            self._record = record.load(self._path)
            self._end(
                [name for name, service in self._record.services.items() if service.token and not self._stands(name, service, services)]
            )
            missing = [s for s in chosen if s.name not in found and not self._service(s.name).ready]
            try:
                self._start(missing, on_progress)
            except BaseException:
                self._end([s.name for s in missing])
                raise
            self._write_env(found)
            ours = {s.name: s.address(self._service(s.name).ports) for s in chosen if s.name not in found}
        return Addresses(**found, **ours)

    def down(self) -> tuple[str, ...]:
        """Stop the servers and keep their data; return the names of those that were running. Servers of others are not touched."""
        if not self.home.is_dir():
            return ()
        with record.locked(self._lock):
            return self._down()

    def reset(self) -> tuple[str, ...]:
        """Stop the servers and delete their data, logs and record; return the names of those that were running."""
        if not self.home.is_dir():
            return ()
        with record.locked(self._lock):
            stopped = self._down()
            for folder in (*SERVERS, "logs"):
                shutil.rmtree(self.home / folder, ignore_errors=True)
            self._path.unlink(missing_ok=True)
        return stopped

    def marked(self) -> dict[str, str]:
        """What the environment of a process holds that is to end with these servers, by whoever stops them. Read when they run."""
        return {processes.TOKEN: next(s.token for s in record.load(self._path).services.values() if s.token)}

    def status(self) -> tuple[Status, ...]:
        """The state of each server now. Reads only."""
        services = record.load(self._path).services
        return tuple(self._status(server, services.get(name)) for name, server in SERVERS.items())

    def _status(self, server: Server, service: Service | None) -> Status:
        if in_environment(server.setting):
            settings = load_settings()
            state: State = "external" if server.external_answers(settings) else "broken"
            return Status(server.name, state, without_password(getattr(settings, server.setting)))
        if service is None or not service.token:
            return Status(server.name, "stopped", log=self._log(server.name) if self._log(server.name).exists() else None)
        process = service.process
        address, log = server.address(service.ports), self._log(server.name)
        if process is None or not processes.alive(process, service.token):
            return Status(server.name, "broken", address, log=log)
        answers = service.ready and server.answers(service.ports)
        return Status(server.name, "running" if answers else "broken", address, process.pid, time.time() - process.started_s, log)

    def _start(self, servers: Sequence[Server], on_progress: OnDownload | None) -> None:
        # Kafka last: the others start while its jars are fetched and its storage is formatted.
        for server in sorted(servers, key=lambda s: s.name == "kafka"):
            self._spawn(server, on_progress)
        deadline_s = time.monotonic() + START_S
        for server in servers:
            self._await(server, deadline_s)
            self._put(server.name, replace(self._service(server.name), ready=True))

    def _spawn(self, server: Server, on_progress: OnDownload | None) -> None:
        """Start one server: recorded with its token first, so that it is found whenever we are killed."""
        folder, log, token = self.home / server.name, self._log(server.name), processes.new_token()
        folder.mkdir(exist_ok=True)
        log.parent.mkdir(exist_ok=True)
        taken = [port for service in self._record.services.values() for port in service.ports]
        service = record.Service(free_ports(server.port_count, self._service(server.name).ports, taken), token)
        self._put(server.name, service)
        launch = server.launch(folder, service.ports, log, token, on_progress)
        process = processes.spawn(launch.command, folder, log, processes.environment(token, launch.extra))
        self._put(server.name, replace(service, process=process))

    def _await(self, server: Server, deadline_s: float) -> None:
        service, log = self._service(server.name), self._log(server.name)
        while not (processes.alive(service.process, service.token) and server.answers(service.ports)):
            if service.process is None or processes.ended_within(service.process, service.token, POLL_S):
                raise Stop(f"{server.name} ended while starting; its log, {log}, ends with:\n{last_lines(log)}")
            if time.monotonic() > deadline_s:
                raise Unavailable(f"{server.name} did not answer within {START_S:.0f} s; its log, {log}, ends with:\n{last_lines(log)}")

    def _stands(self, name: str, service: Service, asked_for: Sequence[str]) -> bool:
        """Whether a recorded server is left alone: it came up and lives, and answers where it is asked for."""
        lives = service.ready and processes.alive(service.process, service.token)
        return lives and (name not in asked_for or SERVERS[name].answers(service.ports))

    def _down(self) -> tuple[str, ...]:
        self._record = record.load(self._path)
        (self.home / "local.env").unlink(missing_ok=True)
        return self._end([name for name, service in self._record.services.items() if service.token])

    def _end(self, names: Iterable[str]) -> tuple[str, ...]:
        """End the processes of these services and remember only their ports; the names of those that had any."""
        tokens = {name: token for name in names if (token := self._service(name).token)}
        ended = processes.end(tuple(tokens.values()))
        for name in tokens:
            self._put(name, record.Service(self._service(name).ports))
        return tuple(name for name, token in tokens.items() if token in ended)

    def _write_env(self, found: dict[str, str]) -> None:
        lines = [
            f"{PREFIX}{server.setting.upper()}={server.address(service.ports)}\n"
            for name, server in SERVERS.items()
            if name not in found and (service := self._service(name)).ready
        ]
        fresh = self.home / "local.env.new"
        fresh.write_text("".join(["# Written by `fraudstream local up`, removed by `fraudstream local down`.\n", *lines]))
        fresh.replace(self.home / "local.env")

    def _service(self, name: str) -> Service:
        return self._record.services.get(name, record.Service(()))

    def _put(self, name: str, service: Service) -> None:
        self._record = record.StackRecord({**self._record.services, name: service})
        record.save(self._path, self._record)

    @property
    def _path(self) -> Path:
        return self.home / "stack.json"

    @property
    def _lock(self) -> Path:
        return self.home / "stack.lock"

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"


def _server(name: str) -> Server:
    if name not in SERVERS:
        raise Stop(f"{name!r} is no server of the local stack; choose from {', '.join(SERVERS)}")
    return SERVERS[name]


def _external(server: Server) -> str:
    """The address that the settings name, once it answers."""
    settings = load_settings()
    address = str(getattr(settings, server.setting))
    if not server.external_answers(settings):
        variable = f"{PREFIX}{server.setting.upper()}"
        raise Unavailable(
            f"{variable} names {without_password(address)}, which does not answer; start it, or unset {variable} to have one started"
        )
    return address


def free_ports(count: int, remembered: Sequence[int] = (), taken: Iterable[int] = ()) -> tuple[int, ...]:
    """Ports nobody listens on, and no outgoing connection will be given: the remembered ones where possible, none of those taken."""
    kept = [port for port in remembered if _is_free(port)]
    avoid = {*taken}
    while len(kept) < count:
        port = random.choice(PORTS)  # noqa: S311 - not a secret
        if port not in avoid and port not in kept and _is_free(port):
            kept.append(port)
    return tuple(kept[:count])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: connections that linger are no obstacle
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
