"""What an expression may name: fields of a payment, features that state is kept for, `attributes`, `score`, lists. Read off their definitions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Literal

from stream_app.features.definitions import LONGEST_ATTRIBUTE, Feature
from stream_app.features.kept import definable_features, kept_features
from stream_app.messages.fields import FieldKind, fields_of
from stream_app.messages.iso import COUNTRIES
from stream_app.messages.transaction import ATTRIBUTE, Transaction

SCORE = "score"
AMOUNT = "amount"
ATTRIBUTES = ATTRIBUTE.removesuffix(".")


class ValueKind(StrEnum):
    """What a value is."""

    NUMBER = "a number"
    TEXT = "a text"
    BOOL = "true or false"
    TIME = "a time"


NameOrigin = Literal["field", "feature", "attribute", "score"]
_KINDS = MappingProxyType(
    {
        FieldKind.TEXT: ValueKind.TEXT,
        FieldKind.CODE: ValueKind.TEXT,
        FieldKind.NUMBER: ValueKind.NUMBER,
        FieldKind.TIME: ValueKind.TIME,
        FieldKind.FLAG: ValueKind.BOOL,
    }
)


@dataclass(frozen=True, slots=True)
class RuleName:
    """One name.

    Attributes:
        origin: where its value comes from.
        codes: the texts that it may hold, where they are a list; empty: any.
        form: the form that its texts have, as a regular expression; empty: any.
    """

    name: str
    kind: ValueKind
    origin: NameOrigin
    codes: frozenset[str] = frozenset()
    form: str = ""

    @property
    def is_32_bit(self) -> bool:
        """Whether its numbers are those that a model sees, of 32 bits. Money is exact: it comes of minor units."""
        return self.origin in {"feature", "score"} and self.name != AMOUNT


@cache
def names() -> MappingProxyType[str, RuleName]:
    """Every name but those of attributes. `amount`, which is a field and a feature, is the feature: money in the base currency."""
    known = {name.name: name for name in _of_fields()}
    known |= {name: RuleName(name, ValueKind.NUMBER, "feature") for name in kept_features()}
    return MappingProxyType(known | {SCORE: RuleName(SCORE, ValueKind.NUMBER, "score")})


def attribute(name: str) -> RuleName:
    """One of a payment's own numbers; a text in its place is unknown."""
    return RuleName(f"{ATTRIBUTE}{name}", ValueKind.NUMBER, "attribute")


def is_attribute(name: str) -> bool:
    """Whether a payment may have a number of that name of its own."""
    return 0 < len(name) <= LONGEST_ATTRIBUTE and name.isprintable()


def _of_fields() -> Iterator[RuleName]:
    for field in fields_of(Transaction):
        if field.kind is not FieldKind.OWN:
            yield RuleName(field.name, _KINDS[field.kind], "field", frozenset(field.codes), field.form or "")


def unknown(name: str) -> str:
    """What is said of a name that there is not: the nearest, and why a feature that could be defined is not there."""
    if any(feature.name == name for feature in definable_features()):
        return f"{name!r} can be defined, but state keeps no tiles of that window{_nearest(name, kept_features())}."
    if re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", name):
        return f"{name!r} is no name."
    return f"there is no {name!r}{_nearest(name, [*names(), ATTRIBUTES])}."


def nearest(name: str, known: Iterable[str]) -> str:
    """`; the nearest is 'x'`, or nothing where none is near."""
    return _nearest(name, known)


def _nearest(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, list(known), 1, 0.5)
    return f"; the nearest is {found[0]!r}" if found else ""


def names_table() -> str:
    """Every name that is no feature, in Markdown: what it is, and which texts it may hold. Features are a table of their own."""
    rows = ["| name | is | may hold |", "|---|---|---|"]
    for name in names().values():
        if name.origin == "feature":
            continue
        codes = ", ".join(f"`{code}`" for code in sorted(name.codes)) if len(name.codes) <= _MOST_SHOWN else "codes of ISO 4217"
        if name.codes == COUNTRIES:
            codes = "codes of ISO 3166-1 alpha-2"
        rows.append(f"| `{name.name}` | {name.kind} | {codes or (f'`{name.form}`' if name.form else '')} |")
    return "\n".join(rows)


_MOST_SHOWN = 20


def features_of(named: Iterable[RuleName]) -> tuple[Feature, ...]:
    """The features among names, each once, in the order of their names; `amount` and attributes come with the payment."""
    return tuple(kept_features()[name] for name in sorted({n.name for n in named if n.origin == "feature" and n.name != AMOUNT}))
