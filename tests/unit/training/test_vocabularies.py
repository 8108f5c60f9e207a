"""What is learnt of a producer's own texts: which are known, in which order, and what is told of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stream_app.errors import DataError
from stream_app.features.definitions import Feature
from training.data.vocabularies import Vocabulary, learnt, with_vocabularies

ASKED = (Feature("amount"), Feature("attributes", field="way"), Feature("attributes", field="v1"))


def learnt_of(texts: list[Any], frauds: set[int] | None = None, rows: Any = None) -> Vocabulary:
    """The one vocabulary of a history with these texts."""
    is_fraud = np.isin(np.arange(len(texts)), sorted(frauds or ()))
    frame = pd.DataFrame(
        {"attributes.way": pd.Series(texts, dtype="category"), "attributes.v1": np.zeros(len(texts)), "is_fraud": is_fraud}
    )
    (found,) = learnt(frame, ASKED, np.ones(len(texts), dtype=bool) if rows is None else rows)
    return found


def test_texts_are_in_the_order_of_their_share_of_frauds() -> None:
    """The least first, of equal ones by text; a column of numbers has no vocabulary."""
    found = learnt_of(["b"] * 50 + ["c"] * 50 + ["a"] * 50 + ["d"] * 50, frauds={*range(50, 60), *range(100, 104)})
    assert found.texts == ("b", "d", "a", "c")
    assert with_vocabularies(ASKED, [found]) == (ASKED[0], Feature("category", field="way", vocabulary=found.texts), ASKED[2])


def test_the_share_of_a_rare_text_is_drawn_to_the_usual_one() -> None:
    """Five payments, all fraud by chance, do not outdo two hundred of which half are."""
    found = learnt_of(["rare"] * 5 + ["often"] * 200 + ["fine"] * 300, frauds={*range(5), *range(5, 165)})
    assert found.texts == ("fine", "rare", "often")


def test_only_the_train_window_is_learnt_from() -> None:
    """A text of later days is unknown, and their frauds order nothing."""
    rows = np.arange(40) < 20
    found = learnt_of(["a", "b"] * 10 + ["later"] * 20, frauds={0, *range(21, 40)}, rows=rows)
    assert found.texts == ("b", "a")


def test_at_most_64_texts_are_kept_and_the_rest_is_told_with_its_share() -> None:
    """The most frequent; a text of fewer than five payments is none."""
    texts = [f"t{n:03}" for n in range(100) for _ in range(200 - n)] + ["rare"] * 4
    found = learnt_of([*texts, None])
    assert set(found.texts) == {f"t{n:03}" for n in range(64)}
    left = sum(200 - n for n in range(64, 100)) + 4
    assert found.left_out == pytest.approx(left / (len(texts) + 1))
    assert str(found) == (
        f"attribute way is a category: 64 of 101 values kept; the others, {found.left_out:.1%} of the payments, count as one unknown value; "
        "less than 0.1% of the payments have none"
    )


def test_a_million_different_values_say_nothing_and_are_told_so() -> None:
    """An id is no category."""
    with pytest.raises(DataError, match=r"'way' says nothing: of its 1,000,000 values in the train window, none stands in 5 payments"):
        learnt_of([f"session-{n}" for n in range(1_000_000)])


def test_numbers_with_a_text_among_them_are_no_category() -> None:
    """One "n/a" makes a column of a CSV one of texts: it is told which."""
    with pytest.raises(DataError, match=r"'way' holds numbers as text, and other texts, as 'n/a'"):
        learnt_of([str(n / 7) for n in range(200)] * 5 + ["n/a"] * 9)
    assert learnt_of(["05", "57", "1A"] * 5).texts == ("05", "1A", "57")


def test_a_card_number_is_never_learnt() -> None:
    """It would stand in the model's file."""
    assert learnt_of(["4111111111111111"] * 9 + ["token"] * 9).texts == ("token",)
