"""What the servers are made of: jars from Maven Central, packages of the extra `local`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.errors import Stop, Unavailable
from stream_app.local import jars, packages

if TYPE_CHECKING:
    from pathlib import Path


def test_an_unreachable_maven_central_is_named_and_leaves_no_half_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start tries again from the beginning."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(jars, "REMOTE_REPOS", {"central": "http://127.0.0.1:1/maven2"})
    with pytest.raises(Unavailable, match=r"Maven Central did not give it: .* needs the network once"):
        jars.kafka_jars()
    assert not (tmp_path / "fraudstream" / f"kafka-{jars.KAFKA_VERSION}").exists()


def test_a_missing_package_names_the_extra() -> None:
    """Whoever installed the worker alone learns what to install."""
    with pytest.raises(Stop, match=r"pip install 'fraudstream\[local\]'"):
        packages.folder("no_such_package")
