"""What is refused of an expression, each with its place and what to write instead."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RuleError
from stream_app.features.definitions import CATALOGUE
from stream_app.features.kept import definable_features, kept_features
from stream_app.features.plan import compile_plan
from stream_app.messages.transaction import Transaction
from stream_app.rules.expression import MAX_DEPTH, MAX_MEMBERS, parse
from stream_app.rules.names import ValueKind, names
from stream_app.rules.tokens import MAX_BRACKETS, MAX_BYTES, checked
from stream_app.rules.tree import ListKind
from tests.examples import examples

LISTS: dict[str, ListKind] = {"watched": "terminal", "travelling": "card"}


@pytest.mark.parametrize(
    ("text", "asks", "lists"),
    [
        (
            'amount > 500 and channel == "online" and card_declines_in_a_row >= 3',
            ["amount", "channel", "card_declines_in_a_row"],
            (),
        ),
        ("terminal_id in @watched and not (card_id in @travelling)", ["terminal_id", "card_id"], ("watched", "travelling")),
        ("terminal_id not in @watched", ["terminal_id"], ("watched",)),
        ('attributes.v1 > 2 or attributes["V 1"] > -2.5e3', ["attributes.v1", "attributes.V 1"], ()),
        ("approved and not missing(device_id)", ["approved", "device_id"], ()),
        ('hour(event_time) < 6 and event_time > "2026-11-01"', ["event_time"], ()),
        ("  0 < amount <= 5 ", ["amount"], ()),
        ("min(abs(amount - 3), score * 2) / 7 > 0.5", ["amount", "score"], ()),
        ("amount > 1\n  and\tcurrency == 'EUR'", ["amount", "currency"], ()),
        ("mcc in ('5411', '5912') and currency != billing_currency", ["mcc", "currency", "billing_currency"], ()),
        ('merchant_id == "Zürich 日本"', ["merchant_id"], ()),
    ],
)
def test_an_expression_is_read(text: str, asks: list[str], lists: tuple[str, ...]) -> None:
    """With the names and the lists that it asks for."""
    found = parse(text, LISTS)
    assert [name.name for name in found.names] == asks
    assert found.lists == lists


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("amunt > 1", 1, "there is no 'amunt'; the nearest is 'amount'"),
        ("  amount > 1 and crad_count_1h > 3", 18, "the nearest is 'card_count_1h'"),
        ("device_declines_7d > 1", 1, "state keeps no tiles of that window; the nearest is 'device_declines_1h'"),
        ("amount > 'x'", 10, "a number is compared with a text"),
        ("amount > score > 'x'", 18, "a number is compared with a text"),
        ("approved == amount", 1, "what is true or false is not compared"),
        ("amount and approved", 1, "this is a number, where something true or false is wanted"),
        ("amount + channel > 1", 10, "this is a text, where a number is wanted"),
        ("hour(amount) > 1", 6, "this is a number, where a time is wanted"),
        ("event_time > 5", 14, "a time is compared with a number"),
        ("event_time > 'yesterday'", 14, "this is no time"),
        ("event_time > '1999-12-31'", 14, "no payment has such a time"),
        ("channel == 'onlin'", 12, "no channel is 'onlin'; the nearest is 'online'"),
        ("country in ('FR', 'UK')", 19, "no country is 'UK'"),
        ("mcc == '12'", 8, "no mcc is '12': its form is"),
        ("channel < 'online'", 11, "texts have no order here"),
        ("1 < 2", 5, "two constants are compared"),
        ("True", 1, "`True` and `False` say nothing of a payment"),
        ("amount > 1/0", 10, "this never has a value"),
        ("amount > 1e16", 10, "this number is too large"),
        ("amount > 1e999", 10, "this number is too large"),
        ("amount > 9e14 * 9e14", 10, "this number is too large"),
        ("amount in @watched", 1, "@watched holds values of terminal_id: write `terminal_id in @watched`"),
        ("card_id in @watched", 1, "@watched holds values of terminal_id"),
        ("terminal_id in @watchd", 16, "there is no list @watchd; the nearest is 'watched'"),
        ("@watched", 1, "a list can only be asked"),
        ("_watched > 1", 1, "there is no '_watched'"),
        ("terminal_id in _watched", 16, "after `in` stands a list"),
        ("channel in ()", 12, "between 1 and 32 values"),
        ("channel in ('moto', amount)", 21, "here stand constants, of the kind"),
        ("channel in ('moto', 'moto')", 21, "'moto' stands here twice"),
        ("amount in (1, 'x')", 15, "here stand constants, of the kind"),
        ("missing(amount / 2)", 9, "`missing` takes a name"),
        ("abs(amount, 1) > 1", 1, "`abs` takes 1 value, not 2"),
        ("min(amount) > 1", 1, "`min` takes 2 values, not 1"),
        ("abs(x=amount) > 1", 6, "'=' means nothing here. A comparison is `==`"),
        ("abs(**amount) > 1", 1, "`abs` takes values alone, without names and stars"),
        ("open('x')", 1, "there is no function 'open'"),
        ("__import__('os')", 1, "there is no function '__import__'"),
        ("amount.real > 1", 1, "only `attributes` has parts"),
        ("attributes > 1", 1, "say which: `attributes.v1`"),
        ("attributes[1] > 1", 1, "only `attributes` has parts"),
        ("attributes.v1.real > 1", 1, "only `attributes` has parts"),
        ("attributes.abs(1) > 1", 1, "a call of anything but a function by its name is not allowed"),
        ("amount ** 2 > 1", 1, "this operator is not allowed"),
        ("amount % 2 > 1", 8, "'%' means nothing here"),
        ("+amount > 1", 1, "this operator is not allowed"),
        ("amount if approved else 1", 1, "`if` is not allowed"),
        ("[amount for amount in (1, 2)]", 1, "a loop is not allowed"),
        ("lambda", 1, "it cannot be read here"),
        ("amount is None", 11, "`is` is not allowed"),
        ("amount == None", 11, "this constant is not allowed"),
        ("(amount := 1) > 1", 9, "':' means nothing here"),
        ("amount > 1; approved", 11, "';' means nothing here"),
        ("amount > 1 # all", 12, "'#' means nothing here"),
        ("amount > 1 && approved", 12, "'&' means nothing here. Write `and`"),
        ("amount > 0x1f", 11, "put a space or an operator before 'x1f'"),
        ("amount > 1_000", 11, "put a space or an operator before '_000'"),
        ("amount > 1j", 11, "put a space or an operator before 'j'"),
        ("channel == f'online'", 13, "put a space or an operator before"),
        ("channel == 'on' 'line'", 17, "two texts stand side by side"),
        ("channel == 'online", 12, "This text does not end"),
        (r"channel == '\x6fnline'", 12, "This text does not end"),
        ("amount > (1", 10, "it cannot be read here: '(' was never closed"),
        ("amount > 1)", 11, "it cannot be read here"),
        ("\u0430mount > 1", 1, "U+0430 (cyrillic small letter a) is no letter of an expression"),
        ("\uff41mount > 1", 1, "it looks like 'a'"),
        ("amount > \uff11", 10, "it looks like '1'"),
        ("amount\u00a0> 1", 7, "U+00A0"),
        ("amount\u200b > 1", 7, "U+200B (zero width space)"),
        ("channel == '\u043enline'", 13, "U+043E (cyrillic small letter o) stands among Latin letters"),
        ("ip == 'a\u202eb'", 9, "U+202E (right-to-left override) cannot be told from others by eye"),
        ("ip == '" + "x" * 65 + "'", 8, "this text has 65 characters"),
        ("(" * 17 + "amount" + ")" * 17 + " > 1", 17, f"more than {MAX_BRACKETS} brackets are open"),
        ("amount > " + "-" * 30 + "amount", 10 + MAX_DEPTH, f"nested more than {MAX_DEPTH} deep"),
        ("not " * 30 + "approved", 1 + 4 * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} deep"),
        ("1+" * 210 + "amount > 1", 401, "more than 400 words and signs"),
        ("1+" * 150 + "amount > 1", 1, "more than 200 parts"),
        (f"amount in ({', '.join(map(str, range(MAX_MEMBERS + 1)))})", 11, "between 1 and 32 values"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused_at_its_place(text: str, column: int, told: str) -> None:
    """The column counts characters, from 1."""
    with pytest.raises(RuleError) as refused:
        parse(text, LISTS)
    assert told in str(refused.value)
    assert (refused.value.line, refused.value.column) == (1, column)


def test_a_place_in_several_lines_names_the_line() -> None:
    """And characters that take several bytes count as one."""
    with pytest.raises(RuleError, match=re.escape("line 3, column 6: there is no 'foo'")) as refused:
        parse("merchant_id == 'Zürich' and\n 1 < amount\n and foo > 1", LISTS)
    assert (refused.value.line, refused.value.column) == (3, 6)
    with pytest.raises(RuleError, match="column 33: there is no 'foo'"):
        parse("  merchant_id == 'Zürich日本' and foo > 1", LISTS)


def test_a_text_that_is_too_long_or_empty_is_refused_before_it_is_read() -> None:
    """By its bytes."""
    for text, told in (("a" * (MAX_BYTES + 1), "2,049 bytes, 2,048 are allowed"), (" \n", "it is empty"), ("é" * 1_025, "2,050 bytes")):
        with pytest.raises(RuleError, match=told):
            parse(text)


@examples(500)
@given(st.text(st.sampled_from("@ab_1.\"'()[]<>=!+-*/, \n\u0430é#"), max_size=60) | st.text(max_size=30))
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    """Whatever it is: an expression, or an error with a place within it."""
    try:
        place = (0, len(parse(text).names))
    except RuleError as refused:
        place = (refused.line, refused.column)
    lines = text.split("\n")
    assert 0 <= place[0] <= len(lines)
    assert 1 <= place[1] <= max(map(len, lines)) + 1


def test_names_are_read_off_their_definitions() -> None:
    """Every field of a payment but the dictionary of its own numbers, every feature that state is kept for, and the score."""
    assert set(names()) == {*Transaction.__struct_fields__} - {"attributes"} | kept_features().keys() | {"score"}
    assert {feature.name for feature in CATALOGUE} < kept_features().keys()
    assert {name.kind for name in names().values()} == set(ValueKind)
    assert names()["amount"].origin == "feature"
    assert names()["channel"].codes == {"chip", "contactless", "magstripe", "online", "moto", "atm"}


def test_a_feature_that_no_model_uses_can_be_computed_from_what_state_keeps() -> None:
    """The plan takes each of them. One that needs other sums is not kept, nor one whose window reaches further back than the tiles do."""
    plan = compile_plan(tuple(kept_features().values()))
    assert len(plan.features) == len(kept_features()) > len(CATALOGUE)
    assert "card_prior_count_7d" in kept_features()
    assert not {"terminal_amount_zscore_1h", "card_count_7d_delay_7d"} & kept_features().keys()
    assert {"terminal_amount_zscore_1h", "card_count_7d_delay_7d"} < {feature.name for feature in definable_features()}


def test_lists_may_be_unknown() -> None:
    """A topic of rules knows no lists: which there are is asked when they are; the field must be one that lists are of."""
    assert parse("terminal_id in @any and card_id in @other").lists == ("any", "other")
    with pytest.raises(RuleError, match="@any holds values of card_id or terminal_id or"):
        parse("channel in @any")


def test_a_place_is_kept_whatever_stands_before() -> None:
    """`@` becomes a sign of the same width, within texts too."""
    source = checked("ip == '@x' or card_id in @x")
    assert source.python == "ip == '@x' or card_id in _x"
    assert source.lists == {25}
