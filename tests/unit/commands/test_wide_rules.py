"""A live rule that hits too much of the last day's payments, or of which nobody knows, comes into force only when that is confirmed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from stream_app.commands.past_payments import PastPayments
from stream_app.commands.wide_rules import WideRules
from stream_app.errors import RuleError
from stream_app.features.aggregations import DAY_MS
from stream_app.settings import load_settings
from tests.unit.rules.made import NOW_MS, lists, rule

DAY_BEFORE = 100
LAST_DAY = 40


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred payments of 500 the day before, and forty of 1 to 40 on the last one."""
    amounts = [500.0] * DAY_BEFORE + [float(n + 1) for n in range(LAST_DAY)]
    times = [NOW_MS - 2 * DAY_MS + n for n in range(DAY_BEFORE)] + [NOW_MS + n for n in range(LAST_DAY)]
    rows = {
        "transaction_id": [f"tx-{n}" for n in range(len(amounts))],
        "event_time": times,
        "card_id": [f"c-{n % 9}" for n in range(len(amounts))],
    }
    frame = pd.DataFrame(rows | {"terminal_id": "t-1", "amount": amounts, "currency": "EUR"})
    path = tmp_path_factory.mktemp("past") / "past.parquet"
    frame.to_parquet(path)
    return path


def looked_at(past: Path | None, *expressions: str, confirmed: tuple[str, ...] = (), **fields: Any) -> None:
    """Refuse rules that are called r0, r1 and so on."""
    settings = load_settings()
    asked = [rule(expression, code=f"r{n}", **fields) for n, expression in enumerate(expressions)]
    wide = WideRules(PastPayments.given(settings, past, topics=False), None, confirmed)
    asyncio.run(wide.refuse(asked, lists(all=("terminal", "ask", ["t-1"])), settings))


def test_a_rule_that_hits_much_of_the_last_day_is_refused(past: Path) -> None:
    """By its share of that day alone; two of forty are within five of a hundred."""
    looked_at(past, "amount > 38 and amount < 50", "amount > 400")
    with pytest.raises(
        RuleError, match=r"Of the last day's 40 payments these rules hit more than 5\.0%.*: r1 3 \(7\.5%\)\. .*--confirm r1"
    ):
        looked_at(past, "amount > 400", "amount > 37")
    looked_at(past, "amount > 400", "amount > 37", confirmed=("r1",))


@pytest.mark.parametrize(
    ("expression", "fields"),
    [
        ("amount > 0", {}),
        ("terminal_id in @all", {}),
        ("amount > 0", {"effect": "suppress", "action": None}),
        ("amount > 0", {"valid_from": NOW_MS + 900 * DAY_MS}),
    ],
)
def test_one_that_hits_everything_is_refused(past: Path, expression: str, fields: dict[str, Any]) -> None:
    """Whatever it does, whenever it begins, and where its list holds all."""
    with pytest.raises(RuleError, match=r"r0 40 \(100\.0%\)"):
        looked_at(past, expression, **fields)


def test_what_nobody_can_know_is_refused_too(past: Path) -> None:
    """Without payments; with a rule that asks for a score, without a model."""
    with pytest.raises(RuleError, match="nothing says how many"):
        looked_at(None, "amount > 400")
    looked_at(None, "amount > 400", confirmed=("r0",))
    with pytest.raises(RuleError, match="could not be tried: it asks for the score"):
        looked_at(past, "score > 0.5")
