"""A desk of rules and lists over topics in memory."""

from __future__ import annotations

from stream_app.delivery.rule_desk import RuleDesk, RuleTopicWriter
from tests.unit.delivery.test_live_rules import Desk


def desk_of(process: Desk, checkpoints: list[str] | None = None, *, needs_approval: bool = False) -> RuleDesk:
    """Where a process that follows memory's topics changes them; with `checkpoints` one is always due, and its topic is kept there."""

    async def write(topic: str, value: bytes, _checkpoint: int | None) -> int:
        of = process.rules if topic == "rules" else process.lists
        of.put(value)
        return len(of.records or ()) - 1

    async def checkpoint(topic: str) -> None:
        if checkpoints is not None:
            checkpoints.append(topic)

    return RuleDesk(process.live, RuleTopicWriter(write, checkpoint, lambda _: checkpoints is not None), needs_approval=needs_approval)
