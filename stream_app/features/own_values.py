"""A producer's own values as the numbers that a model reads: one rule for training and for the stream, to the bit.

A number is itself, clipped; a payment without one has 0. A text is a category: its place in the vocabulary that training learnt, which the model
carries. Unknown and missing ones have places of their own:

    0   the payment does not have it, or an empty text
    1   a value that training did not keep: seen too rarely there, or never, or a number where texts are meant
    2…  the vocabulary, in its order: by the share of frauds among the train window's payments, the least first
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

type Numbers = NDArray[np.float64]

LARGEST_NUMBER = 1e18
"""Numbers beyond it are clipped: squared, or times a weight, they still fit the float32 that models compute in."""
MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
MOST_VALUES = 64
"""Of one vocabulary."""


@dataclass(frozen=True, slots=True)
class OwnColumn:
    """The values of one name that some payments have.

    Attributes:
        codes: int64 [payments], the place of each one's value among `held`; -1: it has none.
        held: numbers and texts as they came, None for none; or numbers alone, float64, NaN for none.
    """

    codes: NDArray[np.int64]
    held: Sequence[Any] | Numbers

    def __getitem__(self, chosen: Any) -> OwnColumn:
        """Those of some of the payments."""
        return OwnColumn(self.codes[chosen], self.held)

    @staticmethod
    def of_none(count: int) -> OwnColumn:
        """So many payments without a value."""
        return OwnColumn(np.full(count, -1, dtype=np.int64), ())

    @staticmethod
    def joined(columns: Sequence[OwnColumn]) -> OwnColumn:
        """One behind the other."""
        held = [value for column in columns for value in column.held]
        begins = np.cumsum([0, *(len(column.held) for column in columns)])
        codes = [np.where(column.codes < 0, -1, column.codes + begin) for column, begin in zip(columns, begins, strict=False)]
        return OwnColumn(np.concatenate(codes), held)

    def numbers(self) -> Numbers:
        """float64 [payments], NaN where one has no number."""
        held = self.held
        if not isinstance(held, np.ndarray):
            held = np.array([value if isinstance(value, float | int) else np.nan for value in held], dtype=np.float64)
        found: Numbers = np.append(held, np.nan)[self.codes]
        return found

    def clipped(self, neutral: float) -> Numbers:
        """What a model reads of the numbers; `neutral` where there is none."""
        within = np.clip(self.numbers(), -LARGEST_NUMBER, LARGEST_NUMBER)
        return np.where(np.isnan(within), neutral, within)

    def places(self, vocabulary: Sequence[str]) -> Numbers:
        """What a model reads of the texts."""
        known = {text: FIRST_KNOWN + n for n, text in enumerate(vocabulary)}
        if isinstance(self.held, np.ndarray):
            of_held = np.where(np.isnan(self.held), MISSING, UNKNOWN).tolist()
        else:
            of_held = [MISSING if value is None or value == "" else known.get(value, UNKNOWN) for value in self.held]
        found: Numbers = np.array([*of_held, MISSING], dtype=np.float64)[self.codes]
        return found


def told_by(vocabulary: Sequence[str], place: float) -> str | None:
    """The text that a place stands for; None: it stands for none."""
    n = round(place) - FIRST_KNOWN
    return vocabulary[n] if 0 <= n < len(vocabulary) else None
