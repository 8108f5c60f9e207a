"""`fraudstream alerts` without follow: the newest over all partitions, each payment's once, by case; memory is bounded."""

from __future__ import annotations

import json
from itertools import groupby

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands.alerts import lines_of
from stream_app.commands.newest_alerts import NewestAlerts, cases_of
from stream_app.messages.alert import Alert
from tests.conftest import ROOT

EXAMPLE = msgspec.json.decode(json.dumps(json.loads((ROOT / "schemas" / "alert.v1.json").read_text())["examples"][0]), type=Alert)


def alert(number: int, minute: int = 0, card: str = "C1", case: str = "", **changes: object) -> Alert:
    """The alert `number`, of a payment at this minute; the first of its case where none is named."""
    named = {"transaction_id": f"T{number}", "alert_id": f"A{number}", "case_id": case or f"A{number}", "card_id": card}
    return msgspec.structs.replace(EXAMPLE, event_time=1_795_471_200_000 + minute * 60_000, **named, **changes)


def kept(alerts: list[Alert], most: int) -> list[Alert]:
    """What is kept of them."""
    newest = NewestAlerts(most)
    for each in alerts:
        newest.add(each)
    assert newest.seen == len(alerts)
    assert len(newest._payments) == len(newest.newest_first()) <= most
    return newest.newest_first()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["C1", "C2"])), max_size=40).flatmap(
        lambda drawn: st.tuples(st.just(drawn), st.permutations(range(len(drawn))))
    ),
    st.integers(1, 12),
)
def test_the_newest_are_kept_whatever_order_partitions_are_read_in(drawn: tuple[list[tuple[int, str]], list[int]], most: int) -> None:
    """As sorting all of them says, each payment once, though some come twice."""
    numbered, order = drawn
    alerts = [alert(number, minute=number * 7 % 5, card=card) for number, card in numbered]
    distinct = {(a.event_time, a.card_id, a.transaction_id) for a in alerts}
    expected = sorted(distinct, reverse=True)[:most]
    assert [(a.event_time, a.card_id, a.transaction_id) for a in kept([alerts[at] for at in order], most)] == expected


def test_alerts_of_a_case_stand_together_under_the_newest_case() -> None:
    """Two cases of one card in turn, and one of another: by their newest alert; a case whose first alert was cut off says so."""
    alerts = [alert(1, 1), alert(2, 2, case="A1"), alert(3, 3, card="C2"), alert(4, 4, case="A1"), alert(5, 5), alert(6, 6, case="A5")]
    cases = cases_of(kept(alerts, 9))
    assert [(c.card_id, c.case_id, [a.alert_id for a in c.alerts], c.whole) for c in cases] == [
        ("C1", "A5", ["A6", "A5"], True),
        ("C1", "A1", ["A4", "A2", "A1"], True),
        ("C2", "A3", ["A3"], True),
    ]
    assert [(c.case_id, c.whole) for c in cases_of(kept(alerts, 4))] == [("A5", True), ("A1", False), ("A3", True)]
    assert [key for key, _ in groupby(c.alerts[0].event_time for c in cases)] == sorted(
        (c.alerts[0].event_time for c in cases), reverse=True
    )


def test_a_case_of_a_former_name_is_known_to_be_whole() -> None:
    """Alerts of before named their case by the transaction."""
    assert [c.whole for c in cases_of([alert(1, case="T1")])] == [True]


def test_lines_say_what_a_case_sums_up_to_and_what_is_not_shown() -> None:
    """Money by currency, how many alerts, since when; and that there are more."""
    newest = NewestAlerts(3)
    for each in (
        alert(1, 1, amount=10.0, currency="EUR"),
        alert(2, 2, case="A1", amount=1_000.5, currency="EUR"),
        alert(3, 63, case="A1", amount=12.0, currency="JPY"),
        alert(4, 0, card="C2"),
    ):
        newest.add(each)
    told = list(lines_of(newest))
    assert told[0] == "[bold]case A1[/]  card C1  3 alerts, 1,010.50 EUR and 12 JPY, 2026-11-23 22:01 to 2026-11-23 23:03"
    assert "T3" in told[1]
    assert told[-1] == "[dim]The newest 3 of 4 records of alerts. --limit shows more, --since fewer.[/]"
    cut = NewestAlerts(1)
    cut.add(alert(1, 1))
    cut.add(alert(2, 2, case="A1", amount=5.0, currency="EUR"))
    assert next(lines_of(cut)).startswith("[bold]case A1[/]  card C1  its newest 1, 5.00 EUR, ")
    assert list(lines_of(NewestAlerts(1))) == ["No alerts yet. With --follow this command waits for them."]
