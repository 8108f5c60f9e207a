"""Rows of a source, one by one: what each column holds, which rows a worker would refuse and why, and what looks wrong over all of them.

Memory is bounded by the columns (`MOST_COLUMNS`, each with `MOST_DISTINCT` values) and by a hash of each row looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from stream_app.errors import RecordError
from stream_app.inspecting.columns import Form, SourceColumn, form_of, number_of
from stream_app.inspecting.guesses import NEEDED, OURS, Guess, GuessedMapping, words
from stream_app.messages.fields import Field, FieldKind, one_of_own
from stream_app.messages.refusals import LABEL_BEFORE_EVENT_TOLD, DeadLetterCode, missing, refused, shown
from stream_app.messages.transaction import ATTRIBUTE, MAX_MESSAGE_BYTES, Transaction, too_large
from stream_app.wire.mapping import as_written
from stream_app.wire.times import ISO

MOST_COLUMNS = 500
_EXAMPLES = 3
_DAY_MS = 86_400_000
_DEEPEST = 4
_FEW_COLUMNS = 100
"""A row of more is held against the bound of a record."""
_SCALE = {"s": 1000.0, "": 1.0, ISO: 1.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}


@dataclass(slots=True)
class RefusalCount:
    """Rows that are refused for one reason.

    Attributes:
        example: the first such row's number, and its sentence.
    """

    rows: int
    example: tuple[int, str]


@dataclass(slots=True)
class Inspection:
    """What was seen so far.

    Attributes:
        mapping: what the columns are to us.
        is_file: a file may spell values otherwise than records do; see `training.data.columns`.
        refuse_card_numbers: as the worker's setting.
        reasons: by code and field.
        refused_rows: rows with a reason at the least.
        seen: hashes of card and transaction.
        midnights, disordered, frauds, labelled, whole, money: rows whose time is one, is earlier than that before, are a fraud, say whether, have
            an amount without fraction, have an amount.
    """

    mapping: GuessedMapping
    is_file: bool = True
    refuse_card_numbers: bool = True
    rows: int = 0
    columns: dict[str, SourceColumn] = field(default_factory=dict)
    left_out: int = 0
    reasons: dict[tuple[str, str], RefusalCount] = field(default_factory=dict)
    refused_rows: int = 0
    seen: set[int] = field(default_factory=set)
    duplicates: int = 0
    first_ms: int = 2**62
    last_ms: int = 0
    before_ms: int = 0
    midnights: int = 0
    disordered: int = 0
    frauds: int = 0
    labelled: int = 0
    whole: int = 0
    money: int = 0

    def add(
        self, row: Mapping[str, Any], refusal: RecordError | None = None, made: Mapping[str, Any] | None = None, *, judged: bool = False
    ) -> None:
        """Take a row under the source's names; of a record that a worker has judged already with its `refusal`, or the payment that is `made` of it."""
        self.rows += 1
        flat = {**row, **dict(flattened(row))}
        for name, value in flattened(row):
            if name in self.columns or len(self.columns) < MOST_COLUMNS:
                self.columns.setdefault(name, SourceColumn(name)).add(value)
            else:
                self.left_out += 1
        ours = (
            made
            if made is not None
            else {name: self._ours(name, guess, flat) for name, guess in self.mapping.columns.items()} | {**self.mapping.constants}
        )
        found = [("", refusal)] if refusal else [] if judged else [*self._refusals(ours), *_refusals_of_size(ours, flat)]
        for name, why in found:
            if why is not None:
                self.refuse(name, why)
        self.refused_rows += bool(found)
        wrong = {name for name, _ in found}
        self._accept({name: value for name, value in ours.items() if name not in wrong})

    def refuse(self, name: str, why: RecordError) -> None:
        """Count a reason."""
        reason = self.reasons.setdefault((str(why.code), name), RefusalCount(0, (self.rows, why.message)))
        reason.rows += 1

    def _ours(self, name: str, guess: Guess, row: Mapping[str, Any]) -> Any:
        value = _theirs(guess, row)
        if name in self.mapping.tokens and value is not None:
            return f"token-{hash(value)}"
        if guess.read is not None and form_of(value) is not None and isinstance(value, (str, int)) and not isinstance(value, bool):
            try:
                return guess.read(value)
            except RecordError as refusal:
                return refusal
        if self.mapping.is_said and guess.values and form_of(value) is not None and as_written(value) not in guess.values:
            told = f"{name}, at {guess.theirs}, is {shown(repr(value))}; the mapping knows {shown(', '.join(guess.values))}."
            return RecordError(DeadLetterCode.UNKNOWN_VALUE, told)
        if not self.is_file:
            return value
        table = guess.values if self.mapping.is_said or name not in OURS else {**words([as_written(value)], OURS[name]), **guess.values}
        return spelt(_field(name), value, guess, self.mapping.decimal, table)

    def _refusals(self, ours: Mapping[str, Any]) -> Iterator[tuple[str, RecordError]]:
        for name, of in OURS.items():
            if name in ours and name != "source":
                why = self._refusal(name, of, ours.get(name))
                if why is not None:
                    yield name, why
        for name, value in ours.items():
            if name.startswith(ATTRIBUTE) and value is not None and (why := refused(_field(name), value)) is not None:
                yield name, why
        if isinstance(at := ours.get("labelled_at"), int) and isinstance(paid := ours.get("event_time"), int) and at < paid:
            yield "labelled_at", RecordError(DeadLetterCode.LABEL_BEFORE_EVENT, LABEL_BEFORE_EVENT_TOLD)

    def _refusal(self, name: str, of: Field, value: Any) -> RecordError | None:
        if isinstance(value, RecordError):
            return value
        if value is None or (value == "" and name not in NEEDED):
            return missing(of) if name in NEEDED or name == "is_fraud" else None
        return refused(of, value, refuse_card_numbers=self.refuse_card_numbers)

    def _accept(self, ours: Mapping[str, Any]) -> None:
        key = hash((ours.get("card_id"), ours.get("transaction_id")))
        if {"card_id", "transaction_id"} <= ours.keys():
            self.duplicates += key in self.seen
            self.seen.add(key)
        at, amount = ours.get("event_time"), ours.get("amount")
        if isinstance(at, int):
            self.first_ms, self.last_ms = min(self.first_ms, at), max(self.last_ms, at)
            self.disordered += at < self.before_ms
            self.midnights += at % _DAY_MS == 0
            self.before_ms = at
        if isinstance(amount, (int, float)):
            self.money += 1
            self.whole += float(amount).is_integer()
        if isinstance(fraud := ours.get("is_fraud"), bool):
            self.labelled += 1
            self.frauds += fraud


