"""Entries of a list in a file, CSV: a value a line, and its end where it has one.

    value,until
    term-0042,
    term-0043,2026-12-24

Without a line of names each line is a value. More columns (reason, author) are passed over: an export is read again. A file is read twice, a line at a
time: the first time all of it is checked, so that of one that is wrong nothing is written.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import batched, chain
from pathlib import Path
from typing import IO

import typer

from stream_app.commands.signing import made
from stream_app.commands.times import moment_ms
from stream_app.errors import DataError, RuleError
from stream_app.rules.entries import FOREVER, MAX_ENTRIES, Entry
from stream_app.rules.lists import MAX_AT_ONCE, CardList, ListedValue, ListEntries, Lists

_NAMES = ("value", "until", "reason", "author")
_MOST_LINE = 2_000


def checked_file(path: Path, one: CardList, there: Lists, until_ms: int | None, now_ms: int, *, refuse_card_numbers: bool) -> int:
    """How many entries a file holds, all of them right for the list.

    Args:
        path: of the file.
        one: the list.
        there: what all lists hold: there must be room beside it.
        until_ms: the end of those that have none of their own.
        now_ms: an end before it is a mistake.
        refuse_card_numbers: as the intake does.

    Raises:
        DataError: the file cannot be read; or naming file, line and what is wrong there.
    """
    trial = Lists(refuse_card_numbers=refuse_card_numbers)
    trial.take(one, 0)
    seen: dict[str, int] = {}
    new = 0
    for some in batched(entries_in(path, until_ms), MAX_AT_ONCE):
        for number, entry in some:
            if (before := seen.setdefault(entry.value, number)) != number:
                raise DataError(f"{path}, line {number}: the value of line {before} stands there again. Take one of them out.")
        new += there.new(one.name, [entry.value for _, entry in some])
        if there.entries.live + new > MAX_ENTRIES:
            raise DataError(
                f"{path} holds too many entries: all lists together may hold {MAX_ENTRIES:,}, and hold {there.entries.live:,} now. Take some out, "
                "or remove entries that are not asked for."
            )
        if _wrong(trial, one, [entry for _, entry in some], now_ms):
            number, why = next((n, why) for n, entry in some if (why := _wrong(trial, one, [entry], now_ms)))
            raise DataError(f"{path}, line {number}: {why.partition(': ')[2]}")
    if not seen:
        raise DataError(f"{path} holds no entry. Write a value a line.")
    return len(seen)


def _wrong(trial: Lists, one: CardList, entries: Sequence[ListedValue], now_ms: int) -> str:
    """Why a list does not take entries; empty where it does."""
    try:
        trial.check(ListEntries(one.name, tuple(entries), "nobody", "checked"), now_ms)
    except RuleError as error:
        return str(error)
    return ""


def entries_in(path: Path, until_ms: int | None) -> Iterator[tuple[int, ListedValue]]:
    """The entries of a file with the numbers of their lines.

    Raises:
        DataError: as `checked_file`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            yield from _entries(path, opened, until_ms)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}. Name a file of values, one a line.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: {error}. Save it as that.") from None


def _entries(path: Path, opened: IO[str], until_ms: int | None) -> Iterator[tuple[int, ListedValue]]:
    rows = _rows(path, opened)
    first = next(rows, None)
    if first is None:
        return
    is_head = first[1][0].strip().lower() == "value"
    names = [name.strip().lower() for name in first[1]] if is_head else ["value"]
    if unknown := [name for name in names if name not in _NAMES]:
        raise DataError(f"{path}, line 1: there is no column {unknown[0]!r}; these are known: {', '.join(_NAMES)}.")
    for number, row in rows if is_head else chain([first], rows):
        if len(row) > len(names):
            raise DataError(
                f"{path}, line {number}: it has {len(row)} columns, not {len(names)}. Name them in the first line: value,until."
            )
        told = dict(zip(names, row, strict=False))
        yield number, _entry(path, number, told["value"], told.get("until", ""), until_ms)


def _rows(path: Path, opened: IO[str]) -> Iterator[tuple[int, list[str]]]:
    number = 0
    try:
        while line := opened.readline(_MOST_LINE + 1):
            number += 1
            if len(line) > _MOST_LINE:
                raise DataError(f"{path}, line {number}: it has more than {_MOST_LINE:,} signs. Write a value a line.")
            row = next(csv.reader([line.lstrip("\ufeff") if number == 1 else line], strict=True), None)
            if row:
                yield number, row
    except csv.Error as error:
        raise DataError(f"{path}, line {number}: it is no CSV: {error}.") from None


def _entry(path: Path, number: int, value: str, until: str, until_ms: int | None) -> ListedValue:
    try:
        own_ms = moment_ms(until, "until") if until.strip() else until_ms
        fields = {"value": value} if own_ms is None else {"value": value, "until": own_ms}
        return made(ListedValue, **fields)
    except typer.BadParameter as error:
        raise DataError(f"{path}, line {number}: {error.message}.") from None
    except RuleError as error:
        raise DataError(f"{path}, line {number}: {error}") from None


def at_once(entries: Iterable[ListedValue]) -> Iterator[tuple[ListedValue, ...]]:
    """As many entries at a time as one record takes."""
    return batched(entries, MAX_AT_ONCE)


def write_entries(entries: Iterable[Entry], into: IO[str]) -> int:
    """Write entries as a file that `entries_in` reads; how many."""
    written = csv.writer(into, lineterminator="\n")
    written.writerow(_NAMES)
    count = 0
    for entry in entries:
        until = "" if entry.until_ms == FOREVER else datetime.fromtimestamp(entry.until_ms / 1000, UTC).isoformat(timespec="milliseconds")
        written.writerow([entry.value, until, entry.reason, entry.author])
        count += 1
    return count
