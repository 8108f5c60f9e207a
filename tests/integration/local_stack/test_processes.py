"""A started process is known as ours from the first moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.local import processes

if TYPE_CHECKING:
    from pathlib import Path


def test_a_process_is_known_as_soon_as_it_is_started(tmp_path: Path) -> None:
    """For an instant after `exec` the kernel shows no environment: of a few hundred starts, some would be taken for ended."""
    tokens = []
    try:
        for _ in range(300):
            token = processes.new_token()
            tokens.append(token)
            process = processes.spawn(["/bin/sleep", "60"], tmp_path, tmp_path / "log", processes.environment(token, {}))
            assert processes.alive(process, token)
    finally:
        processes.end(tokens)
