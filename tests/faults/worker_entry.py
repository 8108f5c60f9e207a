"""The real worker in a process of its own, with the points of `points` and, for a negative control, a part taken out.

It imports, compiles, and waits for a line on stdin: then it starts. It ends with whoever started it: at the end of stdin.

    FAULTS_HOME     folder for the files of this worker
    FAULTS_WORKER   its name: client id in Kafka, header of all it publishes, name of its files
    FAULTS_CONTROL  one of `controls.CONTROLS`, or empty
    FAULTS_CLOCK_S  how far its clock is ahead, seconds; 0: as this machine's
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tests.faults.clock  # noqa: F401 - before everything that may keep the clock by another name
from stream_app import worker
from stream_app.features.warm import warm
from tests.faults import controls, points

MOST_DATA_BYTES = 2**30
"""What a worker may map for itself: the 768 MB that the chart grants, and what is mapped and never touched (stacks, pools of threads)."""


def main() -> int:
    """Be a worker; its exit code."""
    home, name, control = Path(os.environ["FAULTS_HOME"]), os.environ["FAULTS_WORKER"], os.environ.get("FAULTS_CONTROL")
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    passed = points.Points(home / f"{name}.arm", home / f"{name}.reached")
    if control:
        controls.install(control, passed)
    points.install(passed, name)

    def named(original: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
        return lambda settings: {**original(settings), "broker_client_id": name}

    points.replace(worker, "faust_options", named)
    warm()
    if not sys.stdin.readline():
        return 0
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return worker.run()


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
