"""Logs: text for people, JSON for machines, and no codes for a terminal where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CODE = "from loguru import logger; from stream_app.logs import set_up_logs; set_up_logs('INFO', {!r}); logger.warning('a {{}}', 'b')"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_redirected_log_has_no_colours(log_format: str) -> None:
    """Also on a build server, where loguru would colour it."""
    environment = {**os.environ, "CI": "true", "GITHUB_ACTIONS": "true"}
    command = [sys.executable, "-c", CODE.format(log_format)]
    text = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    assert "\x1b" not in text
    message = json.loads(text)["record"]["message"] if log_format == "json" else text.strip().partition("WARNING ")[2]
    assert message == "a b"
