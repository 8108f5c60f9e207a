"""Splitting a history by time, with the time that labels take between the windows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from training.data.split import Split, split

START_MS = 1_522_540_800_000  # 2018-04-01


def history(days: int, a_day: int = 20) -> pd.DataFrame:
    """`a_day` payments a day, from 1:00 on, each on a card of its own; the first of each day is a fraud, known after 7 days."""
    times = START_MS + np.repeat(np.arange(days), a_day) * DAY_MS + np.tile(np.arange(a_day), days) * 1000 + 3_600_000
    is_fraud = np.tile(np.arange(a_day) == 0, days)
    return pd.DataFrame(
        {
            "event_time": times,
            "card_id": pd.Categorical([f"C{i}" for i in range(len(times))]),
            "is_fraud": is_fraud,
            "labelled_at": pd.array(np.where(is_fraud, times + 7 * DAY_MS, 0), dtype="Int64"),
        }
    ).assign(labelled_at=lambda f: f["labelled_at"].where(f["is_fraud"]))


def windows_of(days: int, how: Split | None = None) -> list[tuple[int, int]]:
    """(first day, day after the last) of train, validation and test, counted from the data's first."""
    windows = (how or Split()).windows(START_MS, START_MS + days * DAY_MS - 1)
    return [((w.start_ms - START_MS) // DAY_MS, (w.end_ms - START_MS) // DAY_MS) for w in (windows.train, windows.validation, windows.test)]


def test_windows_end_with_the_data_and_keep_the_gap() -> None:
    """A long history trains on 28 days; a short one keeps warm-up first, a shorter one 7 days of training.

    183 days:  |------ 127 ------| train 28 | 7 | validation 7 | 7 | test 7 |
    """
    assert windows_of(183) == [(127, 155), (162, 169), (176, 183)]
    assert windows_of(80) == [(37, 52), (59, 66), (73, 80)]
    assert windows_of(60) == [(25, 32), (39, 46), (53, 60)]
    assert windows_of(35) == [(0, 7), (14, 21), (28, 35)]


def test_the_test_can_end_before_the_data() -> None:
    """`until` is the last day of the test."""
    assert windows_of(183, Split(until="2018-09-29"))[2] == (175, 182)
    with pytest.raises(DataError, match="--until 'soon' is not a date"):
        windows_of(183, Split(until="soon"))


def test_too_short_a_history_says_what_it_has_and_what_it_needs() -> None:
    """34 days are one too few."""
    with pytest.raises(DataError, match=r"2018-04-01 to 2018-05-04, 34 days\).*need 35.*--gap-days"):
        windows_of(34)


def test_parts_hold_their_windows_alone() -> None:
    """No transaction stands in two windows, and none of the gaps in any."""
    frame = history(60)
    windows = Split().windows(START_MS, int(frame["event_time"].iloc[-1]))
    parts = split(frame, windows)
    assert [len(p.rows) for p in (parts.train, parts.validation, parts.test)] == [140, 140, 140]
    assert parts.train.window.holds(frame["event_time"].to_numpy()[parts.train.rows]).all()
    assert parts.train.frauds == parts.validation.frauds == parts.test.frauds == 7


def test_frauds_that_were_not_known_in_time_do_not_teach() -> None:
    """A label that came after the validation began counts as genuine in training; in the test the truth counts."""
    frame = history(60)
    late = frame.assign(labelled_at=(frame["event_time"] + 9 * DAY_MS).astype("Int64").where(frame["is_fraud"]))
    windows = Split().windows(START_MS, int(frame["event_time"].iloc[-1]))
    parts = split(late, windows)
    assert parts.train.frauds == parts.validation.frauds == 5
    assert parts.test.frauds == 7


def test_cards_with_a_known_fraud_leave_the_test_when_it_becomes_known() -> None:
    """What becomes known in the course of a day counts from the next day on.

    test day   0   1   2
    card A     x   x   x     fraud on day -8, known on day -1
    card B     ok  x   x     fraud on day -7, known on day 0
    """
    frame = history(60)
    cards = frame["card_id"].astype(str).to_numpy(dtype=object)
    for name, day in (("A", 53 - 8), ("B", 53 - 7)):
        cards[day * 20] = name
        cards[[(53 + d) * 20 + (1 if name == "A" else 2) for d in range(3)]] = name
    frame = frame.assign(card_id=pd.Categorical(cards))
    rows = set(split(frame, Split().windows(START_MS, int(frame["event_time"].iloc[-1]))).test.rows.tolist())
    assert [53 * 20 + d * 20 + 1 in rows for d in range(3)] == [False, False, False]
    assert [53 * 20 + d * 20 + 2 in rows for d in range(3)] == [True, False, False]


@pytest.mark.parametrize(("name", "days"), [("train", (25, 32)), ("validation", (39, 46)), ("test", (53, 60))])
def test_a_window_without_frauds_is_named_with_its_dates(name: str, days: tuple[int, int]) -> None:
    """One class cannot be learnt from, nor measured on."""
    frame = history(60)
    day = (frame["event_time"] - START_MS) // DAY_MS
    without = frame.assign(is_fraud=frame["is_fraud"] & ~day.between(days[0], days[1] - 1))
    with pytest.raises(DataError, match=rf"The {name} window 2018-0.* has no known frauds \(140 transactions\)"):
        split(without, Split().windows(START_MS, int(frame["event_time"].iloc[-1])))


def test_a_window_without_transactions_is_named() -> None:
    """A hole in the history."""
    frame = history(60)
    hole = frame[frame["event_time"] < START_MS + 39 * DAY_MS]
    with pytest.raises(DataError, match=r"The validation window 2018-05-10 to 2018-05-16 has no transactions"):
        split(hole, Split().windows(START_MS, int(frame["event_time"].iloc[-1])))
