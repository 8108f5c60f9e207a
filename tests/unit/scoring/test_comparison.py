"""Champion against challenger: agreement, alerts of one only, and quality as scikit-learn has it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from stream_app.commands.compare import described
from stream_app.messages.transaction import PaymentKey
from stream_app.scoring.comparison import MATURE_MS, BothScores, average_precision, both_scores, compare
from tests.unit.scoring.test_challenger import Ring
from tests.unit.scoring.test_scorer import payment, scores


def said(n: int, champion: float, challenger: float, at: int = 0, amount: float = 10.0) -> BothScores:
    """Both alert from 0.5 on; each payment is of a card of its own."""
    return BothScores(f"t{n}", f"c{n}", at, amount, (champion, champion >= 0.5), (challenger, challenger >= 0.5))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_who_said_what_does_not_depend_on_who_decided(share: float) -> None:
    """300 of 1,000 is the champion's score, of 500 the challenger's; alone, a score says nothing of both."""
    (score,) = scores(Ring(share=share).take(payment("a", 300)))
    found = both_scores(score)
    assert found is not None
    assert [found.champion[0], found.challenger[0]] == pytest.approx([0.3, 0.6])
    assert both_scores(scores(Ring(rival=None).take(payment("a", 300)))[0]) is None


def test_alerts_of_one_only_are_ranked_by_amount() -> None:
    """Two of the challenger's, one of the champion's, one of both; one of four is agreed on."""
    payments = [said(0, 0.9, 0.9), said(1, 0.9, 0.1), said(2, 0.1, 0.9, amount=5), said(3, 0.1, 0.9, amount=50)]
    found = compare(payments, {})
    assert [p.transaction_id for p in found.only_champion] == ["t1"]
    assert [p.transaction_id for p in found.only_challenger] == ["t3", "t2"]
    assert (found.agreement, found.mature, math.isnan(found.champion.average_precision)) == (0.25, 0, True)
    assert "only the challenger would alert 2, of 55.00 in all" in described(found, 1)


def test_quality_is_measured_on_mature_payments() -> None:
    """The newest has no time for its label yet; the champion ranks the fraud first, the challenger last."""
    found = compare(
        [said(0, 0.9, 0.1), said(1, 0.2, 0.3), said(2, 0.9, 0.9, at=MATURE_MS)],
        {PaymentKey("c0", "t0"): True, PaymentKey("c2", "t2"): True},
    )
    assert (found.mature, found.frauds) == (2, 1)
    assert (found.champion.average_precision, found.challenger.average_precision) == (1.0, 0.5)


def test_a_label_is_of_one_cards_payment() -> None:
    """Two cards share a transaction's id; the fraud is the second's, which the challenger ranks first."""
    one, other = (BothScores("INV-1", card, 0, 10.0, (0.9, True), (0.1, False)) for card in ("c1", "c2"))
    other = replace(other, champion=(0.2, False), challenger=(0.8, True))
    found = compare([one, other, said(2, 0, 0, at=MATURE_MS)], {PaymentKey("c2", "INV-1"): True})
    assert (found.mature, found.frauds) == (2, 1)
    assert (found.champion.average_precision, found.challenger.average_precision) == (0.5, 1.0)


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans()), min_size=1, max_size=30))
def test_average_precision_is_scikit_learns(rows: list[tuple[float, bool]]) -> None:
    """Ties and all."""
    values, labels = np.array([s for s, _ in rows]), np.array([f for _, f in rows])
    if labels.any():
        assert average_precision(values, labels) == pytest.approx(average_precision_score(labels, values))


def test_scores_that_differ_by_less_than_the_tolerance_are_equal() -> None:
    """A fraud that one runtime scores a ten-millionth higher is ranked no higher."""
    found = compare([said(0, 0.5, 0.500_000_1), said(1, 0.5, 0.5), said(2, 0, 0, at=MATURE_MS)], {PaymentKey("c0", "t0"): True})
    assert found.champion == found.challenger


def test_without_a_fraud_there_is_no_figure() -> None:
    """Not zero: nothing was there to be found."""
    found = compare([said(0, 0.5, 0.5), said(1, 0, 0, at=MATURE_MS)], {})
    assert (found.mature, math.isnan(found.champion.card_precision)) == (1, True)
