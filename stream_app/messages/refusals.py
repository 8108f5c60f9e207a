"""Why a value is refused, by one code and in one sentence for the producer's team, whether it came in a record, a request or a file.

    refusal = refused(field, value)          # None where the value is taken
    refusal.code, refusal.message            # wrong_type, "event_time is text; send milliseconds since 1970, UTC, for example 1795471200000."

What a record must keep beyond its fields (key, clock, size) is the decoder's: `stream_app.messages.transaction`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import msgspec

from stream_app.errors import RecordError
from stream_app.messages.card_numbers import is_card_number, without_card_numbers
from stream_app.messages.event_time import EARLIEST_EVENT_TIME_MS, NOT_MILLISECONDS, seems_to_be
from stream_app.messages.fields import Field, FieldKind, one_of_own
from stream_app.messages.iso import ALPHA_3, COUNTRIES


class DeadLetterCode(StrEnum):
    """Why a record is in a dead-letter topic: the header `error.code`."""

    EMPTY = "empty"
    TOMBSTONE = "tombstone"
    TOO_LARGE = "too_large"
    NOT_UNPACKED = "not_unpacked"
    SCHEMA_FRAMED = "schema_framed"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_DEEP = "too_deep"
    WRONG_SHAPE = "wrong_shape"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_VALUE = "unknown_value"
    CONTROL_CHARACTER = "control_character"
    CARD_NUMBER = "card_number"
    WRONG_KEY = "wrong_key"
    WRONG_FRAME = "wrong_frame"
    UNKNOWN_SCHEMA = "unknown_schema"
    SCHEMA_REFUSED = "schema_refused"
    SCHEMA_LACKS_FIELD = "schema_lacks_field"
    NOT_AVRO = "not_avro"
    FUTURE = "future"
    LABEL_BEFORE_EVENT = "label_before_event"
    LABEL_AMBIGUOUS = "label_ambiguous"
    LABEL_UNMATCHED = "label_unmatched"
    LABEL_INCOMPLETE = "label_incomplete"
    DECISION_TOO_LARGE = "decision_too_large"
    SCORING_FAILED = "scoring_failed"


CARD_NUMBER_TOLD = (
    "card_id is a card number (13 to 19 digits that pass Luhn). Send a token in its place; issuers whose tokens look like that set "
    "FRAUDSTREAM_REFUSE_CARD_NUMBERS=false."
)
LABEL_BEFORE_EVENT_TOLD = "labelled_at is before event_time: a label cannot precede its transaction."
CONTROL_CHARACTERS = r"[\x00-\x1f\x7f-\x9f]"
NO_CONTROL_CHARACTERS = r"\A[^\x00-\x1f\x7f-\x9f]*\Z"
_CONTROL = re.compile(CONTROL_CHARACTERS)
_LONGEST_MESSAGE = 300  # of an error, characters: it travels in a header
_LONGEST_QUOTED = 40
_AT = re.compile(r" - at `\$\.([A-Za-z0-9_]+)")
_MISSING = re.compile(r"Object missing required field `([A-Za-z0-9_]+)`")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def refused(field: Field, value: Any, *, refuse_card_numbers: bool = False) -> RecordError | None:
    """Why a value, as JSON has it, is no value of a field; None where it is one."""
    if value is None:
        return None if field.nullable else _of_type(field, value)
    if type(value) not in _TYPES[field.kind]:
        return _of_type(field, value)
    refusal = _CHECKS[field.kind](field, value)
    if refusal is None and refuse_card_numbers and field.name == "card_id" and is_card_number(value):
        return RecordError(DeadLetterCode.CARD_NUMBER, CARD_NUMBER_TOLD)
    return refusal


def missing(field: Field) -> RecordError:
    """What is said where a field that a message must have is not there."""
    return RecordError(DeadLetterCode.MISSING_FIELD, f"{field.name} is missing; send {_wanted(field)}.")


def control_character(name: str) -> RecordError:
    """What is said of a text with a control character."""
    return RecordError(DeadLetterCode.CONTROL_CHARACTER, f"{name} contains a control character.")


def has_control_character(text: str) -> bool:
    """Whether a text holds one."""
    return _CONTROL.search(text) is not None


def of_decoding(fields: Mapping[str, Field], error: msgspec.ValidationError, content: str) -> RecordError:
    """What msgspec refused of a message, in the words of the table: it names the first field that is wrong.

    Args:
        fields: of the message, by name.
        error: of msgspec; the contract tests pin its texts.
        content: the message, JSON.
    """
    text = str(error)
    if gone := _MISSING.match(text):
        return missing(fields[gone[1]])
    at = _AT.search(text)
    field = fields.get(at[1]) if at else None
    if field is None:
        got = text.rpartition("`, got `")[2].rstrip("`")
        return RecordError(DeadLetterCode.WRONG_SHAPE, f"The message is {_GOT.get(got, 'no object')}; send one JSON object.")
    return _refused_alone(field, content) or _by_words(field, text)


def shown(text: str) -> str:
    """`text`, which may quote the producer's value, fit for a header and a log: no card number, no control character, not long."""
    text = without_card_numbers(text)
    if len(text) > _LONGEST_MESSAGE:
        half = _LONGEST_MESSAGE // 2
        text = f"{text[:half]} … {text[-half:]}"
    return "".join(c if c.isprintable() else "?" for c in text)


