"""A mapping in YAML: what it may say, and that whatever else stands there is refused with its line."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from stream_app.wire.mapping import MOST_MAPPING_BYTES, MappedField, MappingError, mapping_of

GOOD = """
columns:
  transaction_id: id
  event_time: {path: paid.at, unit: us}
  card_id: [payload, after.pan]
  amount: {path: sum, unit: minor}
  type: {path: kind, values: {P: purchase, "1": refund}, default: purchase}
  approved: {path: ok, values: {J: true, N: false}}
  attributes.v1: gateway
constants:
  mcc: 0742
  country: NO
tokens: [card_id]
time_unit: s
zone: Europe/Berlin
decimal: ","
key: payload.card
"""


def test_a_mapping_says_where_each_field_is_and_text_stays_text() -> None:
    """0742 is no 482, NO is no false."""
    made = mapping_of(GOOD)
    assert made.constants == {"mcc": "0742", "country": "NO"}
    assert made.columns["event_time"] == MappedField(("paid", "at"), "us")
    assert made.columns["card_id"].path == made.path_of("card_id") == ("payload", "after.pan")
    assert made.columns["type"] == MappedField(("kind",), values=MappingProxyType({"P": "purchase", "1": "refund"}), default="purchase")
    assert made.columns["approved"].values == {"J": "true", "N": "false"}
    assert (made.tokens, made.time_unit, made.zone, made.decimal, made.key) == (
        frozenset({"card_id"}),
        "s",
        "Europe/Berlin",
        ",",
        ("payload", "card"),
    )
    assert made.path_of("terminal_id") == ("terminal_id",)


COLUMNS = "columns:\n  card_id: pan\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no `columns`"),
        ("- a", "has no `columns`"),
        ("columns: {}", "has no `columns`"),
        ("columns: pan", "Line 1: columns must be written as `name: value`"),
        (COLUMNS + "constant: {}", "Line 3: 'constant' is no part of the mapping; the nearest is constants"),
        ("columns:\n  card: pan", "Line 2: 'card' is none of our fields; the nearest is card_id"),
        ("columns:\n  event_tme: at", "the nearest is event_time"),
        ("columns:\n  attributes: at", "'attributes' is none of our fields"),
        ("columns:\n  attributes.: at", "is none of our fields"),
        (COLUMNS + "  card_id: card", "Line 3: 'card_id' stands twice in columns"),
        ("columns:\n  card_id: a..b", "Line 2: 'a..b' is no path"),
        ("columns:\n  card_id: .a", "is no path"),
        ("columns:\n  card_id: ''", "is no path"),
        ("columns:\n  card_id: []", "is no path"),
        ("columns:\n  card_id: {unit: s}", "Line 2: column card_id has no path"),
        ("columns:\n  card_id: {path: a, unit: s}", "card_id has no unit"),
        ("columns:\n  card_id: {path: a, units: s}", "'units' is no part of column card_id; the nearest is unit"),
        ("columns:\n  event_time: {path: a, unit: minutes}", "unit is 'minutes'; it is one of s, ms, us, ns, iso8601"),
        ("columns:\n  amount: {path: a, unit: cents}", "it is one of major, minor"),
        ("columns:\n  type: {path: a, values: {P: purchase, P: refund}}", "Line 2: 'P' stands twice in values"),
        ("columns:\n  type: {path: a, values: {P: sale}}", "Line 2: type 'sale' is unknown"),
        ("columns:\n  approved: {path: a, values: {J: yes}}", "'yes' cannot be approved"),
        ("columns:\n  type: {path: a, default: sale}", "type 'sale' is unknown"),
        ("columns:\n  card_id: a\n  terminal_id: a.b", "within what card_id takes for a value"),
        (COLUMNS + "constants: {country: UK}", "Line 3: country 'UK' is not of ISO 3166-1"),
        (COLUMNS + "constants: {mcc: 742}", "mcc is '742'"),
        (COLUMNS + "constants: {card_id: x}", "card_id is a column and a constant"),
        (COLUMNS + "constants: {amount: much}", "'much' cannot be amount"),
        (COLUMNS + "constants: {amount: nan}", "amount is nan"),
        (COLUMNS + "constants: {currency: [EUR]}", "Line 3: here stands a list or an object"),
        (COLUMNS + "tokens: card_id", "tokens are a list"),
        (COLUMNS + "tokens: [terminal_id]", "'terminal_id' is no column of text that this mapping names"),
        (COLUMNS + "zone: Europe/Atlantis", "'Europe/Atlantis' is no time zone"),
        (COLUMNS + "zone: ../../etc/passwd", "is no time zone"),
        (COLUMNS + "decimal: ;", "decimal is ';'; it is one of ,, ."),
        ("columns: !!python/object/apply:os.system ['true']", "Line 1: a tag, an anchor or an alias"),
        ("columns: &a {card_id: pan}\nconstants: *a", "a tag, an anchor or an alias"),
        ("columns: {card_id: &a [*a]}", "a tag, an anchor or an alias"),
        ("columns: " + "[" * 40 + "]" * 40, "nested more than 16 deep"),
        ("a: " + "{a: " * 5_000, "nested more than 16 deep"),
        ("columns: {card_id: pan", "It is no YAML"),
        ("columns: {card_id: pan}\n---\ncolumns: {}", "It is no YAML"),
        ('columns: {card_id: "a\\0b"}', "cannot be printed"),
        ("#" * MOST_MAPPING_BYTES + "\n" + COLUMNS, "larger than 65536 bytes"),
        ("columns:\n\tcard_id: pan", "It is no YAML"),
        ("columns: {? [a] : b}", "here stands a list"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(text: str, says: str) -> None:
    """Names that are none with the nearest, what stands twice, paths that cannot exist, code, and what is too large."""
    with pytest.raises(MappingError) as refused:
        mapping_of(text)
    assert says in str(refused.value), refused.value
    assert str(refused.value).endswith(".")
