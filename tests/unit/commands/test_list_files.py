"""Files of a list's entries: what is wrong is told by its line before anything is written, and an export is read again."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands import list_files
from stream_app.commands.list_files import checked_file, entries_in, write_entries
from stream_app.errors import DataError
from stream_app.rules.entries import FOREVER, Entry
from stream_app.rules.lists import CardList, ListedValue, ListEntries, Lists
from stream_app.rules.tree import ListKind
from tests.examples import examples
from tests.unit.rules.made import NOW_MS

FILE = Path("entries.csv")


def checked(text: str | bytes, of: ListKind = "terminal", until_ms: int | None = None, there: Sequence[str] = ()) -> int:
    """How many entries a file of this text holds; `there`: what the list holds."""
    FILE.write_bytes(text.encode() if isinstance(text, str) else text)
    watched, held = CardList("watched", of, "ask", "ann", "for tests"), Lists()
    held.take(watched, 0)
    if there:
        held.take(ListEntries("watched", tuple(map(ListedValue, there)), "ann", "for tests"), 0)
    return checked_file(FILE, watched, held, until_ms, NOW_MS, refuse_card_numbers=True)


def test_a_value_a_line_or_columns() -> None:
    """An end of its own goes before the one that is given for all."""
    assert checked("t-1\r\n\n t-2\n") == 2
    assert [entry for _, entry in entries_in(FILE, NOW_MS)] == [ListedValue("t-1", NOW_MS), ListedValue(" t-2", NOW_MS)]
    assert checked('\ufeffvalue,until,reason,author\nt-1,2100-01-01,"because, yes",ann\nt-2,,,\n') == 2
    assert [*entries_in(FILE, None)] == [(2, ListedValue("t-1", 4_102_444_800_000)), (3, ListedValue("t-2"))]


@pytest.mark.parametrize(
    ("text", "of", "why"),
    [
        ("", "terminal", "holds no entry"),
        ("t-1\nt-2\nt-1\n", "terminal", "line 3: the value of line 1 stands there again"),
        ("t-1\n4111111111111111\n", "card", "line 2: this is a card number"),
        ("FR\nXX\n", "country", "line 2: 'XX' is no country"),
        ("value,until\nt-1,2020-01-01\n", "terminal", "line 2: its end, 1577836800000, is past"),
        ("value,until\nt-1,soon\n", "terminal", "line 2: 'soon' is no time"),
        ("t-1,2020-01-01\n", "terminal", "line 1: it has 2 columns, not 1"),
        ("value,why\nt-1,x\n", "terminal", "line 1: there is no column 'why'"),
        ("t-1\n" + "x" * 65 + "\n", "terminal", "line 2: a value has 1 to 64 signs"),
        ("t-1\n" + "x" * 1_000_000 + "\n", "terminal", "line 2: it has more than 2,000 signs"),
        ('t-1\n"t-2\n', "terminal", "line 2: it is no CSV"),
        ("t-1\nt\x002\n", "terminal", "line 2: a value has 1 to 64 signs, no line end and no control character"),
        (b"t-1\n\xff\n", "terminal", "is no text in UTF-8"),
    ],
)
def test_what_is_wrong_is_told_by_its_line(text: str | bytes, of: ListKind, why: str) -> None:
    """Whatever it is; nothing is written of such a file."""
    with pytest.raises(DataError) as refused:
        checked(text, of)
    assert why in str(refused.value)


def test_entries_beyond_what_lists_may_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any of them is written; what is there and is put again takes no more room. A file that is not there is told too."""
    monkeypatch.setattr(list_files, "MAX_ENTRIES", 2)
    assert checked("a\nb\n") == checked("a\nb\n", there="ab") == 2
    for text, there, holds in (("a\nb\nc\n", "", 0), ("a\n", "bc", 2)):
        with pytest.raises(DataError, match=f"holds too many entries: all lists together may hold 2, and hold {holds} now"):
            checked(text, there=there)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        next(entries_in(Path("none.csv"), None))


_TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64)
_ENTRIES: Any = st.lists(
    st.builds(Entry, _TEXTS, st.sampled_from([FOREVER, 4_102_444_800_000, 4_102_444_800_123]), _TEXTS, st.just("ann")),
    unique_by=lambda entry: entry.value,
)


@examples(100)
@given(_ENTRIES)
def test_an_export_is_read_again(entries: list[Entry]) -> None:
    """Values and ends, whatever signs they hold."""
    written = io.StringIO()
    assert write_entries(entries, written) == len(entries)
    FILE.write_text(written.getvalue(), encoding="utf-8", newline="")
    again = [(one.value, FOREVER if one.until is None else one.until) for _, one in entries_in(FILE, None)]
    assert again == [(one.value, one.until_ms) for one in entries]