def meant_by(field: Field, text: str) -> str | None:
    """The code that a text plainly stands for: other case, blanks around it, a country's code of three letters; None where none is plain.

    It is told, never taken: `transaction.v1` has other readers, who would not take it.
    """
    bare = text.strip()
    found = (bare, bare.upper(), bare.lower(), ALPHA_3.get(bare.upper(), "") if COUNTRIES.issubset(field.codes) else "")
    return next((code for code in found if code in field.codes), None)


def _of_text(field: Field, text: str) -> RecordError | None:
    if not (field.least or 0) <= len(text) <= (len(text) if field.most is None else field.most):
        has = "is empty" if not text else f"has {len(text)} characters"
        return RecordError(DeadLetterCode.OUT_OF_RANGE, f"{field.name} {has}; send {_wanted(field)}.")
    return control_character(field.name) if _CONTROL.search(text) else None


def _of_code(field: Field, code: str) -> RecordError | None:
    if field.form is not None:
        if re.search(field.form, code) and len(code) <= (field.most or len(code)):
            return None
        return RecordError(DeadLetterCode.OUT_OF_RANGE, f"{field.name} is {_quoted(code)}; send {_wanted(field)}.")
    if code in field.codes:
        return None
    meant = meant_by(field, code)
    wanted = f"{meant!r}" if meant else _wanted(field)
    is_none = f"is not of {field.listed}" if field.listed else "is unknown"
    return RecordError(DeadLetterCode.UNKNOWN_VALUE, f"{field.name} {_quoted(code)} {is_none}; send {wanted}.")


def _of_number(field: Field, number: float) -> RecordError | None:
    if _is_number(number) and (field.least is None or number >= field.least) and (field.most is None or number <= field.most):
        return None
    return RecordError(DeadLetterCode.OUT_OF_RANGE, f"{field.name} is {_in_digits(number)}; send {_wanted(field)}.")


def _of_time(field: Field, ms: int) -> RecordError | None:
    if field.least is None or field.most is None or field.least <= ms <= field.most:
        return None
    remedy = NOT_MILLISECONDS if ms < EARLIEST_EVENT_TIME_MS else f"send {_wanted(field)}"
    return RecordError(DeadLetterCode.OUT_OF_RANGE, f"{field.name} is {_in_digits(ms)}{seems_to_be(ms)}; {remedy}.")


