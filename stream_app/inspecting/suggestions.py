"""What columns with names that nobody here knows may be, by what stands in them: comments in the mapping, for a person to take or to leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stream_app.inspecting.columns import Form, SourceColumn
from stream_app.inspecting.guesses import OURS, GuessedMapping, as_yaml, guess_of, words, yaml_line
from stream_app.messages.card_numbers import is_card_number
from stream_app.messages.fields import Field, FieldKind
from stream_app.messages.refusals import shown

_MOST = 3
_DATES = frozenset({Form.ZONED, Form.ZONELESS, Form.DATE, Form.OTHER_DATE})
_MONEY = frozenset({Form.COMMA, Form.DECIMAL, Form.NUMBER})
_IDS = frozenset({Form.TEXT, Form.DIGITS, Form.WHOLE})
_ALSO = ("country", "is_fraud")
"""What a payment may lack, and values tell surely."""
_FIRST_MS, _LAST_MS = 946_684_800_000, 4_102_444_800_000


def suggestions(columns: Mapping[str, SourceColumn], mapping: GuessedMapping) -> list[str]:
    """Comments: of each needed field that is missing what it may be, of others where values tell, and of codes which values say nothing yet."""
    taken = {name for guess in mapping.columns.values() for name in (guess.theirs, *guess.also)}
    left = [column for name, column in columns.items() if name not in taken and name.isprintable() and column.filled]
    of_codes = [column for column in left if any(_may_be(OURS[name], column) for name in ("currency", *_ALSO))]
    lines = []
    for name in mapping.missing:
        some = of_codes if name == "currency" else [column for column in left if column not in of_codes]
        fitting = [_line(name, column) for column in some if _may_be(OURS[name], column)][:_MOST]
        told = f"by its values {' or '.join(fitting)}" if fitting else "name its column under `columns`"
        lines.append(f"# {name} is needed: {told}, or write it under `constants`")
    for name in _ALSO:
        if name not in mapping.columns and name not in mapping.constants:
            lines += [f"# by its values {_line(name, column)}" for column in left if _may_be(OURS[name], column)][:1]
    return lines + [
        line for name, guess in mapping.columns.items() if guess.theirs in columns for line in _unknown(name, columns[guess.theirs])
    ]


def _may_be(of: Field, column: SourceColumn) -> bool:
    """Whether the values of a column are such as this field's."""
    if of.kind is FieldKind.TIME:
        in_ms = column.form in {Form.WHOLE, Form.DIGITS} and _FIRST_MS <= column.least <= column.most < _LAST_MS
        return column.form in _DATES or in_ms
    if of.kind is FieldKind.NUMBER:
        return column.form in _MONEY
    if of.kind in {FieldKind.CODE, FieldKind.FLAG}:
        return not column.many and len(column.values) > (of.kind is FieldKind.FLAG) and not _without_meaning(of, column)
    is_unique = max(column.values.values()) == 1
    return column.form in _IDS and is_unique == (of.name == "transaction_id") and len(column.values) > 1


def _without_meaning(of: Field, column: SourceColumn) -> list[str]:
    """The values that are neither ours nor plainly meant for one of ours."""
    known = words(column.values, of)
    ours = {"true", "false", "0", "1"} if of.kind is FieldKind.FLAG else of.codes
    return [text for text in column.values if text not in known and text not in ours]


def _line(name: str, column: SourceColumn) -> str:
    """`ours: theirs` as a line of the mapping, and what else it needs."""
    said = as_yaml(GuessedMapping({name: guess_of(OURS[name], column)}))
    also = " with `decimal: ','`" if column.form is Form.COMMA else ""
    also += " with the `zone` of these times" if "zone" in said else ""
    return f"`{yaml_line(name, said['columns'][name])}`{also}"


def _unknown(name: str, column: SourceColumn) -> Sequence[str]:
    """That a table of values is needed, and for which."""
    of = OURS.get(name)
    if of is None or of.kind is not FieldKind.CODE or not of.codes or column.many:
        return []
    unknown = [text for text in _without_meaning(of, column) if not is_card_number(text)][:_MOST]
    if not unknown:
        return []
    table = {**words(column.values, of), **dict.fromkeys(unknown, "?")}
    line = yaml_line(name, {"path": column.name, "values": table})
    several = f"one of {', '.join(sorted(of.codes))}" if len(of.codes) <= 10 else of.must_be  # noqa: PLR2004 - a line's length
    return [f"# {name}: what {shown(', '.join(unknown))} mean is not known; write `{line}`, each ? {several}, or take {name} out"]
