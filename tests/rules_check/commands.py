"""`fraudstream`, as analysts call it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from stream_app.settings import PREFIX
from tests.faults.versions import ROOT

APPROVED = {f"{PREFIX}RULES_NEED_APPROVAL": "true"}


class Done(NamedTuple):
    """A command that ended."""

    code: int
    output: str
    errors: str

    @property
    def last(self) -> dict[str, Any]:
        """The JSON object of its last line."""
        found: dict[str, Any] = json.loads(self.output.splitlines()[-1])
        return found


async def ran(env: Mapping[str, str], *arguments: str, module: str = "stream_app.cli") -> Done:
    """Run a command of these settings to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        env={**os.environ, **env, **APPROVED, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return Done(process.returncode or 0, output.decode(), errors.decode())


async def well(env: Mapping[str, str], *arguments: str) -> str:
    """What a command prints, which must end well."""
    done = await ran(env, *arguments)
    if done.code:
        raise AssertionError(f"fraudstream {' '.join(arguments)} ended with {done.code}: {done.output}{done.errors}")
    return done.output


async def refused(env: Mapping[str, str], *arguments: str) -> str:
    """Why a command was refused, which must be."""
    done = await ran(env, *arguments)
    if not done.code:
        raise AssertionError(f"fraudstream {' '.join(arguments)} was to be refused, and said: {done.output}")
    return done.errors
