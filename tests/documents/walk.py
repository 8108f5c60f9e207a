"""`make docs` walks every page: its commands in order, as they stand there, in a folder like a clone's, on real servers.

Not collected by `make test`, which has no time for it; `tests/unit/project/test_documents.py` sees to it that each command is walked or says why not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stream_app.local.stack import free_ports
from tests.conftest import ROOT
from tests.documents.lasting import lasting
from tests.documents.pages import Step, steps, walked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Servers

PAGES = [page for page in (ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))) if walked(page)]
TOPICS = ("TRANSACTIONS", "LABELS", "ALERTS", "TRANSACTIONS_DLQ", "LABELS_DLQ")
DEADLINE_S = 300.0
"""The kernels are compiled anew in a clone, by a worker that an alert waits for."""
BLOCK_S = 420.0

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of the project, those that are not committed yet too, as a repository of its own, with the packages of this one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if ROOT.joinpath(name).is_file():
            tmp_path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    _set_up(tmp_path)
    return tmp_path


def _set_up(clone: Path) -> None:
    """What `make install` leaves, without a package of this environment touched: a set-up of the clone finds itself done."""
    clone.joinpath(".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".ready":
            clone.joinpath(".venv", part.name).symlink_to(part)
    locked = clone.joinpath("pyproject.toml").read_bytes() + clone.joinpath("requirements.lock").read_bytes()
    sums = subprocess.run(["cksum"], input=locked, capture_output=True, check=True).stdout.decode().strip()
    clone.joinpath(".venv", ".ready").write_text(f"{clone} {sums}\n")


@pytest.fixture
def environment(stack: Servers, unique: str, clone: Path) -> dict[str, str]:
    """A reader's shell: topics, a group and a model that no other page has; the clone's code before the installed one."""
    ports = dict(zip(("METRICS_PORT", "API_PORT"), free_ports(2), strict=True))
    return {
        **{n: v for n, v in os.environ.items() if n in {"PATH", "HOME", "LANG", "XDG_CACHE_HOME", "TMPDIR"}},
        **stack.environment,
        **{f"FRAUDSTREAM_{name}_TOPIC": f"{name.lower().replace('_', '-')}-{unique}" for name in TOPICS},
        **{f"FRAUDSTREAM_{name}": str(port) for name, port in ports.items()},
        "FRAUDSTREAM_CONSUMER_GROUP": f"docs-{unique}",
        "FRAUDSTREAM_MODEL_NAME": f"docs-{unique}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(clone),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_does_what_it_says(page: Path, environment: dict[str, str], clone: Path) -> None:
    """One after the other; what lasts is ended when the page is."""
    awaited: list[tuple[Step, Path]] = []
    with ExitStack() as running:
        for number, step in enumerate(s for s in steps(page.read_text()) if not s.not_run):
            log = clone.parent / f"{clone.name}.{number}.log"
            if step.lasts:
                running.enter_context(_beside(step, clone, environment, log))
                awaited.append((step, log))
                continue
            _shows(step, _run(step, clone, environment, log))
        for step, log in awaited:
            _await(step, log)


def _shell(step: Step) -> list[str]:
    lead = {"python": ["python", "-c", step.text], "diff": ["git", "apply", "-"]}.get(step.language)
    return lead or ["bash", "-euc", step.text]


def _with_programs(environment: dict[str, str], clone: Path) -> dict[str, str]:
    """After `. .venv/bin/activate`."""
    return environment | {"PATH": f"{clone / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"}


def _run(step: Step, clone: Path, environment: dict[str, str], log: Path) -> str:
    """Run a block until it ends, again while it does not show yet what it should: alerts come when they come."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with log.open("w") as output:
            done = subprocess.run(
                _shell(step),
                cwd=clone,
                env=_with_programs(environment, clone),
                input=step.text if step.language == "diff" else None,
                stdout=output,
                stderr=output,
                text=True,
                check=False,
                timeout=BLOCK_S,
            )
        said = log.read_text(errors="replace")
        assert done.returncode == 0, f"{step.text}\n{said}"
        if not step.shows or re.search(step.shows, said) or time.monotonic() > deadline:
            return said
        time.sleep(0.5)


def _shows(step: Step, said: str) -> None:
    assert re.search(step.shows, said), f"{step.text} does not show {step.shows!r}:\n{said}"


def _await(step: Step, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not re.search(step.shows, log.read_text(errors="replace")) and time.monotonic() < deadline:
        time.sleep(0.1)
    _shows(step, log.read_text(errors="replace"))


@contextmanager
def _beside(step: Step, clone: Path, environment: dict[str, str], log: Path) -> Iterator[None]:
    """A block of one command that lasts; it must live until the end of the page, and end well."""
    with lasting(f"exec {step.text}", clone, _with_programs(environment, clone), log) as process:
        yield
        assert process.poll() is None, f"{step.text} ended by itself:\n{log.read_text()}"
    assert process.returncode == 0, f"{step.text} ended with {process.returncode}:\n{log.read_text()}"
