"""A column of a file → the values of its field; or the first row that the table of fields refuses, with the sentence that a record would get.

A file may spell a value otherwise than a record does: times as ISO 8601 or timestamps, numbers and flags as text or as 1 and 0, ids as integers
or UUIDs, and nothing, an empty text or NaN where a record leaves the field out. What the value is, is held to `stream_app.messages.fields` alone.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from stream_app.errors import DataError, RecordError
from stream_app.messages.event_time import seems_to_be
from stream_app.messages.fields import Field, FieldKind
from stream_app.messages.refusals import CONTROL_CHARACTERS, DeadLetterCode, missing, refused, shown
from training.data.sources import shown as shown_path

if TYPE_CHECKING:
    from pathlib import Path

DIGITS_OF_CARD_NUMBER = r"^[0-9]{13,19}$"
_UUID_BYTES = 16
LATEST_IN_FILE_MS = 16_725_225_600_000
"""The year 2500: a number beyond it is a date in digits (20230101000000), or another unit."""


class RefusedRow(DataError):  # noqa: N818 - what became of it
    """A row of a file holds what no record may hold.

    Attributes:
        code: of `DeadLetterCode`, as a worker would refuse the record.
        row: counts from 1.
    """

    def __init__(self, text: str, code: str, row: int) -> None:
        super().__init__(text)
        self.code, self.row = code, row


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Attributes:
        called: what the file calls it, as "column 'value'".
        field: what its values must be.
        held: Arrow's chunked array of them.
        of_text_file: whether the file holds numbers as text.
    """

    path: Path
    called: str
    field: Field
    held: Any
    of_text_file: bool = False

    def values(self, *, refuse_card_numbers: bool = True) -> Any:
        """The values, as `training.data.dataset` has them.

        Raises:
            RefusedRow: the first that is wrong.
        """
        match self.field.kind:
            case FieldKind.TEXT | FieldKind.CODE:
                return self._texts(refuse_card_numbers=refuse_card_numbers)
            case FieldKind.TIME:
                return self._times()
            case FieldKind.FLAG:
                return self._flags()
            case FieldKind.NUMBER_OR_TEXT:
                return self._own(refuse_card_numbers=refuse_card_numbers)
        return self._numbers()

    def refuse(self, wrong: Any, refusal_of_row: Any) -> None:
        """Stop at the first row of `wrong`, bool [rows]; `refusal_of_row` says why that one is wrong."""
        if not wrong.any():
            return
        row, others = int(wrong.argmax()), int(wrong.sum()) - 1
        more = f" and in {others} other{'s' if others > 1 else ''}" if others else ""
        raise self._stopped(row, refusal_of_row(row), more)

    def _stopped(self, row: int, refusal: RecordError, more: str) -> RefusedRow:
        return RefusedRow(
            f"{shown_path(self.path)}: {self.called} is wrong in row {row + 1}{more}: {refusal.message}", refusal.code, row + 1
        )

    def _refuse_missing(self, is_missing: Any) -> None:
        if self.field.required:
            self.refuse(is_missing, lambda _row: missing(self.field))

    def _texts(self, *, refuse_card_numbers: bool) -> Any:
        kind, held = self.held.type, self.held
        if isinstance(kind, pa.UuidType):
            held = held.cast(pa.binary(16))
        if pa.types.is_floating(kind) or pa.types.is_nested(kind) or pa.types.is_temporal(kind):
            raise DataError(f"{shown_path(self.path)}: {self.called} holds {kind}, where text (or integers) must be. Write it as text.")
        if pa.types.is_boolean(kind):
            self.refuse(held.is_valid().to_numpy(), lambda row: refused(self.field, held[row].as_py()))
        if self.field.name == "transaction_id":  # all different: a dictionary of them would only be a copy more
            texts = as_text(held).cast(pa.large_string())
            self._refuse_missing(texts.is_null().to_numpy())
            wrong = self._wrong_texts(texts, refuse_card_numbers=refuse_card_numbers)
            self.refuse(np.isin(np.arange(len(texts)), wrong), lambda row: self._of_text(texts[row].as_py(), refuse_card_numbers))
            return pd.array(texts, dtype="str")
        encoded = held.dictionary_encode().combine_chunks()
        distinct = as_text(encoded.dictionary).cast(pa.string())
        if not self.field.required:
            encoded, distinct = _without_empty(encoded, distinct)
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        self._refuse_missing(codes < 0)
        wrong = self._wrong_texts(distinct, refuse_card_numbers=refuse_card_numbers)
        self.refuse(np.isin(codes, wrong), lambda row: self._of_text(distinct[int(codes[row])].as_py(), refuse_card_numbers))
        return pd.Categorical(pa.DictionaryArray.from_arrays(encoded.indices, distinct).to_pandas())

    def _of_text(self, text: str, refuse_card_numbers: bool) -> RecordError | None:  # noqa: FBT001 - passed on
        return refused(self.field, text, refuse_card_numbers=refuse_card_numbers)

    def _wrong_texts(self, texts: Any, *, refuse_card_numbers: bool) -> list[int]:
        """Where texts stand that the table refuses: those that may be wrong are found by Arrow, and asked one by one."""
        if self.field.kind is FieldKind.CODE:
            doubtful = np.arange(len(texts))
        else:
            lengths = pc.utf8_length(texts)
            doubt = pc.or_(pc.less(lengths, self.field.least or 0), pc.match_substring_regex(texts, CONTROL_CHARACTERS))
            if self.field.most is not None:
                doubt = pc.or_(doubt, pc.greater(lengths, self.field.most))
            if refuse_card_numbers and self.field.name == "card_id":
                doubt = pc.or_(doubt, pc.match_substring_regex(texts, DIGITS_OF_CARD_NUMBER))
            doubtful = np.flatnonzero(doubt.fill_null(False).to_numpy(zero_copy_only=False))
        return [int(i) for i in doubtful if texts[int(i)].is_valid and self._of_text(texts[int(i)].as_py(), refuse_card_numbers)]

    def _times(self) -> Any:
        column = plain(self.held)
        is_missing = column.is_null().to_numpy()
        self._refuse_missing(is_missing)
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("ms", getattr(column.type, "tz", None)), safe=False).cast(pa.int64())
        elif is_text(column.type):
            column = self._parsed_times(column)
        values = self._cast(column, pa.int64()).fill_null(0).to_numpy()
        least, most = self.field.least or 0, min(self.field.most or LATEST_IN_FILE_MS, LATEST_IN_FILE_MS)
        self.refuse(~is_missing & ((values < least) | (values > most)), lambda row: self._of_time(int(values[row])))
        return values if self.field.required and self.field.name != "labelled_at" else pd.arrays.IntegerArray(values, is_missing)

    def _of_time(self, ms: int) -> RecordError:
        told = f"{self.field.name} is {ms}{seems_to_be(ms)}; no file holds payments of the years after 2500"
        return refused(self.field, ms) or RecordError(DeadLetterCode.FUTURE, f"{told}: send {self.field.must_be}, or ISO 8601.")

    def _parsed_times(self, column: Any) -> Any:
        """ISO 8601 → ms; one wrong text makes a whole column of a CSV text, so digits are milliseconds here too."""
        texts = column.to_pandas()
        digits = texts.str.fullmatch(r"[0-9]{1,18}").fillna(value=False).to_numpy(dtype=bool)
        parsed = pd.to_datetime(texts.mask(digits), utc=True, format="ISO8601", errors="coerce")
        values = parsed.dt.tz_convert(None).dt.as_unit("ms").to_numpy().astype(np.int64)
        values[digits] = texts[digits].astype(np.int64)

        def of_row(row: int) -> RecordError:
            told = f"{self.field.name} is {shown(repr(texts.iloc[row]))}; write ISO 8601, as 2018-04-01T00:00:31Z, or {self.field.must_be}."
            return RecordError(DeadLetterCode.WRONG_TYPE, told)

        self.refuse((parsed.isna() & texts.notna()).to_numpy() & ~digits, of_row)
        return pa.chunked_array([pa.array(values, mask=texts.isna().to_numpy())])

    def _numbers(self) -> Any:
        column = plain(self.held)
        if pa.types.is_boolean(column.type):  # Arrow would take true for 1
            self.refuse(column.is_valid().to_numpy(), lambda row: refused(self.field, column[row].as_py()))
        values = self._cast(column, pa.float64()).to_numpy()
        self._refuse_missing(np.isnan(values))
        wrong = np.isinf(values)
        if self.field.least is not None:
            wrong |= values < self.field.least
        if self.field.most is not None:
            wrong |= values > self.field.most
        self.refuse(wrong, lambda row: refused(self.field, float(values[row])))
        return values

    def _own(self, *, refuse_card_numbers: bool) -> Any:
        """Numbers where all of it are, also those that a CSV holds as text; texts else."""
        kind = plain(self.held[:0]).type
        holds_texts = is_text(kind) or pa.types.is_fixed_size_binary(kind) or isinstance(kind, pa.UuidType)
        if not holds_texts or (self.of_text_file and _castable(plain(self.held), pa.float64())):
            return replace(self, field=replace(self.field, kind=FieldKind.NUMBER, most=None)).values()
        return replace(self, field=replace(self.field, kind=FieldKind.TEXT)).values(refuse_card_numbers=refuse_card_numbers)

    def _flags(self) -> Any:
        column = plain(self.held)
        values = self._cast(column if pa.types.is_boolean(column.type) or is_text(column.type) else self._bits(column), pa.bool_())
        self._refuse_missing(values.is_null().to_numpy())
        return values.to_numpy() if self.field.required else pd.array(values.to_pandas(), dtype="boolean")

    def _bits(self, column: Any) -> Any:
        """1 and 0 as flags; Arrow takes every number but 0 for true."""
        values = self._cast(column, pa.float64()).to_numpy()
        self.refuse((values != 0) & (values != 1) & ~np.isnan(values), lambda row: refused(self.field, float(values[row])))
        return column

    def _cast(self, column: Any, kind: Any) -> Any:
        """Cast, or stop at the first row that cannot be."""
        if _castable(column, kind):
            return column.cast(kind)
        row = bisect_left(range(len(column)), True, key=lambda last: not _castable(column[: last + 1], kind))
        value = column[row].as_py()
        refusal = refused(self.field, value if isinstance(value, (str, float, int, bool, list, dict)) else str(value))
        told = refusal or RecordError(DeadLetterCode.WRONG_TYPE, f"{self.field.name} cannot be read; send {self.field.must_be}.")
        raise self._stopped(row, told, f" ({shown(repr(value))})" if isinstance(value, str) else "")


def as_text(values: Any) -> Any:
    """Ids and codes as text: integers in digits, UUIDs in their usual form."""
    if not pa.types.is_fixed_size_binary(values.type):
        return values.cast(pa.string())
    texts = [
        value if value is None else str(uuid.UUID(bytes=value)) if len(value) == _UUID_BYTES else value.hex()
        for value in values.to_pylist()
    ]
    return pa.chunked_array([pa.array(texts, pa.string())]) if isinstance(values, pa.ChunkedArray) else pa.array(texts, pa.string())


def plain(column: Any) -> Any:
    """A column without dictionary; its empty texts are missing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pc.if_else(pc.equal(column, ""), None, column) if is_text(column.type) else column


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _without_empty(encoded: Any, distinct: Any) -> tuple[Any, Any]:
    """Where a field may be left out, an empty text is as not given."""
    empty = pc.index(distinct, "").as_py()
    if empty < 0:
        return encoded, distinct
    indices = pc.if_else(pc.equal(encoded.indices, empty), None, encoded.indices)
    again = pa.DictionaryArray.from_arrays(indices, distinct).cast(pa.string()).dictionary_encode()
    return again, again.dictionary


def _castable(column: Any, kind: Any) -> bool:
    try:
        column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
