"""Reports joined to payments that go by: the same as the join of files says, whatever stands in the topic beside them."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import DataError, RecordError
from stream_app.labelling.report_join import DAY_MS, MeantPayment, ReportJoin, reach_ms
from stream_app.messages.label_reports import LabelReport
from stream_app.messages.transaction import PaymentKey, Transaction
from training.data.label_file import LabelTable
from training.data.label_join import join_labels

BEGIN = 1_700_006_400_000
"""2023-11-15T00:00Z."""
ZONES = ["UTC", "Europe/Berlin", "Pacific/Auckland", "America/New_York"]

reports_drawn = st.lists(
    st.builds(
        LabelReport,
        transaction_id=st.sampled_from([None, "T1", "T2", "T3"]),
        card_id=st.sampled_from([None, "C1", "C2"]),
        amount=st.sampled_from([None, 1.0, 1.001]),
        event_ms=st.sampled_from([0, BEGIN, BEGIN + DAY_MS, BEGIN + 5, BEGIN + DAY_MS // 2]),
        currency=st.sampled_from([None, "EUR", "USD"]),
        labelled_ms=st.just(BEGIN + 10 * DAY_MS),
        is_fraud=st.just(True),
        source=st.just("s"),
    ),
    min_size=1,
    max_size=12,
)
paid_drawn = st.lists(
    st.builds(
        Transaction,
        transaction_id=st.sampled_from(["T1", "T2", "T3", "T4"]),
        event_time=st.integers(-4, 8).map(lambda n: BEGIN + n * DAY_MS // 4),
        card_id=st.sampled_from(["C1", "C2"]),
        terminal_id=st.just("M1"),
        amount=st.sampled_from([1.0, 1.001]),
        currency=st.sampled_from(["EUR", "USD"]),
    ),
    min_size=1,
    max_size=10,
    unique_by=PaymentKey.of,
)


def outcome(join: ReportJoin, number: int) -> PaymentKey | str:
    """The payment, or the code of what it lacks."""
    try:
        return join.found(number).key
    except RecordError as error:
        return str(error.code)


def by_files(paid: list[Transaction], reports: list[LabelReport], zone: str) -> list[PaymentKey | str]:
    """The same by the join of files, one label at a time."""
    frame = pd.DataFrame(
        {name: [getattr(p, name) for p in paid] for name in ("transaction_id", "event_time", "card_id", "amount", "currency")}
    )
    found: list[PaymentKey | str] = []
    for r in reports:
        texts: Any = {name: np.asarray([getattr(r, name)], object) for name in ("transaction_id", "card_id", "currency", "source")}
        amount = np.asarray([np.nan if r.amount is None else r.amount])
        times = {name: np.asarray([getattr(r, name)], np.int64) for name in ("event_ms", "labelled_ms")}
        table = LabelTable(Path("l.csv"), amount=amount, is_fraud=np.ones(1, bool), zone=zone, **texts, **times)
        try:
            labelled, _ = join_labels(
                frame.assign(card_id=pd.Categorical(frame["card_id"]), currency=pd.Categorical(frame["currency"])), table, 0
            )
            found.append(PaymentKey.of(paid[int(np.flatnonzero(labelled["is_fraud"])[0])]))
        except DataError as error:
            kinds = {"fit several": "label_ambiguous", "fit no": "label_unmatched", "name no": "label_incomplete"}
            found.append(next(code for words, code in kinds.items() if words in str(error)))
    return found


@given(paid_drawn, reports_drawn, st.sampled_from(ZONES), st.data())
def test_a_stream_is_joined_as_a_file_is(paid: list[Transaction], reports: list[LabelReport], zone: str, data: st.DataObject) -> None:
    """By id, by card, amount and day of the zone; payments in any order, and twice; none that is outside of the reach is meant."""
    join = ReportJoin(reports, ZoneInfo(zone))
    since_ms = reach_ms(reports, 30)
    passed = data.draw(st.permutations(paid + paid[:2]))
    for payment in passed:
        join.see(payment, 3)
    expected = by_files(paid, reports, zone)
    assert [outcome(join, number) for number in range(len(reports))] == expected
    meant = [
        p
        for p in paid
        for r, key in zip(reports, expected, strict=True)
        if key == PaymentKey.of(p) and (r.transaction_id is None or not r.event_ms)
    ]
    assert all(p.event_time >= since_ms for p in meant)


def test_what_is_kept_is_what_is_asked_for() -> None:
    """Of a million payments that nobody means none is held, and a label has what its payment says, and where it stood."""
    report = LabelReport("T7", None, None, 0, None, BEGIN + DAY_MS, is_fraud=True, source="s")
    join = ReportJoin([report], UTC)
    for number in range(1_000):
        join.see(Transaction(f"T{number}", BEGIN + number, f"C{number}", "M1", 1.0, "EUR", mcc="5411", ip="203.0.113.7"), number % 4)
    assert len(join._found) == 1
    assert join.found(0) == MeantPayment(PaymentKey("C7", "T7"), "M1", BEGIN + 7, 1.0, 3, mcc="5411", ip="203.0.113.7")
    assert reach_ms([report], 0.5) == BEGIN + DAY_MS // 2


@pytest.mark.parametrize("code", ["label_ambiguous", "label_unmatched", "label_incomplete"])
def test_what_has_no_payment_is_told_to_its_producer(code: str) -> None:
    """In a sentence that says what to look at."""
    reports = {
        "label_ambiguous": LabelReport("T1", None, None, 0, None, BEGIN, is_fraud=True, source="s"),
        "label_unmatched": LabelReport("T9", None, None, 0, None, BEGIN, is_fraud=True, source="s"),
        "label_incomplete": LabelReport(None, "C1", 1.0, 0, None, BEGIN, is_fraud=True, source="s"),
    }
    join = ReportJoin([reports[code]], UTC)
    for card in ("C1", "C2"):
        join.see(Transaction("T1", BEGIN, card, "M1", 1.0, "EUR"), 0)
    with pytest.raises(RecordError, match=r"The label .*\.$") as told:
        join.found(0)
    assert told.value.code == code
