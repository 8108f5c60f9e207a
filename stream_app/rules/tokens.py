"""The text of an expression, cut into tokens before Python's parser sees it: bounded, plain signs only, each place kept.

1. `checked` refuses what is too long, what is not ASCII outside of texts, and signs that no expression has: each with its place.
2. `@name` is no Python: its `@` becomes `_`, of the same width, and the place is remembered. Line ends become spaces. So an offset in what
   Python parses is the offset in what was written.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from stream_app.errors import RuleError

MAX_BYTES = 2_048
MAX_TOKENS = 400
MAX_BRACKETS = 16
MAX_TEXT = 64

_TOKEN = re.compile(
    r"(?P<space>[ \t\n]+)|(?P<list>@[a-z][a-z0-9_]*)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"""|(?P<text>"[^"\\\n]*"|'[^'\\\n]*')|(?P<sign><=|>=|==|!=|[-+*/()<>,.\[\]])"""
)
_LIKE_LATIN = ("ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "GREEK", "LISU")
"""Scripts with letters that look like Latin ones."""
_INSTEAD = {
    "&": "Write `and`.",
    "|": "Write `or`.",
    "!": "Write `not`.",
    "=": "A comparison is `==`.",
    "@": "A list is `@name`: a small letter, then small letters, digits and `_`.",
    "\\": "A text holds no backslash.",
    '"': "This text does not end.",
    "'": "This text does not end.",
    "#": "Put what there is to say into the rule's sentence.",
}


@dataclass(frozen=True, slots=True)
class RuleText:
    """An expression that may be parsed.

    Attributes:
        text: as it was written.
        python: the same, one line, each `@name` as `_name`; of the same length.
        lists: offsets of the `@`.
    """

    text: str
    python: str
    lists: frozenset[int]

    def refused(self, offset: int, what: str) -> RuleError:
        """An error at an offset, in characters."""
        return refused(self.text, offset, what)

    def at(self, column: int) -> int:
        """The offset in characters of one that Python counts in bytes of UTF-8."""
        return len(self.python.encode()[:column].decode(errors="ignore"))


def refused(text: str, offset: int, what: str) -> RuleError:
    """An error that names the place: the column, from 1, and the line where there are several."""
    line, column = text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1
    where = f"line {line}, column {column}" if "\n" in text else f"column {column}"
    return RuleError(f"{where}: {what}", line, column)


def checked(text: str) -> RuleText:
    """The source of an expression.

    Raises:
        RuleError: it is empty, too long, nested too deeply, or holds a sign that no expression has; with its place.
    """
    size = len(text.encode(errors="surrogatepass"))
    if not text.strip() or size > MAX_BYTES:
        told = f"it has {size:,} bytes, {MAX_BYTES:,} are allowed. Make two rules of it." if size > MAX_BYTES else "it is empty."
        raise RuleError(f"An expression cannot be read: {told}", 1, 1)
    at, count, brackets, before, last = 0, 0, 0, "", ""
    lists = set()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise refused(text, at, _sign_told(text[at]))
        kind = str(token.lastgroup)
        _check_neighbours(text, at, before, kind)
        if kind == last == "text":
            raise refused(text, at, "two texts stand side by side. Write one.")
        last = last if kind == "space" else kind
        if kind == "text":
            _check_text(text, at + 1, token[0][1:-1])
        if kind == "list":
            lists.add(at)
        brackets += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token[0], 0)
        if brackets > MAX_BRACKETS:
            raise refused(text, at, f"more than {MAX_BRACKETS} brackets are open. Make two rules of it.")
        count += kind != "space"
        if count > MAX_TOKENS:
            raise refused(text, at, f"it has more than {MAX_TOKENS} words and signs. Make two rules of it.")
        at, before = token.end(), kind
    python = "".join("_" if n in lists else " " if sign in "\n\t" else sign for n, sign in enumerate(text))
    return RuleText(text, python, frozenset(lists))


def _check_neighbours(text: str, at: int, before: str, kind: str) -> None:
    """Words, numbers and texts stand apart: else `0x1f` were a number and a name, and `f"…"` a program."""
    if before in {"name", "number", "text", "list"} and kind in {"name", "number", "text", "list"}:
        raise refused(text, at, f"put a space or an operator before {text[at : at + 12].split(maxsplit=1)[0]!r}.")


def _check_text(text: str, at: int, inner: str) -> None:
    if len(inner) > MAX_TEXT:
        raise refused(text, at, f"this text has {len(inner)} characters; no field has more than {MAX_TEXT}.")
    if (found := misleading(inner)) is not None:
        raise refused(text, at + found[0], found[1])


def misleading(text: str) -> tuple[int, str] | None:
    """The place of the first sign that a reader takes for another or for none, and that in words; None where there is none."""
    latin = any(sign.isascii() and sign.isalpha() for sign in text)
    for place, sign in enumerate(text):
        if sign.isascii() and sign.isprintable():
            continue
        if not sign.isprintable() or unicodedata.normalize("NFKC", sign) != sign:
            return place, f"{_named(sign)} cannot be told from others by eye. Write it plainly."
        if latin and unicodedata.name(sign, "").startswith(_LIKE_LATIN):
            return place, f"{_named(sign)} stands among Latin letters and looks like one. Write it plainly."
    return None


def _sign_told(sign: str) -> str:
    if sign.isascii() and sign.isprintable():
        return f"{sign!r} means nothing here. {_INSTEAD.get(sign, 'See docs/rules.md for what an expression may hold.')}"
    plain = unicodedata.normalize("NFKC", sign)
    like = f"; it looks like {plain!r}" if plain != sign and plain.isascii() and plain.isprintable() else ""
    return f"{_named(sign)} is no letter of an expression{like}. Outside of texts, write ASCII."


def _named(sign: str) -> str:
    return f"U+{ord(sign):04X} ({unicodedata.name(sign, 'a control character').lower()})"
