"""Servers that the settings name: used, shown without their passwords, never started or stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.errors import Unavailable
from stream_app.local import health
from tests.integration.local_stack.looking import recorded, status_of

if TYPE_CHECKING:
    from stream_app.local.stack import LocalStack


def test_a_redis_named_by_the_settings_is_used_and_never_stopped(
    stack: LocalStack, another: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is started in its place; `status` calls it external; `down` leaves it alone."""
    url = another.up(("redis",)).redis
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", url)
    assert stack.up(("redis",)).redis == url
    assert recorded(stack) == {}
    assert (status_of(stack, "redis").state, status_of(stack, "redis").address, status_of(stack, "redis").pid) == ("external", url, None)
    assert stack.down() == ()
    assert health.redis_answers(url)

    another.down()
    assert status_of(stack, "redis").state == "broken"
    with pytest.raises(Unavailable, match=r"^FRAUDSTREAM_REDIS_URL names .* which does not answer; start it, or unset"):
        stack.up(("redis",))


def test_what_the_settings_name_must_answer_and_is_shown_without_password(stack: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where nobody listens; for Kafka also one where something else does."""
    monkeypatch.setenv("FRAUDSTREAM_REDIS_URL", "redis://user:secret@127.0.0.1:1/0")
    assert status_of(stack, "redis").address == "redis://…@127.0.0.1:1/0"
    with pytest.raises(Unavailable, match=r"redis://…@127\.0\.0\.1:1/0"):
        stack.up(("redis",))
    monkeypatch.delenv("FRAUDSTREAM_REDIS_URL")
    redis = stack.up(("redis",)).redis
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS", redis.removeprefix("redis://").removesuffix("/0"))
    with pytest.raises(Unavailable, match="FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"):
        stack.up(("kafka",))
