"""A stack of its own for each test.

Every folder has a space in its name, as people's folders do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from stream_app.local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's, and a current directory with a space in it."""
    for name in [n for n in os.environ if n.startswith("FRAUDSTREAM_")]:
        monkeypatch.delenv(name)
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack of its own in the current directory, stopped afterwards."""
    stack = LocalStack(tmp_path / "a folder" / ".fraudstream")
    yield stack
    stack.down()


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LocalStack]:
    """A second stack on the same machine."""
    stack = LocalStack(tmp_path / "another folder")
    yield stack
    stack.down()


@pytest.fixture
def bystander() -> Iterator[psutil.Process]:
    """A process that has nothing to do with the stack."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield psutil.Process(process.pid)
        process.kill()
