"""An API that does not know which rules and lists are in force answers nothing that they have a say in."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from stream_app.bootstrap_api import build_api
from stream_app.errors import Unavailable
from stream_app.messages.transaction import Transaction
from stream_app.settings import Settings
from tests.unit.scoring.test_scorer import payment


def test_an_api_that_has_not_read_rules_and_lists_is_not_ready_and_decides_nothing() -> None:
    """Neither a payment nor a vector, whose threshold a release may set; the log says why."""
    built = build_api(Settings())
    told = "Rules and lists are not read yet; the log says why."
    assert built.not_ready() == told
    with pytest.raises(Unavailable, match=told):
        asyncio.run(built.online.decide(msgspec.convert(payment("a"), Transaction)))
    with pytest.raises(Unavailable, match=told):
        built.online.predict([])
