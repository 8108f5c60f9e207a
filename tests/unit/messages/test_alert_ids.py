"""An alert's id names card and transaction: for those who compute it themselves, in any language."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.messages.alert import alert_id_of
from tests.unit.scoring.test_scorer import Till, alerts, payment, scores

ALERT = json.loads((Path(__file__).parents[3] / "schemas" / "alert.v1.json").read_text())
IDS = st.text(min_size=1, max_size=64)


@given(IDS, IDS, IDS, IDS)
@example("ab", "c", "a", "bc")
@example("1:a", "b", "1", "a,1:b")
@example("a", "b", "b", "a")
def test_two_payments_share_an_id_only_where_card_and_transaction_are_the_same(
    card: str, transaction: str, other: str, another: str
) -> None:
    """Whatever the ids hold: the lengths keep them apart."""
    same = (card, transaction) == (other, another)
    assert (alert_id_of(card, transaction) == alert_id_of(other, another)) is same


@pytest.mark.parametrize(
    ("card", "transaction", "named"),
    [("card-58c1", "tx-7f3a91", "9:card-58c1,9:tx-7f3a91,"), ("ab", "c", "2:ab,1:c,"), ("é1", "日,", "3:é1,4:日,,")],
)
def test_the_id_is_the_hash_of_two_netstrings(card: str, transaction: str, named: str) -> None:
    """The first 128 bits of SHA-256, in hex; lengths are in bytes of UTF-8."""
    assert alert_id_of(card, transaction) == hashlib.sha256(named.encode()).hexdigest()[:32]


def test_the_schemas_test_vector_and_examples_are_the_programs() -> None:
    """What the description says, and every example."""
    described = ALERT["properties"]["alert_id"]["description"]
    assert f"`9:card-58c1,9:tx-7f3a91,` begins with `{alert_id_of('card-58c1', 'tx-7f3a91')}`" in described
    for message in ALERT["examples"]:
        assert message["alert_id"] == alert_id_of(message["card_id"], message["transaction_id"])


def test_one_transaction_id_on_two_cards_is_two_alerts_in_two_cases() -> None:
    """Each card's alert opens a case that bears its own id; the score says the same case."""
    decided = Till().take(payment("INV-1", 900), payment("INV-1", 900, card_id="c2"))
    found = alerts(decided)
    assert [a.alert_id for a in found] == [a.case_id for a in found] == [alert_id_of("c1", "INV-1"), alert_id_of("c2", "INV-1")]
    assert [s.case_id for s in scores(decided)] == [a.case_id for a in found]
