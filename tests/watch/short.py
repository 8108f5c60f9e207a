"""A short form of `make watch-check`: the dashboards' and rules' queries over real workers, and one fault with its alarms."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_app.local.prometheus import PROGRAM

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason="Prometheus is not installed: apt-get install prometheus")
def test_every_query_has_data_and_workers_that_are_gone_are_told() -> None:
    """No fault is made for the queries; alarms that fire then are left to the long form: a busy machine may really break a service level."""
    asked = subprocess.run(
        [sys.executable, "-m", "tests.watch.run"],
        cwd=ROOT,
        env={**os.environ, "WATCH_ONLY": "quiet,workers-gone"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.stdout, asked.stderr
    told: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1])
    assert told["queries"] > 100
    assert (told["without_data"], told["alarms"], told["alarms_fired"]) == (0, 2, 2), asked.stdout
