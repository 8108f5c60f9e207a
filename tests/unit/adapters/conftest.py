"""Whatever connections failed before."""

from __future__ import annotations

import pytest

from stream_app.adapters.kafka.connecting import keep_causes


@pytest.fixture(autouse=True)
def _no_causes() -> None:
    """Nothing is known of brokers."""
    keep_causes()
