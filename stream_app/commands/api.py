"""Commands of the API: `api`, `api-key`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stream_app.api.keys import Scope, new_key
from stream_app.errors import SettingsError


def api_command() -> None:
    """Answer requests over HTTP until told to stop (SIGTERM, Ctrl-C)."""
    from stream_app.api.server import run  # noqa: PLC0415 - FastAPI, numba and onnxruntime load only where they are used

    run()


def key_command(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do: score, read, label, rules, lists; may be given several times.")],
    file: Annotated[Path, typer.Option(help="File of the keys; made where it is missing.")] = Path("api-keys"),
) -> None:
    """Make a key: it is shown once, and its hash added to the file. The API reads the file when it starts."""
    text, key = new_key(name, scope)
    try:
        there = file.read_text(encoding="utf-8") if file.exists() else ""
        if any(line.split()[:1] == [name] for line in there.splitlines()):
            raise SettingsError(f"{file} has a key {name!r} already. Take its line out first, or choose another name.")
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as kept:
            kept.write(("" if there.endswith("\n") or not there else "\n") + key.line())
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error}. Name another file with --file.") from None
    typer.echo(f"The key of {name!r} was added to {file}, hashed. It is shown only here; set FRAUDSTREAM_API_KEYS_FILE={file}", err=True)
    print(text)
