"""Card numbers: what is taken for one, and how it is taken out of what a refused record leaves behind.

They are known also where their digits stand in groups, with a space or a dash between two of them.

Each of these takes time in proportion to the bytes, whatever they are: a producer may send a megabyte of them, and the worker's loop waits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from itertools import chain

import msgspec

_RUN = re.compile(rb"[0-9]++(?:[ -][0-9]++)*+")
_RUN_OF_TEXT = re.compile(_RUN.pattern.decode())
_GROUP = re.compile(rb"[0-9]+")
_FEWEST, _MOST = 13, 19
"""Digits of a card number (ISO/IEC 7812)."""
_LONGEST = 2 * _MOST - 1
_BEFORE_TEXT = re.compile(rb'[A-Za-z_"/#]')
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_DECODED = (msgspec.MsgspecError, UnicodeError, RecursionError)
_FRAMED_TEXT = re.compile(b"|".join(b"%s[0-9][0-9 -]{%d}[0-9]" % (re.escape(bytes([2 * n])), n - 2) for n in range(_FEWEST, _LONGEST + 1)))
"""A text that may be a card number: before it stands its length, twice that, as Avro writes numbers."""
_FRAME_BYTES = 5
REDACTED = "REDACTED"
"""What stands where a card number was."""


def is_card_number(text: str | bytes) -> bool:
    """Whether `text` is 13 to 19 ASCII digits that pass Luhn's check (ISO/IEC 7812-1), a space or a dash at most between two of them."""
    if not _FEWEST <= len(text) <= _LONGEST or not text.isascii():
        return False
    number = text if isinstance(text, str) else text.decode()
    if not number.isdigit():
        if _RUN_OF_TEXT.fullmatch(number) is None:
            return False
        number = number.replace("-", "").replace(" ", "")
    return _passes(number)


def _passes(number: str) -> bool:
    """Whether digits are as many as a card number has, and pass Luhn's check."""
    if not _FEWEST <= len(number) <= _MOST:
        return False
    digits = [int(d) for d in number][::-1]
    return sum(digits[::2]) % 10 == -sum(sum(divmod(2 * d, 10)) for d in digits[1::2]) % 10


def without_card_numbers(text: str) -> str:
    """`text` with every card number in it taken out."""
    return _RUN_OF_TEXT.sub(_run_of_text_without, text)


def _run_of_text_without(run: re.Match[str]) -> str:
    """A run of digits in a text without the card numbers in it."""
    found = _found(run[0].encode(), lambda number: _passes(number.decode()))
    return _replaced(run[0].encode(), found, [REDACTED.encode()] * len(found)).decode()


def _found(run: bytes, is_one: Callable[[bytes], bool]) -> list[tuple[int, int]]:
    """Where numbers stand in a run: whole groups, side by side; of several that begin at a group, the longest."""
    groups = [group.span() for group in _GROUP.finditer(run)]
    found, n = [], 0
    while n < len(groups):
        number, last = b"", -1
        for m in range(n, len(groups)):
            number += run[slice(*groups[m])]
            if len(number) > _MOST:
                break
            if len(number) >= _FEWEST and is_one(number):
                last = m
        if last >= 0:
            found.append((groups[n][0], groups[last][1]))
        n = max(n, last) + 1
    return found


def _replaced(run: bytes, places: Sequence[tuple[int, int]], instead: Sequence[bytes]) -> bytes:
    """A run with something else at these places."""
    starts = [0, *(end for _, end in places)]
    ends = [*(start for start, _ in places), len(run)]
    kept = [run[start:end] for start, end in zip(starts, ends, strict=True)]
    return b"".join(chain(*zip(kept, [*instead, b""], strict=True)))


