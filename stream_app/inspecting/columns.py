"""A column, or a field of records, value by value: how its values are written, between which bounds they lie, how many differ."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from stream_app.messages.card_numbers import is_card_number

MOST_DISTINCT = 5_000
_EXAMPLES = 3
_LONGEST_EXAMPLE = 32


class Form(StrEnum):
    """How a value is written."""

    FLAG = "true or false"
    WHOLE = "whole numbers"
    NUMBER = "numbers"
    DIGITS = "digits"
    DECIMAL = "numbers as text"
    COMMA = "numbers with a decimal comma"
    POWER = "numbers in powers of ten"
    ZONED = "times with a zone"
    ZONELESS = "times without a zone"
    DATE = "dates"
    OTHER_DATE = "dates, day or month first"
    CLOCK = "times of day"
    TEXT = "text"
    LIST = "lists"
    OBJECT = "objects"


_OF_TEXT: tuple[tuple[Form, re.Pattern[str]], ...] = (
    (Form.DIGITS, re.compile(r"[0-9]+")),
    (Form.DECIMAL, re.compile(r"-?[0-9]*\.[0-9]+|-[0-9]+")),
    (Form.COMMA, re.compile(r"-?[0-9][0-9.]*,[0-9]+")),
    (Form.POWER, re.compile(r"-?[0-9][.,]?[0-9]*[eE]\+?[0-9]+")),
    (Form.DATE, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    (Form.ZONED, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(Z|[+-][0-9]{2}:?[0-9]{2})")),
    (Form.ZONELESS, re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+")),
    (Form.OTHER_DATE, re.compile(r"[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2,4}([T ,].*)?")),
    (Form.CLOCK, re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")),
)


def form_of(value: Any) -> Form | None:  # noqa: PLR0911 - one for each kind
    """How a value is written; None of nothing."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    match value:
        case bool():
            return Form.FLAG
        case int():
            return Form.WHOLE
        case float():
            return Form.NUMBER
        case datetime():
            return Form.ZONELESS if value.tzinfo is None else Form.ZONED
        case date():
            return Form.DATE
        case dict():
            return Form.OBJECT
        case list():
            return Form.LIST
    text = str(value)
    return next((form for form, written in _OF_TEXT if written.fullmatch(text)), Form.TEXT)


_DATE = re.compile(
    r"([0-9]{1,2})([./-])([0-9]{1,2})([./-])([0-9]{4}|[0-9]{2})(?:([T ]| +)([0-9]{1,2}):[0-9]{2}(:[0-9]{2})?(\.[0-9]+)?(?:( ?)([AaPp][Mm]))?)?"
)
_MONTHS = 12


def date_formats(text: str) -> frozenset[str]:
    """As what a date in digits can be read, its day first or its month, as formats of a mapping: both, one, or none."""
    found = _DATE.fullmatch(text)
    if found is None:
        return frozenset()
    one, sign, other, again, year, blank, hour, seconds, digits, before, half = found.groups()
    time = "" if hour is None else f"{blank}{'%I' if half else '%H'}:%M" + (":%S" if seconds else "") + (".%f" if digits else "")
    time += f"{before}%p" if half else ""
    rest = f"{again}{'%Y' if len(year) > 2 else '%y'}{time}"  # noqa: PLR2004 - digits
    read = (("%d", "%m", int(one), int(other)), ("%m", "%d", int(other), int(one)))
    return frozenset(f"{first}{sign}{second}{rest}" for first, second, day, month in read if 1 <= month <= _MONTHS and 1 <= day <= 31)  # noqa: PLR2004 - days


@dataclass(slots=True)
class SourceColumn:
    """What was seen of a column.

    Attributes:
        forms: how its values are written.
        values: how often each stands there, of the first `MOST_DISTINCT` different ones.
        many: whether there are more different ones.
        least, most: of its numbers.
        card_numbers: values that are one.
        formats: as which formats all of its dates in digits can be read; None: there are none.
    """

    name: str
    rows: int = 0
    forms: Counter[Form] = field(default_factory=Counter)
    values: Counter[str] = field(default_factory=Counter)
    many: bool = False
    least: float = math.inf
    most: float = -math.inf
    card_numbers: int = 0
    formats: frozenset[str] | None = None

    @property
    def filled(self) -> int:
        """Rows in which it has a value."""
        return self.forms.total()

    @property
    def form(self) -> Form | None:
        """How most of its values are written."""
        return self.forms.most_common(1)[0][0] if self.forms else None

    @property
    def has_bounds(self) -> bool:
        """Whether it has numbers, and those are no card numbers."""
        return self.least <= self.most and not self.card_numbers

    @property
    def examples(self) -> list[str]:
        """Some of its values, short, without card numbers."""
        texts = [text for text in self.values if not is_card_number(text)][:_EXAMPLES]
        return [text if len(text) <= _LONGEST_EXAMPLE else f"{text[:_LONGEST_EXAMPLE]}…" for text in texts]

    def add(self, value: Any) -> None:
        """One row's value."""
        self.rows += 1
        form = form_of(value)
        if form is None:
            return
        self.forms[form] += 1
        if form in {Form.WHOLE, Form.NUMBER, Form.DIGITS, Form.DECIMAL, Form.COMMA} and (number := number_of(value, form)) is not None:
            self.least, self.most = min(self.least, number), max(self.most, number)
        text = str(value)
        if form is Form.OTHER_DATE:
            formats = date_formats(text)
            self.formats = formats if self.formats is None else self.formats & formats
        self.card_numbers += is_card_number(text)
        if text in self.values or len(self.values) < MOST_DISTINCT:
            self.values[text] += 1
        else:
            self.many = True


def number_of(value: Any, form: Form) -> float | None:
    """A value as a number; None where it is none."""
    if form is Form.COMMA and isinstance(value, str):
        value = value.replace(".", "").replace(",", ".")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
