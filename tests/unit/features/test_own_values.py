"""A producer's own values as numbers: as a few lines over the values themselves say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.features.own_values import LARGEST_NUMBER, OwnColumn, told_by

VOCABULARY = ("low", "high")
VALUES = st.lists(
    st.one_of(st.none(), st.sampled_from(["", "low", "high", "other"]), st.integers(-5, 5), st.floats(-1e300, 1e300)), max_size=8
)


def column(values: list[object]) -> OwnColumn:
    """Of payments with these values, the last one of which is held first."""
    held = values[::-1]
    return OwnColumn(np.array([-1 if value is None else len(held) - 1 - n for n, value in enumerate(values)], dtype=np.int64), held)


def place(value: object) -> int:
    """What a model reads of one value."""
    return 0 if value in {None, ""} else VOCABULARY.index(value) + 2 if value in VOCABULARY else 1


@given(VALUES, VALUES)
def test_columns_behind_one_another_are_read_as_their_values_are(first: list[object], second: list[object]) -> None:
    """Numbers clipped, whole ones too; texts by the vocabulary; a payment that has none keeps having none."""
    joined, values = OwnColumn.joined([column(first), column(second)]), first + second
    clipped = [float(np.clip(v, -LARGEST_NUMBER, LARGEST_NUMBER)) if isinstance(v, int | float) else 7.0 for v in values]
    assert joined.clipped(7.0).tolist() == clipped
    assert joined.places(VOCABULARY).tolist() == [place(value) for value in values]
    assert joined[len(first) :].clipped(7.0).tolist() == clipped[len(first) :]


def test_numbers_alone_are_no_texts() -> None:
    """Each is one that the vocabulary does not have; one that is not there is missing, and so is all of a column that nobody has."""
    numbers = OwnColumn(np.array([0, 1, -1], dtype=np.int64), np.array([3.0, np.nan]))
    assert numbers.places(VOCABULARY).tolist() == [1, 0, 0]
    assert numbers.clipped(7.0).tolist() == [3.0, 7.0, 7.0]
    assert OwnColumn.of_none(2).places(VOCABULARY).tolist() == [0, 0]
    assert OwnColumn.of_none(2).clipped(7.0).tolist() == [7.0, 7.0]


@pytest.mark.parametrize(("at", "text"), [(0, None), (1, None), (2, "low"), (2.9999998, "high"), (3.0000002, "high"), (4, None)])
def test_a_place_tells_its_text(at: float, text: str | None) -> None:
    """As a float32 may have it; those of unknown and missing values tell none."""
    assert told_by(VOCABULARY, at) == text
