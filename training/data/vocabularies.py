"""Vocabularies: which texts of a producer's own column a model knows, learnt on the train window alone.

The most frequent ones are kept, in the order of their share of frauds: a tree then parts them at one threshold as well as at any. The share is drawn
towards that of all payments where a text is rare, so that two payments make no order. What is left out is one place, "unknown", and is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stream_app.errors import DataError
from stream_app.features.definitions import CATEGORY, Feature
from stream_app.features.own_values import MOST_VALUES
from stream_app.messages.card_numbers import without_card_numbers
from stream_app.messages.transaction import ATTRIBUTE
from stream_app.wire.mapping import is_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LEAST_PAYMENTS = 5
"""Of the train window, that have a text: a rarer one is not kept."""
PRIOR_PAYMENTS = 20
"""So many payments of the usual share of frauds are added to those of each text."""
_MOST_OF_NUMBERS = 0.9
"""A column of many texts, of which this share are numbers, is one of numbers with faults in it."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What was learnt of a column.

    Attributes:
        field: the producer's name for it.
        texts: that are kept, in order.
        distinct: how many there are in the train window.
        left_out: share of the window's payments whose text is not kept.
        missing: share of them without a text.
    """

    field: str
    texts: tuple[str, ...]
    distinct: int
    left_out: float
    missing: float

    @property
    def feature(self) -> Feature:
        """As a column of a model."""
        return Feature(CATEGORY, field=self.field, vocabulary=self.texts)

    def __str__(self) -> str:
        kept = (
            f"{len(self.texts)} of {self.distinct:,} values kept" if self.distinct > len(self.texts) else f"all {self.distinct} values kept"
        )
        left_out = f"; the others, {_percent(self.left_out)} of the payments, count as one unknown value" if self.left_out else ""
        missing = f"; {_percent(self.missing)} of the payments have none" if self.missing else ""
        return f"attribute {self.field} is a category: {kept}{left_out}{missing}"


def learnt(frame: pd.DataFrame, features: Sequence[Feature], rows: NDArray[np.bool_]) -> tuple[Vocabulary, ...]:
    """The vocabulary of every feature that is a column of texts.

    Args:
        frame: as `training.data.dataset.read_transactions` gives it, with labels.
        features: those that are asked for.
        rows: bool [transactions], those of the train window.

    Raises:
        DataError: a column says nothing, or is one of numbers with faults.
    """
    names = [f.field for f in features if f.of.fields is None]
    columns = [(name, frame.get(ATTRIBUTE + name)) for name in names]
    return tuple(
        _learnt(name, column[rows], frame["is_fraud"].to_numpy(dtype=bool)[rows])
        for name, column in columns
        if column is not None and isinstance(column.dtype, pd.CategoricalDtype)
    )


def with_vocabularies(features: Sequence[Feature], vocabularies: Sequence[Vocabulary]) -> tuple[Feature, ...]:
    """The features, each column of texts as the category that was learnt."""
    categories = {v.field: v.feature for v in vocabularies}
    return tuple(categories.get(f.field, f) if f.of.fields is None else f for f in features)


def _learnt(name: str, column: pd.Series[str], is_fraud: NDArray[np.bool_]) -> Vocabulary:
    codes, texts = column.cat.codes.to_numpy(), column.cat.categories
    there = codes >= 0
    counts = np.bincount(codes[there], minlength=len(texts))
    frauds = np.bincount(codes[there], weights=is_fraud[there], minlength=len(texts))
    distinct = int(np.count_nonzero(counts))
    _refuse_numbers(name, column, distinct)
    frequent = np.argsort(-counts, kind="stable")[: 2 * MOST_VALUES]
    kept = [n for n in frequent.tolist() if counts[n] >= LEAST_PAYMENTS and without_card_numbers(texts[n]) == texts[n]][:MOST_VALUES]
    if not kept:
        raise DataError(
            f"The attribute {name!r} says nothing: of its {distinct:,} values in the train window, none stands in {LEAST_PAYMENTS} payments. "
            "Leave it out of --attributes; an id belongs into device_id, merchant_id or ip."
        )
    usual = is_fraud.mean()
    share = (frauds[kept] + PRIOR_PAYMENTS * usual) / (counts[kept] + PRIOR_PAYMENTS)
    ordered = sorted(zip(share.tolist(), (str(texts[n]) for n in kept), strict=True))
    left_out = int(counts.sum() - counts[kept].sum())
    return Vocabulary(name, tuple(text for _, text in ordered), distinct, left_out / len(codes), float(1 - there.mean()))


def _refuse_numbers(name: str, column: pd.Series[str], distinct: int) -> None:
    """One text that is none makes a column of numbers one of texts."""
    if distinct <= MOST_VALUES:
        return
    sample = column.cat.categories[:: max(1, len(column.cat.categories) // 10_000)]
    wrong = [text for text in sample if not is_number(text)]
    if len(wrong) < (1 - _MOST_OF_NUMBERS) * len(sample):
        example = wrong[0] if wrong else "a text"
        raise DataError(
            f"The attribute {name!r} holds numbers as text, and other texts, as {example!r}: neither a column of numbers nor of categories. "
            "Write numbers alone, and nothing where one is unknown."
        )


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= _A_TENTH_PERCENT else "less than 0.1%"


_A_TENTH_PERCENT = 0.001
