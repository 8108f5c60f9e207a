"""Starting servers that outlive their starter, finding them again, and ending them without touching anybody else's process.

A process is ours if and only if it carries the token of its server, 128 random bits, in its environment. Ids are recycled by
the kernel, tokens are not. Children inherit the token, so that a server's workers are found even when their parent is gone.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from stream_app.errors import Stop
from stream_app.local.packages import REMEDY
from stream_app.local.record import StartedProcess

try:
    import psutil
except ImportError:
    raise Stop(f"The local stack needs the Python package psutil, which is not installed; {REMEDY}") from None

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TOKEN = "FRAUDSTREAM_LOCAL_TOKEN"  # noqa: S105 - the name of a variable; the token protects nothing
STOP_S = 20.0
KILL_S = 5.0
EXEC_S = 1.0
POLL_S = 0.1
CLOCK_S = 2.0  # the start of a process is counted from the boot, which the kernel reports in wall time


def new_token() -> str:
    """A token that no process carries yet."""
    return secrets.token_hex(16)


def environment(token: str, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: ours without MLflow's variables, which would change its flags, plus `extra` and the token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW_"))}
    return {**kept, **extra, TOKEN: token}


def spawn(command: Sequence[str], folder: Path, log: Path, env: Mapping[str, str]) -> StartedProcess:
    """Start `command` in `folder` as the leader of a session of its own: it outlives us and our terminal; its output goes to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(  # noqa: S603 - our own command line
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    started = psutil.Process(child.pid)
    started_s = started.create_time()
    _await_environment(started)
    child.returncode = 0  # a server is meant to outlive its Popen, which would warn about that
    return StartedProcess(child.pid, started_s)


def _await_environment(process: psutil.Process) -> None:
    """Until the kernel shows the environment: for an instant after `exec` there is none, and the process would not be known as ours."""
    deadline_s = time.monotonic() + EXEC_S
    with suppress(psutil.Error):
        while process.status() != psutil.STATUS_ZOMBIE and not process.environ() and time.monotonic() < deadline_s:
            time.sleep(0.001)


def run(command: Sequence[str], folder: Path, log: Path, env: Mapping[str, str], timeout_s: float) -> bool:
    """Run a command to its end, output to `log`; whether it succeeded in time."""
    with log.open("ab") as output:
        try:
            done = subprocess.run(  # noqa: S603 - our own command line
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def alive(process: StartedProcess | None, token: str) -> bool:
    """Whether that very process still runs: same id, same start, same token."""
    if process is None:
        return False
    try:
        found = psutil.Process(process.pid)
        return abs(found.create_time() - process.started_s) < CLOCK_S and _token(found) == token
    except psutil.Error:
        return False


def ended_within(process: StartedProcess, token: str, timeout_s: float) -> bool:
    """Wait until the process ends, `timeout_s` at most; whether it did."""
    if not alive(process, token):
        return True
    try:
        psutil.Process(process.pid).wait(timeout_s)
    except psutil.TimeoutExpired:
        return False
    except psutil.NoSuchProcess:
        return True
    return True


def end(tokens: Sequence[str]) -> set[str]:
    """End every process that carries one of the tokens, and nothing else; return the tokens that any carried.

    1. ask all of them (SIGTERM) and wait `STOP_S`;
    2. kill those that remain, and what they started meanwhile.
    """
    asked = _carriers(tokens)
    for process in asked:
        with suppress(psutil.Error):  # gone meanwhile; psutil itself refuses a recycled id
            process.terminate()
    if _remaining(tokens, STOP_S):
        for process in _carriers(tokens):
            with suppress(psutil.Error):
                process.kill()
        if stuck := _remaining(tokens, KILL_S):
            raise Stop(
                f"Process {stuck[0].pid} of the local stack did not end within {KILL_S:.0f} s of SIGKILL; look at it with ps and repeat"
            )
    return set(asked.values())


def _remaining(tokens: Sequence[str], timeout_s: float) -> list[psutil.Process]:
    """Wait until no process carries a token; those that still do. A zombie does not: who reaps it, and when, is not our matter."""
    deadline_s = time.monotonic() + timeout_s
    while (left := list(_carriers(tokens))) and time.monotonic() < deadline_s:
        psutil.wait_procs(left, POLL_S)
    return left


def _carriers(tokens: Sequence[str]) -> dict[psutil.Process, str]:
    """The processes that carry one of the tokens, and which."""
    wanted = set(tokens)
    return {p: token for p in psutil.process_iter() if (token := _token(p)) in wanted} if wanted else {}


def _token(process: psutil.Process) -> str | None:
    """The token that a process carries; None for a process of others, and for one that ended."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else process.environ().get(TOKEN)
    except (psutil.Error, OSError):
        return None
