"""What was published before is forgotten when the cursor has passed all of it, and no sooner."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.alert import ModelReference, Reason
from stream_app.scoring.already_published import AlreadyPublished, PublishedDecision, Refusals, RefusedRecords
from stream_app.scoring.positions import Cursor, Position

OFFSETS = st.lists(st.integers(0, 5), max_size=2)
VERDICT = PublishedDecision(
    score=0.1,
    raw_score=-2.0,
    threshold=0.5,
    action=None,
    case_id=None,
    model=ModelReference("m", "1"),
    reasons=(),
    degraded=None,
    scored_at=0,
)

REASON = Reason(code="CARD_COUNT", feature="card_count_1d", value=9.0, usual=1.0, contribution=0.5, text="9 payments in the last day.")


@given(
    alerts=OFFSETS,
    scores=OFFSETS,
    refused=OFFSETS,
    refused_labels=OFFSETS,
    decided=st.integers(0, 5),
    at=st.builds(Position, *[st.integers(0, 6)] * 2),
)
def test_it_is_passed_by_a_cursor_above_all_of_its_records(
    alerts: list[int], scores: list[int], refused: list[int], refused_labels: list[int], decided: int, at: Position
) -> None:
    """Alerts, scores and dead letters of transactions, dead letters of labels, and what was surely decided."""
    published = AlreadyPublished(Position(decided, 0), refused=RefusedRecords(Refusals(refused), Refusals(refused_labels)))
    for offset in alerts:
        published.add_alert(offset, VERDICT)
    for offset in scores:
        published.add_score(offset, VERDICT)
    of_transactions = {*alerts, *scores, *refused, *range(decided)}
    passed = all(offset < at.transactions for offset in of_transactions) and all(offset < at.labels for offset in refused_labels)
    assert published.passed_by(Cursor("me", at.transactions, at.labels)) is passed


def test_of_what_was_surely_decided_the_cases_of_alerts_are_kept_and_nothing_else() -> None:
    """A Redis of yesterday has a day of decisions behind its cursor: memory is for the alerts among them, without their reasons."""
    published, alert = (
        AlreadyPublished(Position(1000, 0)),
        msgspec.structs.replace(VERDICT, action="review", case_id="k", reasons=(REASON,)),
    )
    for offset in range(1000):
        published.add_score(offset, alert if offset == 500 else VERDICT)
    published.add_alert(500, alert)
    published.add_score(1000, alert)
    assert published.decisions == {500: msgspec.structs.replace(alert, reasons=()), 1000: alert}
    assert (published.alerted, published.scored) == (set(), {1000})
