"""The ship checks: images, compose, chart and Terraform, asked of the real tools. `make ship-check` runs them; `make test` does not.

A tool that is not there skips its checks, with the reason. `scripts/ship/tools` makes them ready in `.tools/ship`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.ship.engine import Engine, Images, NoEngine

collect_ignore_glob = [] if os.environ.get("SHIP_CHECK") else ["test_*.py"]


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A Docker engine that answers, or one that the tests start and end."""
    try:
        found = Engine.find()
    except NoEngine as why:
        pytest.skip(str(why))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    """The project's three images, built once for the session."""
    try:
        return Images.build(engine)
    except NoEngine as why:
        pytest.skip(str(why))
