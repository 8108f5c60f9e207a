"""What an author types becomes a record, or is refused in words for who typed it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.commands.signing import signed
from stream_app.errors import RuleError
from stream_app.rules.lists import CardList, ListEntries

RIGHT: dict[str, Any] = {"name": "watched", "entries": [{"value": "t-1"}], "author": "ann", "why": "for tests"}


def test_a_record_stands_as_the_topic_takes_it() -> None:
    """With its kind."""
    assert msgspec.json.decode(signed(ListEntries, **RIGHT)) == RIGHT | {"kind": "list_entries"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"author": ""}, "--as takes a name"),
        ({"author": "Ann Müller"}, "--as takes a name of 1 to 64 printable signs of ASCII"),
        ({"why": "a\nb"}, "--why takes 1 to 200 signs"),
        ({"why": ""}, "--why takes 1 to 200 signs"),
        ({"name": "Watched"}, "a list's name is a small letter"),
        ({"entries": [{"value": "x" * 65}]}, "a value has 1 to 64 signs"),
        ({"entries": [{"value": "t-1", "until": 5}]}, "Expected `int` >= 946684800000"),
    ],
)
def test_what_is_not_right_in_form_is_told_by_the_option(wrong: dict[str, Any], told: str) -> None:
    """Not by a pattern."""
    with pytest.raises(RuleError) as refused:
        signed(ListEntries, **RIGHT | wrong)
    assert str(refused.value).startswith(told)
    assert str(refused.value).endswith(".")


def test_a_kind_that_there_is_not_is_told() -> None:
    """With what was typed."""
    with pytest.raises(RuleError, match="Invalid enum value 'cards'"):
        signed(CardList, name="watched", of="cards", power="ask", author="ann", why="for tests")
