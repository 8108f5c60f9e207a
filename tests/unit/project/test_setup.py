"""`scripts/setup`, in a copy of the clone: only what needs no network."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.waiting import DEADLINE_S

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
            assert second.wait(DEADLINE_S) == 0
            assert second.stdout.read() == ""


UV = """#!/bin/sh
[ "$1" = --version ] && exit 0
[ "$1" = venv ] && mkdir -p .venv/bin && shift 4 && ln -sf "$1" .venv/bin/python && exit 0
[ "$1" = pip ] && exit 0
exit 1
"""
"""Makes an environment and installs nothing; it knows of no Python and can download none."""
TOOLS = ("sh", "cat", "cksum", "dirname", "flock", "grep", "ln", "mkdir", "rm")


def set_up(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script on a machine whose PATH has a uv, and a python3 of another version."""
    programs = clone / "programs"
    programs.mkdir()
    for name in TOOLS:
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    for name, text in (("uv", UV), ("python3", "#!/bin/sh\nexit 1\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    shutil.rmtree(clone / ".venv")
    given = {"PATH": str(programs), "HOME": str(clone), **environment}
    return subprocess.run([clone / "scripts" / "setup"], env=given, capture_output=True, text=True, check=False)


def test_a_python_of_pyenv_is_found_where_the_default_is_another(clone: Path) -> None:
    """No download is tried: the one on this machine goes into `.venv`."""
    there = clone / ".pyenv" / "versions" / "3.12.99" / "bin" / "python"
    there.parent.mkdir(parents=True)
    there.symlink_to(sys.executable)
    ran = set_up(clone)
    assert ran.returncode == 0, ran.stderr
    assert "downloading" not in ran.stdout
    assert (clone / ".venv" / "bin" / "python").resolve() == Path(sys.executable).resolve()
    assert (clone / ".venv" / ".ready").exists()


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({}, "Python 3.12 is missing and could not be downloaded. Install it (apt-get install python3.12-venv"),
        ({"PYTHON": "/nowhere/python"}, "PYTHON=/nowhere/python is not a Python 3.12 with ssl and sqlite3. Name another, or leave it out."),
    ],
)
def test_what_is_missing_is_told_with_its_remedy(clone: Path, environment: dict[str, str], says: str) -> None:
    """Where no Python 3.12 is there or can be had, or the one that is named is none."""
    ran = set_up(clone, **environment)
    assert ran.returncode == 1
    assert says in ran.stderr
    assert not (clone / ".venv" / ".ready").exists()