def _of_flag(_field: Field, _flag: bool) -> RecordError | None:  # noqa: FBT001 - one of a table of checks
    return None


def _of_number_or_text(field: Field, value: float | str) -> RecordError | None:
    return _of_text(field, value) if isinstance(value, str) else _of_number(replace(field, most=None), value)


def _of_own(field: Field, values: dict[str, Any]) -> RecordError | None:
    found = (refused(one_of_own(field, _cut(name)), value) for name, value in values.items())
    refusal = next(filter(None, found), None)
    return refusal and RecordError(refusal.code, shown(refusal.message))


def _is_number(number: float) -> bool:
    """Whether a double can hold it."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def _of_type(field: Field, value: Any) -> RecordError:
    is_fraction = field.kind is FieldKind.TIME and isinstance(value, float)
    what = "written with a fraction or exponent" if is_fraction else kind_of(value)
    leave = "" if field.required or value is not None else " Or leave it out."
    return RecordError(DeadLetterCode.WRONG_TYPE, f"{field.name} is {what}; send {_wanted(field)}.{leave}")


def _by_words(field: Field, text: str) -> RecordError:
    """Where the table has no objection: a name that stands twice, a number that no JSON reader takes."""
    code = DeadLetterCode.WRONG_TYPE if ", got " in text else DeadLetterCode.OUT_OF_RANGE
    return RecordError(code, f"{field.name} cannot be read ({shown(text.partition(' - at ')[0])}); send {_wanted(field)}.")


def _refused_alone(field: Field, content: str) -> RecordError | None:
    """What the table says of the field as it stands in the message; None where it stands there twice, or no JSON reader takes its number."""
    try:
        return refused(field, msgspec.json.decode(_FIELDS.decode(content)[field.name]))
    except (msgspec.MsgspecError, KeyError, RecursionError):
        return None


def _wanted(field: Field) -> str:
    return field.must_be + (f", for example {field.example}" if field.example and field.example not in field.must_be else "")


def _quoted(text: str) -> str:
    return shown(repr(_cut(text)))


def _cut(text: str) -> str:
    """Its beginning; a card number is taken out before, lest a part of it is left."""
    text = without_card_numbers(text)
    return text if len(text) <= _LONGEST_QUOTED else f"{text[:_LONGEST_QUOTED]}…"


def _in_digits(number: float) -> str:
    if isinstance(number, int) and abs(number) >= 10**_LONGEST_QUOTED:
        return "beyond all bounds"
    whole = isinstance(number, float) and number.is_integer() and abs(number) < 2**53
    return shown(repr(int(number) if whole else number))


def kind_of(value: Any) -> str:
    """What a value of JSON is, in a word."""
    return next(word for kind, word in _KINDS if isinstance(value, kind))


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (str, "text"),
    (int, "a number"),
    (float, "a number"),
    (list, "a list"),
    (dict, "an object"),
    (bytes, "bytes"),
    (object, "null"),
)
_GOT = {"array": "a list", "null": "null", "str": "a text", "int": "a number", "float": "a number", "bool": "true or false"}
_TYPES: dict[FieldKind, tuple[type, ...]] = {
    FieldKind.TEXT: (str,),
    FieldKind.CODE: (str,),
    FieldKind.NUMBER: (float, int),
    FieldKind.TIME: (int,),
    FieldKind.FLAG: (bool,),
    FieldKind.OWN: (dict,),
    FieldKind.NUMBER_OR_TEXT: (float, int, str),
}
_CHECKS: dict[FieldKind, Callable[[Field, Any], RecordError | None]] = {
    FieldKind.TEXT: _of_text,
    FieldKind.CODE: _of_code,
    FieldKind.NUMBER: _of_number,
    FieldKind.TIME: _of_time,
    FieldKind.FLAG: _of_flag,
    FieldKind.OWN: _of_own,
    FieldKind.NUMBER_OR_TEXT: _of_number_or_text,
}
