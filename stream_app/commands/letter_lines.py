"""Dead letters as lines of JSON: what `dlq show --json` prints, a person mends, and `dlq replay` takes."""

from __future__ import annotations

import base64
import binascii
import sys
from pathlib import Path

import msgspec

from stream_app.delivery.sent_back import DeadLetter
from stream_app.errors import DataError

MOST_LETTERS = 10_000
MOST_BYTES = 256 * 2**20
_MOST_LINE_BYTES = 2**20
"""Twice the base64 of the largest letter, and what a person adds."""


class LetterLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line. What is read back is `letter`, `key` and `value`, or their bytes; the rest says what the letter says.

    Attributes:
        letter: its place, `topic:partition:offset`.
        at: its Kafka timestamp.
        code, message: why it was refused.
        source: where the record stood, `topic:partition:offset`.
        key, value: of the record, where they are text.
        key_base64, value_base64: where they are not.
        needs: what must be done before it can go back, as far as the letter alone tells.
        went_back: whether it did.
    """

    letter: str
    at: int = 0
    code: str = ""
    message: str = ""
    source: str = ""
    key: str | None = None
    value: str | None = None
    key_base64: str | None = None
    value_base64: str | None = None
    needs: str = ""
    went_back: bool = False

    def key_bytes(self) -> bytes | None:
        """The key; None where there is none."""
        return _bytes(self.key, self.key_base64)

    def value_bytes(self) -> bytes | None:
        """The value; None where there is none."""
        return _bytes(self.value, self.value_base64)


def line_of(letter: DeadLetter, *, went_back: bool) -> LetterLine:
    """A letter's line."""
    key, value = _text(letter.key), _text(letter.value)
    return LetterLine(
        letter=str(letter.place),
        at=letter.at_ms,
        code=letter.code,
        message=letter.message,
        source=letter.source.key.decode(),
        key=key,
        value=value,
        key_base64=None if letter.key is None or key is not None else base64.b64encode(letter.key).decode(),
        value_base64=None if value is not None else base64.b64encode(letter.value).decode(),
        needs=letter.needs(),
        went_back=went_back,
    )


def letters_in(file: Path) -> list[LetterLine]:
    """The letters of a file, `-` for standard input.

    Raises:
        DataError: it cannot be read, or has too many; the line and what is wrong.
    """
    decoder = msgspec.json.Decoder(LetterLine)
    found: list[LetterLine] = []
    size = number = 0
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(_MOST_LINE_BYTES + 1), b""), 1):
                size += len(line)
                if len(line) > _MOST_LINE_BYTES or size > MOST_BYTES or len(found) >= MOST_LETTERS:
                    most = f"{_MOST_LINE_BYTES} bytes a line, {MOST_BYTES} in all, {MOST_LETTERS:,} letters"
                    raise DataError(f"{file}: line {number} is one too many, or too long ({most}). Send it in parts.")
                if line.strip():
                    found.append(_checked(decoder.decode(line)))
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}. Give the lines of `fraudstream dlq show --json`.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        told = f"{file}: line {number} is no letter: {error}. Each line is an object as `fraudstream dlq show --json` prints it."
        raise DataError(told) from None
    if not found:
        raise DataError(f"{file} has no letters. Give the lines of `fraudstream dlq show --json`.")
    return found


def _checked(line: LetterLine) -> LetterLine:
    if line.key is not None and line.key_base64 is not None:
        raise ValueError("it has `key` and `key_base64`; take one of the two out")
    if line.value is not None and line.value_base64 is not None:
        raise ValueError("it has `value` and `value_base64`; take one of the two out")
    line.key_bytes()
    line.value_bytes()
    return line


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def _bytes(text: str | None, encoded: str | None) -> bytes | None:
    if encoded is None:
        return None if text is None else text.encode()
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"what is called base64 is none: {error}") from None
