"""What training refuses: each would have trained a wrong model silently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import DataError
from tests.examples import examples
from training.data.dataset import check_for_training

T0 = 1_522_540_800_000  # 2018-04-01T00:00:00Z


def trainable(number: int = 6) -> pd.DataFrame:
    """What passes the check: transactions a second apart, every other one a fraud."""
    rows = np.arange(number)
    return pd.DataFrame(
        {
            "transaction_id": [f"{row:04d}" for row in rows.tolist()],
            "event_time": T0 + 1000 * rows,
            "card_id": "C1",
            "terminal_id": "T1",
            "amount": 10.0,
            "is_fraud": rows % 2 == 1,
            "labelled_at": pd.array([pd.NA] * number, dtype="Int64"),
        }
    )


def untrainable(frame: pd.DataFrame) -> str:
    """The check stops with one line that names the source: that line."""
    with pytest.raises(DataError) as stopped:
        check_for_training(frame, "t.csv")
    assert str(stopped.value).startswith("t.csv")
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


def test_rows_out_of_order_are_refused_for_training() -> None:
    """The first row that goes back in time, and the remedy. Equal times are in order."""
    frame = trainable()
    frame.loc[3, "event_time"] = T0 + 2000
    check_for_training(frame)
    frame.loc[3, "event_time"] = T0 + 500
    text = untrainable(frame)
    assert "row 4" in text
    assert "Sort the file by event_time" in text


def test_a_transaction_twice_is_refused_for_training() -> None:
    """Id, card and both rows; the same id on another card is another transaction, as on the stream."""
    frame = trainable()
    frame.loc[4, ["transaction_id", "card_id"]] = ["0001", "another"]
    check_for_training(frame)
    frame.loc[1, "card_id"] = "another"
    text = untrainable(frame)
    assert "transaction_id '0001' twice on card 'another'" in text
    assert "rows 2 and 5" in text
    assert "Remove one" in text


@pytest.mark.parametrize(("value", "says"), [(False, "no frauds"), (True, "nothing but frauds")])
def test_one_class_alone_is_refused_for_training(*, value: bool, says: str) -> None:
    """There is nothing to learn from."""
    text = untrainable(trainable().assign(is_fraud=value))
    assert says in text
    assert "'is_fraud'" in text
    assert "longer history" in text


def test_a_file_without_labels_is_refused_for_training() -> None:
    """It can be produced, not trained on."""
    text = untrainable(trainable().drop(columns="is_fraud"))
    assert "column 'is_fraud' is missing" in text
    assert "Join the labels" in text


def test_no_rows_are_refused_for_training() -> None:
    """As a window that selects nothing leaves them."""
    assert "no frauds in column 'is_fraud' (0 rows)" in untrainable(trainable().head(0))


@examples(60)
@given(times=st.lists(st.integers(T0, T0 + 50), min_size=2, max_size=30))
def test_order_is_judged_as_a_brute_force_would(times: list[int]) -> None:
    """The row named is the first that is earlier than the one before it."""
    back = next((i for i in range(1, len(times)) if times[i] < times[i - 1]), None)
    frame = trainable(len(times)).assign(event_time=np.array(times))
    if back is None:
        check_for_training(frame)
    else:
        assert f"row {back + 1} has" in untrainable(frame)
