"""`fraudstream verify` with a part taken out: every decision is taken again by what is in force at the end. It must find differences."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from stream_app import cli
from stream_app.audit import rulings
from stream_app.commands import rule_evidence
from stream_app.scoring.provenance import RulesRead
from tests.faults.points import replace


def _of_today(original: Callable[..., Any]) -> Callable[..., Any]:
    def made(decisions: Any, histories: Any, models: Any, then: rulings.RulesOfThen, unit: int) -> Any:
        if then.rules is None:
            raise AssertionError("the check keeps all of its topics")
        now = RulesRead(then.ids[0], then.rules.offset, then.ids[1], then.end)
        replace(rulings, "_read", lambda _original: lambda _decision: now)
        return original(decisions, histories, models, then, unit)

    return made


if __name__ == "__main__":
    replace(rule_evidence, "Rulings", _of_today)
    sys.argv[1:] = ["verify"]
    cli.main()
