"""`make docs`: the pages that are made from the code have all that the code has."""

from __future__ import annotations

import re
import runpy
from typing import Any

import pytest

from stream_app.adapters.metrics.catalogue import CATALOGUE as METRICS
from stream_app.cli import COMMANDS
from stream_app.features.definitions import CATALOGUE as FEATURES
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def reference() -> dict[str, Any]:
    """The program that makes the reference."""
    return runpy.run_path(str(ROOT / "scripts" / "reference.py"))


def test_the_reference_names_everything_that_the_code_has(reference: dict[str, Any]) -> None:
    """Commands with their options, routes, metrics, features, messages."""
    pages = {name: make() for name, make in reference["PAGES"].items()}
    assert [name for name in COMMANDS if f"\n## {name}\n" not in pages["commands"]] == []
    assert "| `--replication` | int |" in pages["commands"]
    assert "## POST /v1/score" in pages["http"]
    assert [m.exposed for m in METRICS if f"`{m.exposed}`" not in pages["metrics"]] == []
    assert [f.name for f in FEATURES if f"`{f.name}`" not in pages["features"]] == []
    assert sorted(re.findall(r"^## (\S+)$", pages["messages"], re.MULTILINE)) == sorted(f.stem for f in (ROOT / "schemas").glob("*.json"))
