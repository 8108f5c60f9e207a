"""`scripts/setup`, in a copy of the clone: only what needs no network."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

WAITING = "setup: another set-up runs in this folder: waiting for its end\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the script reads, and a Python where it puts one."""
    for name in ("scripts/setup", "pyproject.toml", "requirements.lock"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, target)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / ".tools").mkdir()
    return tmp_path


@pytest.mark.skipif(shutil.which("flock") is None, reason="the set-up takes turns where there is flock (util-linux)")
def test_a_second_set_up_of_a_folder_waits_for_the_first(clone: Path) -> None:
    """`make demo` twice in a fresh clone: the second installs nothing over the first, and goes on when that is ready."""
    locked = (clone / "pyproject.toml").read_bytes() + (clone / "requirements.lock").read_bytes()
    sums = subprocess.run(["/usr/bin/env", "cksum"], input=locked, capture_output=True, check=True).stdout.decode()
    with (clone / ".tools" / "setup.lock").open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with subprocess.Popen([clone / "scripts" / "setup"], stdout=subprocess.PIPE, text=True) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == WAITING
            (clone / ".venv" / ".ready").write_text(f"{clone} {sums}")
            fcntl.flock(first, fcntl.LOCK_UN)
            assert second.wait(30) == 0
            assert second.stdout.read() == ""