def redact(key: bytes | None, value: bytes | None, names: Collection[str] = ("card_id",)) -> tuple[bytes | None, bytes | None]:
    """Key and value of a refused record with a card number in place of the token taken out.

    1. A key that is a card number, bare or as a JSON string, framed or not.
    2. Every field `card_id`, string or number, also where the JSON is cut or wrong elsewhere; or `names`, where a mapping says that the card is there.
    3. A `card_id` whose name or digits are spelt with escapes; the object is then written anew, its other fields as they were.
    4. That very number wherever else it stands, in groups or not: in a field `pan`, within an id, in a text. A bare number there becomes 0.

    Nothing else is touched: other digits stay.
    """
    numbers: set[bytes] = set()
    if key is not None and key.lstrip().startswith(b"{"):
        key = _field_of(tuple(names)).sub(partial(_redacted_field, numbers), key)
    if key is not None and is_card_number(bare := (key[_FRAME_BYTES:] if key.startswith(b"\0") else key).strip(b' "')):
        numbers.add(_digits(bare))
        key = REDACTED.encode()
    if value is not None:
        value = _field_of(tuple(names)).sub(partial(_redacted_field, numbers), value)
        if b"\\u" in value:
            value = _redact_escaped(value, numbers)
    if numbers:
        run_without = partial(_run_without, numbers)
        key, value = key and _RUN.sub(run_without, key), value and _RUN.sub(run_without, value)
    return key, value


@cache
def _field_of(names: tuple[str, ...]) -> re.Pattern[bytes]:
    """A field of one of these names that holds digits. They are a mapping's, so few."""
    either = b"|".join(re.escape(json.dumps(name).encode()) for name in names)
    return re.compile(rb'((?:%s)\s*+:\s*+)("?)([0-9](?:[ -]?[0-9]){12,18})(?![0-9])((?:\.[0-9]+)?)' % either)


def redact_framed(content: bytes | None) -> bytes | None:
    """Framed content without every text in it that is a card number; it is no Avro any more. Which field it stood in nobody knows without the schema."""
    return content and _FRAMED_TEXT.sub(lambda text: REDACTED.encode() if is_card_number(text[0][1:]) else text[0], content)


def _redacted_field(numbers: set[bytes], match: re.Match[bytes]) -> bytes:
    """A field `card_id` without its card number, which is added to `numbers`."""
    name, quote, digits, fraction = match.groups()
    if not is_card_number(digits):
        return match[0]
    numbers.add(_digits(digits))
    return name + quote + REDACTED.encode() + fraction if quote else name + f'"{REDACTED}"'.encode()


def _redact_escaped(value: bytes, numbers: set[bytes]) -> bytes:
    """Take out a card number spelt with escapes, and add it to `numbers`; write other fields plainly that hold one of them in escapes."""
    try:
        fields = _FIELDS.decode(value)
        card_id = msgspec.json.decode(fields.get("card_id", b"null"))
    except _NOT_DECODED:
        return value
    changed: dict[str, msgspec.Raw] = {}
    if isinstance(card_id, str) and is_card_number(card_id):
        numbers.add(_digits(card_id.encode()))
        changed["card_id"] = msgspec.Raw(f'"{REDACTED}"')
    for name, raw in fields.items():
        if name != "card_id" and b"\\u" in bytes(raw):
            plain = _plain(raw)
            if any(_found(run[0], numbers.__contains__) for run in _RUN.finditer(plain)):
                changed[name] = msgspec.Raw(plain)
    return msgspec.json.encode(fields | changed) if changed else value


def _plain(raw: msgspec.Raw) -> bytes:
    """JSON without escapes that it does not need; nothing where no decoder takes it: so it hides no other field's number."""
    try:
        return msgspec.json.encode(msgspec.json.decode(raw))
    except _NOT_DECODED:
        return b""


def _digits(number: bytes) -> bytes:
    """A card number without what stands between its digits."""
    return number.translate(None, b" -")


def _run_without(numbers: set[bytes], run: re.Match[bytes]) -> bytes:
    """A run of digits without these numbers."""
    places = _found(run[0], numbers.__contains__)
    return _replaced(run[0], places, [_instead(run, place) for place in places]) if places else run[0]


def _instead(run: re.Match[bytes], place: tuple[int, int]) -> bytes:
    """What takes a number's place; valid JSON stays valid: groups, a quote or a word beside it tell that it is no bare number."""
    start, end = run.start() + place[0], run.start() + place[1]
    in_text = _BEFORE_TEXT.match(run.string, start - 1, start) if start else None
    is_text = in_text or run.string[end : end + 1] == b'"' or not run[0][slice(*place)].isdigit()
    return REDACTED.encode() if is_text else b"0"
