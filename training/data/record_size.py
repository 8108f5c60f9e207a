"""A row of a file that no record can hold: so large that a worker refuses what `produce` makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd

from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import ATTRIBUTE, MAX_MESSAGE_BYTES, Transaction, too_large
from training.data.columns import RefusedRow
from training.data.sources import shown as shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MOST_OF_FIELDS = 8_192
"""Bytes that all fields beside `attributes` take at most: a dozen texts of 64 characters, escaped, and their names."""
_MOST_OF_NUMBER = 25
_MOST_OF_CHARACTER = 6
_ROWS = 1_000


def refuse_too_large(path: Path, columns: Mapping[str, Any]) -> None:
    """Stop at the first row that is larger than a record may be. Of a file with few columns none is, and none is looked at.

    Args:
        path: for the error.
        columns: as `training.data.dataset` has them.

    Raises:
        RefusedRow: as a worker would refuse the record, with its number.
    """
    own = {name: values for name, values in columns.items() if name.startswith(ATTRIBUTE)}
    if _MOST_OF_FIELDS + sum(len(name.encode()) + _most_of(values) for name, values in own.items()) <= MAX_MESSAGE_BYTES:
        return
    for row, record in enumerate(_records(columns), 1):
        size = len(msgspec.json.encode(record))
        if size > MAX_MESSAGE_BYTES:
            raise RefusedRow(
                f"{shown_path(path)}: row {row} is wrong: {too_large(size)} Leave attributes out.", DeadLetterCode.TOO_LARGE, row
            )


def _most_of(values: Any) -> int:
    """Bytes of one value with its marks, at most."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _MOST_OF_CHARACTER + _MOST_OF_CHARACTER * max(map(len, values.categories), default=0)
    return _MOST_OF_CHARACTER + _MOST_OF_NUMBER


def _records(columns: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each row as a record has it, without what is not given."""
    taken = {name: values for name, values in columns.items() if name in Transaction.__struct_fields__ or name.startswith(ATTRIBUTE)}
    count = len(next(iter(taken.values())))
    for start in range(0, count, _ROWS):
        lists = {name: pd.Series(values[start : start + _ROWS]).astype(object).tolist() for name, values in taken.items()}
        for row in zip(*lists.values(), strict=True):
            given = {name: value for name, value in zip(lists, row, strict=True) if not pd.isna(value)}
            own = {name.removeprefix(ATTRIBUTE): given.pop(name) for name in list(given) if name.startswith(ATTRIBUTE)}
            yield given | ({"attributes": own} if own else {})
