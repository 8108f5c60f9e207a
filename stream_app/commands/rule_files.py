"""Rules and lists in a file, as they stand in Git: TOML.

    [lists.watched]
    of = "terminal"
    values = ["term-0042"]

    [[rule]]
    code = "large_online"
    expression = 'amount > 500 and channel == "online" and terminal_id not in @watched'
    sentence = "{amount} online"
    effect = "alert"
    action = "review"

A rule has the fields of `rule.v1`; version and author come when it is put; `valid_from` and `valid_until` may be TOML's own dates and times, UTC where they
say nothing else. A list has `of`, and `power` (`ask`) and `values` where they are given.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import batched
from pathlib import Path
from typing import Any

import msgspec

from stream_app.errors import DataError, RuleError
from stream_app.rules.lists import MAX_AT_ONCE, CardList, ListedValue, ListEntries, Lists
from stream_app.rules.power import Power
from stream_app.rules.rule import MAX_RULES, CheckedRule, Rule, checked_rule
from stream_app.rules.tree import FIELD_OF_KIND, ListKind

MAX_FILE_BYTES = 10_000_000
_MOMENTS = {"valid_from", "valid_until"}
_NOBODY = {"kind": "rule", "version": 1, "author": "nobody"}


class FileList(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A list in a file."""

    of: ListKind
    power: Power = "ask"
    values: tuple[str, ...] = ()


class _Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: list[dict[str, Any]] = msgspec.field(default_factory=list)
    lists: dict[str, FileList] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a file holds.

    Attributes:
        rules: those that can be run.
        lists: as the file fills them.
        wrong: what is wrong with each of the others, in one line.
    """

    rules: tuple[CheckedRule, ...]
    lists: Lists
    wrong: tuple[str, ...]


def read_rules(path: Path) -> RuleFile:
    """Read a file of rules.

    Raises:
        DataError: it cannot be read, or is no TOML of this form; naming the file, and the line where it is known.
        RuleError: a list in it is not right.
    """
    contents = _contents(path)
    lists = Lists()
    for name, one in contents.lists.items():
        try:
            _fill(lists, name, one)
        except (RuleError, msgspec.ValidationError) as error:
            raise RuleError(f"{path}, lists.{name}: {error}") from None
    rules: list[CheckedRule] = []
    wrong: list[str] = []
    for number, table in enumerate(contents.rule, 1):
        try:
            rules.append(_checked(table, lists))
        except (RuleError, msgspec.ValidationError) as error:
            wrong.append(f"{path}, rule {number}: {error}")
        else:
            code = rules[-1].rule.code
            if code in [one.rule.code for one in rules[:-1]]:
                wrong.append(f"{path}, rule {number}: there is a rule {code!r} before it. Give it another code.")
                rules.pop()
    return RuleFile(tuple(rules), lists, tuple(wrong))


def _checked(table: dict[str, Any], lists: Lists) -> CheckedRule:
    rule = msgspec.convert(_NOBODY | table | {name: _moment(table[name]) for name in _MOMENTS & table.keys()}, Rule)
    for name in checked_rule(rule).expression.lists:
        if name not in lists.known:
            raise RuleError(
                f"Rule {rule.code!r}: there is no list @{name} in this file. Say what its values are: [lists.{name}], and below it of = KIND "
                f"({', '.join(FIELD_OF_KIND)})."
            )
    return checked_rule(rule, lists.kinds)


def _moment(value: object) -> object:
    """A date or a time as ms; anything else as it is."""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return value
    return round((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000)


def _contents(path: Path) -> _Contents:
    try:
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise DataError(f"{path} has {size:,} bytes; {MAX_FILE_BYTES:,} are allowed. Split it.")
        contents = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Contents)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Name a file of rules (TOML).") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"{path} is no TOML: {error}. docs/rules.md shows a file of rules.") from None
    except msgspec.ValidationError as error:
        raise DataError(f"{path} is no file of rules: {error}. It holds tables [[rule]] and [lists.NAME]; see docs/rules.md.") from None
    if len(contents.rule) > MAX_RULES:
        raise DataError(f"{path} has {len(contents.rule):,} rules; {MAX_RULES:,} are allowed. Split it.")
    return contents


def _fill(lists: Lists, name: str, one: FileList) -> None:
    lists.take(
        msgspec.convert({"kind": "list", "name": name, "of": one.of, "power": one.power, "author": "nobody", "why": "file"}, CardList), 0
    )
    for values in batched(one.values, MAX_AT_ONCE):
        lists.take(ListEntries(name, tuple(msgspec.convert({"value": value}, ListedValue) for value in values), "nobody", "file"), 0)
