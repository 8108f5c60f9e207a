"""Logs: text for people, JSON for machines, no codes for a terminal where there is none, no flood, and nothing of a payload."""

from __future__ import annotations

import ast
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from stream_app.operating.logs import MOST_LINES, SPARE_S, set_up_logs
from tests.conftest import ROOT

CODE = (
    "from loguru import logger; from stream_app.operating.logs import set_up_logs; set_up_logs('INFO', {!r}); logger.warning('a {{}}', 'b')"
)
OF_A_PAYLOAD = {"value", "content", "message", "messages", "amount", "features", "vectors", "records", "payments", "attributes", "body"}
"""Names under which the program knows what a record or a request holds."""


@pytest.fixture
def _restored() -> Iterator[None]:
    """Loguru as other tests find it."""
    yield
    logger.remove()
    logging.getLogger().handlers.clear()
    logger.add(sys.__stderr__ or sys.stderr)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_redirected_log_has_no_colours(log_format: str) -> None:
    """Also on a build server, where loguru would colour it."""
    environment = {**os.environ, "CI": "true", "GITHUB_ACTIONS": "true"}
    command = [sys.executable, "-c", CODE.format(log_format)]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    assert "\x1b" not in text
    message = json.loads(text)["record"]["message"] if log_format == "json" else text.strip().partition("WARNING ")[2]
    assert message == "a b"


@pytest.mark.usefixtures("_restored")
def test_for_machines_every_event_is_one_line_with_its_trace_within(capsys: pytest.CaptureFixture[str]) -> None:
    """Ours and a library's."""
    set_up_logs("INFO", "json")
    try:
        _ = 1 / 0
    except ZeroDivisionError as error:
        logger.opt(exception=error).error("It failed\nhere")
        logging.getLogger("a.library").exception("It failed too")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["record"]["message"], ours["record"]["exception"]["type"]) == ("It failed\nhere", "ZeroDivisionError")
    assert theirs["record"]["message"] == "a.library: It failed too"


@pytest.mark.usefixtures("_restored")
def test_a_fault_of_every_record_fills_no_disk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """So many lines of one place, then one that says how many were held back; other places are heard meanwhile."""
    now = 1000.0
    monkeypatch.setattr("stream_app.operating.logs.time.monotonic", lambda: now)
    set_up_logs("INFO", "text")

    def fail() -> None:
        logger.error("It failed")

    for _ in range(MOST_LINES + 20):
        fail()
    logger.info("Another place")
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["failed"] * MOST_LINES + ["place"]
    now += SPARE_S
    for _ in range(2):
        fail()
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("It failed (20 more such lines were held back)")
    assert second.endswith("It failed")


def logged() -> Iterator[tuple[str, ast.Call]]:
    """Every call that logs, with its place."""
    for file in sorted(Path(ROOT, "stream_app").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node.func.value) == "logger":
                yield f"{file.name}:{node.lineno}", node


def _root(node: ast.expr) -> str:
    """The name that a chain of attributes and calls begins with."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""


def _named(node: ast.AST) -> Iterator[str]:
    """Names and attributes in an argument; what is only counted shows nothing."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        return
    if isinstance(node, ast.Attribute | ast.Name):
        yield node.attr if isinstance(node, ast.Attribute) else node.id
    for child in ast.iter_child_nodes(node):
        yield from _named(child)


def test_no_line_shows_what_a_record_or_a_request_holds() -> None:
    """Lines have a fixed text, and numbers, names and ids in it: no argument is a part of a payload."""
    found = list(logged())
    assert len(found) > 20
    for where, call in found:
        if isinstance(call.func, ast.Attribute) and call.func.attr not in {"opt", "add", "remove"}:
            assert not {name for argument in call.args for name in _named(argument)} & OF_A_PAYLOAD, where
            assert isinstance(call.args[0], ast.Constant | ast.Name), where
