"""The programs that the ship checks ask, as `scripts/ship/tools` makes them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT

HOME = ROOT / ".tools" / "ship"


def tool(name: str) -> str:
    """The program's path; the test is skipped where it could not be had."""
    for path in (HOME / "bin" / name, HOME / "venv" / "bin" / name):
        if path.exists():
            return str(path)
    pytest.skip(f"{name} is not there: scripts/ship/tools says why")


def run(command: list[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code."""
    return subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False)


def passes(command: list[str], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> str:
    """Run a program that has to find nothing wrong; what it printed."""
    ended = run(command, cwd=cwd, env=env)
    assert ended.returncode == 0, f"{' '.join(command[:3])} … ended with {ended.returncode}:\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}"
    return ended.stdout
