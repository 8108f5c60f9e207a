"""The README's commands, each one as it stands there, on real servers. `make demo` and `make test` contain this test: they are left out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from stream_app.local.stack import free_ports
from tests.conftest import ROOT
from tests.documents.lasting import lasting
from tests.waiting import until

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.servers import Servers

BLOCKS = re.findall(r"^```sh\n(.*?)^```$", ROOT.joinpath("README.md").read_text(), re.MULTILINE | re.DOTALL)
CONTAIN_THIS = ["make demo\nmake test\n"]
LASTING = {"fraudstream worker\n", "fraudstream alerts --follow\n", "python examples/consume_alerts.py\n"}

BLOCK_S = 300.0

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def environment(stack: Servers, unique: str, tmp_path: Path) -> dict[str, str]:
    """A user's shell in a folder with what the README's commands find in a clone; topics and names that no other test has."""
    tmp_path.joinpath(".venv").symlink_to(sys.prefix)
    for name in (".env.example", "examples"):
        tmp_path.joinpath(name).symlink_to(ROOT / name)
    topics = {
        name: f"{name.lower().replace('_', '-')}-{unique}"
        for name in ("TRANSACTIONS", "LABELS", "ALERTS", "TRANSACTIONS_DLQ", "LABELS_DLQ")
    }
    return {
        **{n: v for n, v in os.environ.items() if n in {"PATH", "HOME", "LANG", "XDG_CACHE_HOME", "TMPDIR"}},
        **stack.environment,
        **{f"FRAUDSTREAM_{name}_TOPIC": topic for name, topic in topics.items()},
        "FRAUDSTREAM_CONSUMER_GROUP": f"readme-{unique}",
        "FRAUDSTREAM_MODEL_NAME": f"readme-{unique}",
        "FRAUDSTREAM_METRICS_PORT": str(free_ports(1)[0]),
        "ALERTS_GROUP": f"readme-alerts-{unique}",
        "PYTHONUNBUFFERED": "1",
    }


def _lasting(block: str, folder: Path, environment: dict[str, str], log: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The command of a block that runs until it is told to stop."""
    return lasting(f". .venv/bin/activate\nexec {block}", folder, environment, log)


def _run(block: str, folder: Path, environment: dict[str, str]) -> str:
    script = block if "activate" in block else f". .venv/bin/activate\n{block}"
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=BLOCK_S
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_every_command_of_the_readme_does_what_it_says(environment: dict[str, str], tmp_path: Path) -> None:
    """In the README's order; worker and readers run beside the others, until alerts have come out at the other end."""
    blocks = [b for b in BLOCKS if b not in CONTAIN_THIS]
    once = [b for b in blocks if b not in LASTING]
    assert set(blocks) - set(once) == LASTING
    assert once[-1].startswith("fraudstream produce")
    for block in once[:-1]:
        _run(block, tmp_path, environment)
    assert tmp_path.joinpath(".env").exists()

    logs = {block: tmp_path / f"{number}.log" for number, block in enumerate(sorted(LASTING))}

    ready = f"http://127.0.0.1:{environment['FRAUDSTREAM_METRICS_PORT']}/readyz"
    with (
        _lasting("fraudstream worker\n", tmp_path, environment, logs["fraudstream worker\n"]) as worker,
        _lasting("fraudstream alerts --follow\n", tmp_path, environment, logs["fraudstream alerts --follow\n"]),
        _lasting("python examples/consume_alerts.py\n", tmp_path, environment, logs["python examples/consume_alerts.py\n"]),
    ):
        until(lambda: worker.poll() is not None or _is_ready(ready), "the worker is ready")
        assert worker.poll() is None, logs["fraudstream worker\n"].read_text()
        assert "0 failed" in _run(once[-1], tmp_path, environment)
        until(lambda: "card 'C" in _text(logs["python examples/consume_alerts.py\n"]), "the example shows an alert")
        until(lambda: "card C" in _text(logs["fraudstream alerts --follow\n"]), "`alerts --follow` shows an alert")
        metrics = httpx.get(ready.replace("readyz", "metrics")).text
        assert re.search(r"^fraudstream_transactions_scored_total [1-9]", metrics, re.MULTILINE)
    assert worker.returncode == 0, logs["fraudstream worker\n"].read_text()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def _text(log: Path) -> str:
    return log.read_text(errors="replace")
