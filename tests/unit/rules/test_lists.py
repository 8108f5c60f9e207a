"""Lists: what they hold is what was put there, in little memory; what is wrong is refused whole."""

from __future__ import annotations

import re
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RuleError
from stream_app.rules import entries
from stream_app.rules.entries import FOREVER, Entries, hashes_of, hashes_of_values
from stream_app.rules.lists import MAX_AT_ONCE, CardList, FieldTexts, ListedValue, ListEntries, ListRemoval, Lists
from tests.examples import examples
from tests.unit.rules.made import NOW_MS, lists


def found(table: Entries, of_list: int, values: list[str]) -> list[int]:
    """The ends of these in a list; 0 where it does not hold them."""
    rows = table.find(of_list, hashes_of(of_list, hashes_of_values(values)), values)
    return [int(end) for end in table.until(rows)]


_VALUES = st.lists(st.sampled_from([f"v{n}" for n in range(12)] + ["é", "日本"]), min_size=1, max_size=6, unique=True)
_CHANGES = st.lists(st.tuples(st.sampled_from(["put", "drop", "ended"]), st.integers(0, 2), _VALUES, st.integers(1, 50)), max_size=30)


@pytest.mark.parametrize("hashes", ["python's", "one hash for all"])
def test_a_table_holds_what_a_dictionary_would(hashes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is put, written over, dropped and laid out anew; also where all values have one and the same hash."""
    monkeypatch.setattr(entries, "_LEAST_ROWS", 4)
    if hashes == "one hash for all":
        monkeypatch.setattr(entries, "hash", lambda value: 0 if value else 1, raising=False)

    @examples(150)
    @given(_CHANGES)
    def holds(changes: list[tuple[str, int, list[str], int]]) -> None:
        table, expected = Entries(), dict[tuple[int, str], tuple[int, str]]()
        for what, of_list, values, until in changes:
            if what == "put":
                table.put(of_list, values, [until] * len(values), (f"why {until}", "ann"))
                expected |= {(of_list, value): (until, f"why {until}") for value in values}
            elif what == "drop":
                assert table.drop(of_list, values) == len([expected.pop((of_list, v)) for v in values if (of_list, v) in expected])
            else:
                table.drop_ended(until)
                expected = {key: end for key, end in expected.items() if end[0] > until}
        assert table.live == len(expected)
        for of_list in range(3):
            of = {value: end for (its, value), end in expected.items() if its == of_list}
            everything = [*(f"v{n}" for n in range(12)), "é", "日本", "none"]
            assert found(table, of_list, everything) == [of.get(value, (0, ""))[0] for value in everything]
            assert {entry.value: (entry.until_ms, entry.reason) for entry in table.of(of_list)} == of
            assert table.count(of_list) == len(of)
            assert table.ending(of_list, 25) == sum(end < 25 for end, _ in of.values())

    holds()


def test_many_entries_take_less_than_a_hundred_bytes_each() -> None:
    """100,000 of 21 bytes, with all that belongs to them; `make bench-rules` measures a million in a process of its own."""
    table = Entries()
    tracemalloc.start()
    for start in range(0, 100_000, 1_000):
        table.put(1, [f"card-{n:016x}" for n in range(start, start + 1_000)], [FOREVER] * 1_000, ("from the lab", "ann"))
    used, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 90 * 100_000
    assert peak < 100 * 100_000
    assert table.nbytes <= used


def test_dropped_entries_give_their_memory_back() -> None:
    """Values that come and go do not add up."""
    table = Entries()
    table.put(0, ["stays"], [FOREVER], ("why", "ann"))
    for round_ in range(20):
        values = [f"{round_}-{n}" for n in range(1_000)]
        table.put(0, values, [FOREVER] * 1_000, (f"why {round_}", "ann"))
        table.drop(0, values)
    assert table.nbytes < 300_000
    assert [entry.value for entry in table.of(0)] == ["stays"]


def taken(of: Lists, **fields: Any) -> None:
    """Put entries on a list."""
    given_: dict[str, Any] = {"name": "watched", "entries": (ListedValue("x"),), "author": "ann", "why": "for tests"}
    of.take(ListEntries(**given_ | fields), NOW_MS)


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        ("card", {"entries": (ListedValue("card-1"), ListedValue("4111111111111111"))}, "List 'watched', entry 2: this is a card number"),
        ("country", {"entries": (ListedValue("FR"), ListedValue("UK"))}, "entry 2: 'UK' is no country"),
        ("card", {"entries": (ListedValue("a", NOW_MS),)}, f"entry 1: its end, {NOW_MS}, is past"),
        ("card", {"entries": (ListedValue("a"), ListedValue("b"), ListedValue("a"))}, "entry 3: the value stands twice"),
        (
            "card",
            {"entries": (ListedValue("card-\u0430"),)},
            "entry 1: sign 6: U+0430 (cyrillic small letter a) stands among Latin letters",
        ),
        ("terminal", {"entries": (ListedValue("t-1\u200b"),)}, "entry 1: sign 4: U+200B (zero width space) cannot be told from others"),
        ("merchant", {"entries": (ListedValue("\uff54-1"),)}, "entry 1: sign 1: U+FF54"),
        ("card", {"name": "wached"}, "There is no list 'wached'. Make it first"),
    ],
)
def test_an_entry_that_is_wrong_is_named_and_nothing_is_taken(kind: Any, fields: dict[str, Any], told: str) -> None:
    """By list and number; those before it are not there either. The value itself may be a card number: it is not quoted."""
    made = lists(watched=(kind, "block", ["FR" if kind == "country" else "card-0"]))
    with pytest.raises(RuleError, match=re.escape(told)) as refused:
        taken(made, **fields)
    assert "4111111111111111" not in str(refused.value)
    assert made.count("watched") == 1


def test_a_card_number_is_taken_where_tokens_look_like_one() -> None:
    """As the intake takes it then; of merchants, whose numbers often pass Luhn, always."""
    tokens = Lists(refuse_card_numbers=False)
    tokens.take(CardList("watched", "card", "block", "ann", "why"), NOW_MS)
    taken(tokens, entries=(ListedValue("4111111111111111"),))
    merchants = lists(watched=("merchant", "block", []))
    taken(merchants, entries=(ListedValue("4111111111111111"),))
    assert tokens.count("watched") == merchants.count("watched") == 1


def test_a_list_keeps_its_kind_and_may_change_its_power() -> None:
    """Rules ask it by its kind."""
    made = lists(watched=("card", "ask", ["card-1"]))
    made.take(CardList("watched", "card", "block", "bob", "now it blocks"), NOW_MS)
    assert [one.power for one in made.of_power()] == ["block"]
    with pytest.raises(RuleError, match="holds values of kind 'card', not 'terminal'"):
        made.take(CardList("watched", "terminal", "block", "bob", "why"), NOW_MS)


def test_lists_and_entries_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is one too many is refused with the bound, and what is there stays."""
    made = lists(watched=("card", "block", ["card-1"]))
    for n in range(entries.MAX_LISTS - 1):
        made.take(CardList(f"l{n}", "card", "ask", "ann", "why"), NOW_MS)
    with pytest.raises(RuleError, match="there may be 64"):
        made.take(CardList("more", "card", "ask", "ann", "why"), NOW_MS)
    with monkeypatch.context() as patch:
        for bound, holds in (("MAX_ENTRIES", 1), ("MAX_VALUE_BYTES", 6)):
            patch.setattr(entries, bound, holds)
        taken(made, entries=(ListedValue("card-1"),))
    for bound, told in (
        ("MAX_ENTRIES", "2 entries; 1 are allowed"),
        ("MAX_VALUE_BYTES", "7 bytes of values; 1"),
        ("MAX_NOTES", "3 reasons and authors"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(entries, bound, 1)
            with pytest.raises(RuleError, match=re.escape(told)):
                taken(made, why="another reason")
    assert made.count("watched") == 1


@pytest.mark.parametrize("bound", ["MAX_VALUE_BYTES", "MAX_NOTES"])
def test_what_was_taken_off_or_written_over_takes_no_room(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else who runs for long would refuse what one who started from a checkpoint takes: from then on they would decide otherwise."""
    monkeypatch.setattr(entries, bound, 15)
    made = lists(watched=("card", "block", ["stays"]))
    for n in range(20):
        taken(made, entries=(ListedValue("again"),), why=f"case {n}")
        assert made.entries.nbytes < 100_000
    for n in range(10, 40):
        taken(made, entries=(ListedValue("again"),), why="again")
        made.take(ListRemoval("watched", ("again",), "ann", "over"), NOW_MS)
        taken(made, entries=(ListedValue(f"{n}"),), why=f"case {n}")
        made.take(ListRemoval("watched", (f"{n}",), "ann", "over"), NOW_MS)
    assert made.count("watched") == 1


def test_reasons_that_nobody_gives_any_more_give_their_memory_back() -> None:
    """An entry that is put again and again, each time for another reason."""
    made = lists(watched=("card", "block", ["stays"]))
    for n in range(5_000):
        taken(made, entries=(ListedValue("again"),), why=f"case {n}")
    assert made.entries.nbytes < 1_000_000
    assert [entry.reason for entry in made.of("watched")] == ["for tests", "case 4999"]


def test_an_entry_ends_by_the_time_of_the_payment() -> None:
    """Event time decides, whatever the clock says; the end itself is not included. Without a value it is unknown whether a list holds it."""
    made = lists(watched=("device", "ask", ["always"]))
    taken(made, entries=(ListedValue("until", NOW_MS + 10),))
    texts = FieldTexts(["until", "until", "always", "never", None])
    held = made.held("watched", "device_id", texts, np.array([NOW_MS + 9, NOW_MS + 10, NOW_MS + 10, NOW_MS, NOW_MS]))
    assert held.tolist()[:4] == [1, 0, 1, 0]
    assert np.isnan(held[4])


def test_what_is_taken_off_is_gone_and_may_come_again() -> None:
    """With another reason; what was not there is passed over."""
    made = lists(watched=("card", "block", ["a", "b"]))
    made.take(ListRemoval("watched", ("a", "z"), "bob", "mistake"), NOW_MS)
    assert [entry.value for entry in made.of("watched")] == ["b"]
    taken(made, entries=(ListedValue("a"),), why="once more", author="bob")
    assert [(entry.value, entry.reason, entry.author) for entry in made.of("watched")] == [
        ("a", "once more", "bob"),
        ("b", "for tests", "ann"),
    ]
    with pytest.raises(RuleError, match="There is no list 'other'"):
        made.take(ListRemoval("other", ("a",), "bob", "mistake"), NOW_MS)
    assert MAX_AT_ONCE == 1_000
