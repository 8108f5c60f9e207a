"""Card numbers: what is taken for one, and how it is taken out of what a refused record leaves behind.

Each of these takes time in proportion to the bytes, whatever they are: a producer may send a megabyte of them, and the worker's loop waits.
"""

from __future__ import annotations

import re
from functools import partial

import msgspec

_FIELD = re.compile(rb'("card_id"\s*+:\s*+)("?)([0-9]{13,19})(?![0-9])((?:\.[0-9]+)?)')
_RUN = re.compile(rb"(?<![0-9])[0-9]{13,19}(?![0-9])")
_RUN_OF_TEXT = re.compile(_RUN.pattern.decode())
_BEFORE_TEXT = re.compile(rb'[A-Za-z_"/#]')
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_DECODED = (msgspec.MsgspecError, UnicodeError, RecursionError)
_REDACTED = "REDACTED"


def is_card_number(text: str | bytes) -> bool:
    """Whether `text` is 13 to 19 ASCII digits that pass Luhn's check (ISO/IEC 7812-1)."""
    if not 13 <= len(text) <= 19 or not text.isascii() or not text.isdigit():  # noqa: PLR2004 - ISO/IEC 7812
        return False
    digits = [int(d) for d in (text if isinstance(text, str) else text.decode())][::-1]
    return sum(digits[::2]) % 10 == -sum(sum(divmod(2 * d, 10)) for d in digits[1::2]) % 10


def without_card_numbers(text: str) -> str:
    """`text` with every card number in it taken out."""
    return _RUN_OF_TEXT.sub(lambda run: _REDACTED if is_card_number(run[0]) else run[0], text)


def redact(key: bytes | None, value: bytes | None) -> tuple[bytes | None, bytes | None]:
    """Key and value of a refused record with a card number in place of the token taken out.

    1. A key that is a card number, bare or as a JSON string.
    2. Every field `card_id` of the value, string or number, also where the JSON is cut or wrong elsewhere.
    3. A `card_id` whose name or digits are spelt with escapes; the object is then written anew, its other fields as they were.
    4. That very number wherever else it stands: in a field `pan`, within an id, in a text. A bare number there becomes 0.

    Nothing else is touched: other digits stay.
    """
    numbers: set[bytes] = set()
    if key is not None and is_card_number(bare := key.strip(b' "')):
        numbers.add(bare)
        key = _REDACTED.encode()
    if value is not None:
        value = _FIELD.sub(partial(_redacted_field, numbers), value)
        if b"\\u" in value:
            value = _redact_escaped(value, numbers)
    if numbers:
        run_without = partial(_run_without, numbers)
        key, value = key and _RUN.sub(run_without, key), value and _RUN.sub(run_without, value)
    return key, value


def _redacted_field(numbers: set[bytes], match: re.Match[bytes]) -> bytes:
    """A field `card_id` without its card number, which is added to `numbers`."""
    name, quote, digits, fraction = match.groups()
    if not is_card_number(digits):
        return match[0]
    numbers.add(digits)
    return name + quote + _REDACTED.encode() + fraction if quote else name + f'"{_REDACTED}"'.encode()


def _redact_escaped(value: bytes, numbers: set[bytes]) -> bytes:
    """Take out a card number spelt with escapes, and add it to `numbers`; write other fields plainly that hold one of them in escapes."""
    try:
        fields = _FIELDS.decode(value)
        card_id = msgspec.json.decode(fields.get("card_id", b"null"))
    except _NOT_DECODED:
        return value
    changed: dict[str, msgspec.Raw] = {}
    if isinstance(card_id, str) and is_card_number(card_id):
        numbers.add(card_id.encode())
        changed["card_id"] = msgspec.Raw(f'"{_REDACTED}"')
    for name, raw in fields.items():
        if name != "card_id" and b"\\u" in bytes(raw):
            plain = _plain(raw)
            if any(run[0] in numbers for run in _RUN.finditer(plain)):
                changed[name] = msgspec.Raw(plain)
    return msgspec.json.encode(fields | changed) if changed else value


def _plain(raw: msgspec.Raw) -> bytes:
    """JSON without escapes that it does not need; nothing where no decoder takes it: so it hides no other field's number."""
    try:
        return msgspec.json.encode(msgspec.json.decode(raw))
    except _NOT_DECODED:
        return b""


def _run_without(numbers: set[bytes], run: re.Match[bytes]) -> bytes:
    """A run of digits, or what stands in its place; valid JSON stays valid: a quote or a word beside it tells that it is no bare number."""
    if run[0] not in numbers:
        return run[0]
    start, end = run.span()
    in_text = _BEFORE_TEXT.match(run.string, start - 1, start) if start else None
    return _REDACTED.encode() if in_text or run.string[end : end + 1] == b'"' else b"0"
