"""The stores in turn."""

from __future__ import annotations

import pytest

from tests.contract.stores import Subject, in_memory, in_redis


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.servers) for name in ("redis", "cluster"))])
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each store in turn."""
    if request.param == "memory":
        return in_memory()
    return in_redis(request.getfixturevalue("stack").redis if request.param == "redis" else request.getfixturevalue("cluster").url)
