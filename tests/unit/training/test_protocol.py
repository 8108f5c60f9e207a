"""The book's protocols: which transactions a fold fits and scores, and what a threshold means to a fraud team."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from training.book.protocol import PROTOCOLS, Fold, parts_of
from training.data.dataset import read_transactions
from training.fitting.evaluate import Scored, scored
from training.fitting.team import team_figures

HANDBOOK = Path(__file__).parents[4] / "shared" / "data" / "handbook_raw.parquet"


def history(days: list[int], cards: list[str], frauds: list[int]) -> pd.DataFrame:
    """One transaction an entry, at noon of its day; each fraud known seven days after."""
    times = np.array(days, dtype=np.int64) * DAY_MS + DAY_MS // 2
    return pd.DataFrame(
        {
            "event_time": times,
            "card_id": pd.Categorical(cards),
            "is_fraud": np.array(frauds, dtype=np.bool_),
            "labelled_at": pd.array(times + 7 * DAY_MS, dtype="Int64"),
        }
    )


def test_a_fold_trains_waits_and_tests_for_a_week_each() -> None:
    """Days 0-6 are fitted, 7-13 passed over, 14-20 scored; day 21 is outside.

    day   0    6    7    13   14   20   21
          [train]   (gap)     [test ]   -
    """
    frame = history([0, 6, 7, 13, 14, 20, 21], list("abcdefg"), [1, 0, 0, 0, 1, 0, 0])
    parts = parts_of(frame, Fold(0))
    assert parts.train.rows.tolist() == [0, 1]
    assert parts.test.rows.tolist() == [4, 5]
    assert parts.counts == ((2, 1), (2, 1))


def test_a_card_leaves_the_test_once_its_fraud_is_known() -> None:
    """A card with a fraud in training never comes; one with a fraud on day 8 comes on day 15 and not on day 16.

    card    a    b         b    b    c
    day     0    8        15   16   17
          fraud fraud     in   out  fraud
    """
    frame = history([0, 1, 8, 14, 15, 16, 17], list("axbabbc"), [1, 0, 1, 0, 0, 0, 1])
    assert parts_of(frame, Fold(0)).test.rows.tolist() == [4, 6]


def test_the_threshold_of_a_fold_comes_from_before_its_test() -> None:
    """The earlier fold's test is the fold's own training."""
    fold = PROTOCOLS["handbook-ch3"].folds[0]
    assert fold.earlier.test.dates() == fold.train.dates() == "2018-07-25 to 2018-07-31"


def test_choices_are_made_before_the_first_test_begins() -> None:
    """No validation fold of chapter 5 reaches into a test."""
    protocol = PROTOCOLS["handbook-ch5"]
    assert max(fold.test.end_ms for fold in protocol.validation) <= min(fold.test.start_ms for fold in protocol.folds)


def test_a_history_of_other_days_is_refused() -> None:
    """With what the protocol needs."""
    with pytest.raises(DataError, match=r"train window 1970-01-01 to 1970-01-07 has 2 transactions, 0 of them .* Give the Handbook's data"):
        parts_of(history([0, 1, 15], list("abc"), [0, 0, 1]), Fold(0))


@pytest.mark.handbook
def test_the_handbooks_split_of_chapter_3_is_the_books_to_the_unit() -> None:
    """67,240 transactions with 598 frauds to fit on, 58,264 with 385 to test on."""
    if not HANDBOOK.is_file():
        pytest.skip(f"{HANDBOOK} is not there: the Handbook's data has no licence and stays outside the project")
    protocol = PROTOCOLS["handbook-ch3"]
    assert parts_of(read_transactions(HANDBOOK, label_delay_days=7), protocol.folds[0]).counts == protocol.expected[0]


def a_day() -> Scored:
    """Two days, six transactions: cards 1 and 2 have frauds, of 100 and 300; card 3 is genuine.

    day 0: card 1 fraud .9, card 1 genuine .8, card 3 genuine .7
    day 1: card 2 fraud .2, card 3 genuine .6, card 3 genuine .1
    """
    return scored(
        np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.1]),
        np.array([1, 0, 0, 1, 0, 0], dtype=np.bool_),
        np.array([0, 0, 0, 1, 1, 1], dtype=np.int64) * DAY_MS,
        np.array([1, 1, 3, 2, 3, 3], dtype=np.int64),
        np.array([100.0, 10, 10, 300, 10, 10]),
    )


def test_the_teams_figures_are_counted_by_hand() -> None:
    """From 0.5 on: four alerts in two days, one of two frauds, 100 of 400 found; card 3 bothered on two days beside card 1 rightly."""
    found = team_figures(a_day(), 0.5, review_cost=5)
    assert (found.alerts_a_day, found.precision, found.recall, found.money_detected) == (2, 0.25, 0.5, 0.25)
    assert found.false_positive_ratio == 2
    assert found.net_saving_a_day == (100 - 4 * 5) / 2


@pytest.mark.parametrize(("threshold", "ratio"), [(0.95, 0.0), (0.85, 0.0)])
def test_without_bothered_cards_the_false_positive_ratio_is_0(threshold: float, ratio: float) -> None:
    """Without alerts, and with right ones only."""
    assert team_figures(a_day(), threshold).false_positive_ratio == ratio


def test_alerts_without_a_fraud_have_no_finite_ratio() -> None:
    """Genuine cards bothered, none found."""
    what = a_day()
    genuine = scored(what.scores, np.zeros(6, dtype=np.bool_), what.times_ms, what.cards, what.amounts)
    assert team_figures(genuine, 0.5).false_positive_ratio == float("inf")
