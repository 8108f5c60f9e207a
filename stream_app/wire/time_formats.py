"""Dates as people write them, by a format that a mapping says: `%d/%m/%Y %H:%M`. Compiled once; nothing is guessed.

The letters are those of `strptime` that say a moment, and no others:

    %Y 2025   %y 25 (of this century)   %m 12   %b Dec   %d 25   %z Z, +02:00, +0200
    %H 14     %I %p 02 PM               %M 03   %S 59   %f .5: digits behind the point

A number may lack its leading zero where something stands between it and the next one. All else in a format stands there as it is; a blank is any number
of blanks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

_ONE_OR_TWO = "[0-9]{1,2}"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LETTERS = {
    "Y": "[0-9]{4}", "y": "[0-9]{2}", "m": _ONE_OR_TWO, "b": "|".join(_MONTHS), "d": _ONE_OR_TWO, "H": _ONE_OR_TWO, "I": _ONE_OR_TWO, "p": "am|pm",
    "M": _ONE_OR_TWO, "S": _ONE_OR_TWO, "f": "[0-9]{1,9}", "z": "z|[+-][0-9]{2}:?[0-9]{2}",
}  # fmt: skip
_NEEDED = (("Y", "y"), ("m", "b"), ("d",))
_PIECES = re.compile(r"%(.?)|( +)|([^% ]+)", re.DOTALL)
_CENTURY = 2000
_NOON = 12
_MOST_LENGTH = 64


def names_zone(written: str) -> bool:
    """Whether a format says the zone of each time."""
    return "%z" in written


def time_format(written: str) -> Callable[[str], datetime]:
    """What reads a text by a format; a moment without a zone where the format has none. It raises ValueError of a text that is none.

    Raises:
        ValueError: the format says no moment; why, in words that go on after it.
    """
    pattern, letters = _pattern(written)
    for some in _NEEDED:
        if sum(letters.count(letter) for letter in some) != 1:
            raise ValueError(f"it must say {' or '.join('%' + letter for letter in some)} once")
    if ("I" in letters and "H" in letters) or ("I" in letters) != ("p" in letters):
        raise ValueError("%I and %p go together, in place of %H")
    for finer, coarser in (("M", "HI"), ("S", "M"), ("f", "S")):
        if finer in letters and not set(coarser) & set(letters):
            raise ValueError(f"%{finer} says nothing without %{coarser[0]}")
    matches = re.compile(pattern, re.IGNORECASE | re.ASCII).fullmatch

    def read(text: str) -> datetime:
        found = matches(text)
        if found is None:
            raise ValueError(text)
        return _moment(found.groupdict())

    return read


def _pattern(written: str) -> tuple[str, list[str]]:
    if len(written) > _MOST_LENGTH:
        raise ValueError(f"it is longer than {_MOST_LENGTH} characters")
    pieces = _PIECES.findall(written)
    letters = [letter for letter, blanks, plain in pieces if not blanks and not plain]
    for letter in letters:
        if letter not in _LETTERS:
            raise ValueError(f"%{letter} is none of its letters: {' '.join('%' + known for known in _LETTERS)}")
        if letters.count(letter) > 1:
            raise ValueError(f"%{letter} stands twice")
    pattern = ""
    for number, (letter, blanks, plain) in enumerate(pieces):
        beside = [pieces[at][0] for at in (number - 1, number + 1) if 0 <= at < len(pieces)]
        is_joined = any(other and _LETTERS[other].startswith("[0-9]") for other in beside)
        said = _LETTERS.get(letter, "")
        said = "[0-9]{2}" if said == _ONE_OR_TWO and is_joined else said
        pattern += " +" if blanks else re.escape(plain) if plain else f"(?P<{letter}>{said})"
    return pattern, letters


def _moment(found: dict[str, str]) -> datetime:
    year = int(found["Y"]) if "Y" in found else _CENTURY + int(found["y"])
    month = int(found["m"]) if "m" in found else 1 + _MONTHS.index(found["b"].lower())
    hour = int(found.get("H") or found.get("I") or 0)
    if "I" in found:
        if not 1 <= hour <= _NOON:
            raise ValueError(hour)
        hour = hour % _NOON + (_NOON if found["p"].lower() == "pm" else 0)
    microsecond = int(found.get("f", "0").ljust(9, "0")) // 1000
    minute, second = int(found.get("M", 0)), int(found.get("S", 0))
    return datetime(year, month, int(found["d"]), hour, minute, second, microsecond, tzinfo=_zone(found.get("z")))


def _zone(text: str | None) -> timezone | None:
    if text is None:
        return None
    if text in {"Z", "z"}:
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