def _theirs(guess: Guess, row: Mapping[str, Any]) -> Any:
    """What stands in its column; of several parts their texts, a blank between, or nothing where one is missing."""
    if not guess.also:
        return row.get(guess.theirs)
    parts = [row.get(name) for name in (guess.theirs, *guess.also)]
    return None if None in parts else " ".join(map(str, parts))


def _refusals_of_size(ours: Mapping[str, Any], row: Mapping[str, Any]) -> Iterator[tuple[str, RecordError]]:
    """A row of so many columns may be larger than a record: all of its own values count, also those beyond `MOST_COLUMNS`."""
    if len(row) <= _FEW_COLUMNS:
        return
    own = {name.removeprefix(ATTRIBUTE): value for name, value in row.items() if name.startswith(ATTRIBUTE) and form_of(value) is not None}
    fields = {name: value for name, value in ours.items() if name in Transaction.__struct_fields__ and value is not None}
    size = len(msgspec.json.encode(fields | {"attributes": own}))
    if size > MAX_MESSAGE_BYTES:
        yield "attributes", RecordError(DeadLetterCode.TOO_LARGE, too_large(size))


def _field(name: str) -> Field:
    return OURS.get(name) or one_of_own(OURS["attributes"], name.removeprefix(ATTRIBUTE))


def flattened(row: Mapping[str, Any], before: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Names and values, those of objects within by their path: `payload.card`."""
    for name, value in row.items():
        if isinstance(value, dict) and value and depth < _DEEPEST:
            yield from flattened(value, f"{before}{name}.", depth + 1)
        else:
            yield before + name, value


def spelt(of: Field, value: Any, guess: Guess, decimal: str, table: Mapping[str, str]) -> Any:
    """A value as a record has it, of one as a file may spell it; what cannot be one stays as it is, and is refused for that."""
    if value is None or form_of(value) is None:
        return None
    if table:
        value = table.get(as_written(value), value)
    match of.kind:
        case FieldKind.TEXT | FieldKind.CODE:
            return value if isinstance(value, (bool, float, list, dict)) else str(value)
        case FieldKind.FLAG:
            return {"true": True, "false": False, "1": True, "0": False}.get(str(value).lower().removesuffix(".0"), value)
        case FieldKind.TIME:
            return _milliseconds(value, guess)
        case FieldKind.NUMBER | FieldKind.NUMBER_OR_TEXT if isinstance(value, str):
            number = number_of(value, Form.COMMA if decimal == "," else Form.DECIMAL)
            return value if number is None else number
    return value


def _milliseconds(value: Any, guess: Guess) -> Any:
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return (value if _SCALE[guess.unit] == 1 else round(value * _SCALE[guess.unit])) + guess.since_ms
    try:
        when = value if isinstance(value, datetime) else datetime.fromisoformat(value.isoformat() if isinstance(value, date) else value)
    except (ValueError, TypeError):
        return value
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
