"""A mapping in YAML: what it may say, and that whatever else stands there is refused with its line."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from stream_app.wire.mapping import MappedField, MappingError
from stream_app.wire.mapping_text import MOST_MAPPING_BYTES, mapping_of

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
delimiter: "\t"
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
    assert made.delimiter == "\t"


def test_a_time_may_be_in_parts_by_a_format_or_counted_from_a_start() -> None:
    """Each with its zone."""
    made = mapping_of("columns:\n  event_time: {paths: [day, [at, h.m]], format: '%d.%m.%y %H:%M'}\nzone: Europe/Berlin")
    assert made.columns["event_time"].paths == (("day",), ("at", "h.m"))
    assert made.time_of("event_time").milliseconds("1.7.26 02:00") == 1_782_864_000_000
    made = mapping_of("columns:\n  event_time: {path: step, unit: d, since: 2018-04-01T02:00:00+02:00}")
    assert made.time_of("event_time").milliseconds(2) == 1_522_713_600_000


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
        ("columns:\n  event_time: {path: a, unit: minutes}", "unit is 'minutes'; it is one of s, ms, us, ns, min, h, d, iso8601"),
        ("columns:\n  event_time: {path: a, unit: h}", "event_time counts in h, and nobody says from when: write since"),
        ("columns:\n  event_time: {path: a, unit: h, since: 2018-04-01}", "since is '2018-04-01'; it names no zone"),
        ("columns:\n  event_time: {path: a, unit: h, since: spring}", "it must be a time of ISO 8601"),
        ("columns:\n  event_time: {path: a, unit: iso8601, since: 2018-04-01T00:00:00Z}", "is text, which counts from nothing"),
        ("columns:\n  amount: {path: a, since: 2018-04-01T00:00:00Z}", "amount counts from nothing: only times do"),
        ("columns:\n  event_time: a\ntime_unit: h", "it is one of s, ms, us, ns, iso8601"),
        ("columns:\n  amount: {path: a, unit: minor, values: {x: 1}}", "a unit and a table of values, which are ours already"),
        ("columns:\n  amount: {path: a, format: '%d'}", "amount has no format: only times have one"),
        ("columns:\n  event_time: {path: a, format: '%d/%m/%Y', unit: s}", "a unit and a format"),
        ("columns:\n  event_time: {path: a, format: '%d/%m/%Y'}", "event_time has a format that names no zone: write %z"),
        ("columns:\n  event_time: {path: a, format: '%d/%m'}\nzone: UTC", "it must say %Y or %y once"),
        ("columns:\n  event_time: {path: a, format: '%Y %y %m %d'}\nzone: UTC", "it must say %Y or %y once"),
        ("columns:\n  event_time: {path: a, format: '%d/%m/%Y %q'}\nzone: UTC", "%q is none of its letters"),
        ("columns:\n  event_time: {path: a, format: '%d/%m/%Y %'}\nzone: UTC", "is none of its letters"),
        ("columns:\n  event_time: {path: a, format: '%d/%d/%m/%Y'}\nzone: UTC", "%d stands twice"),
        ("columns:\n  event_time: {path: a, format: '%d/%m/%Y %I:%M'}\nzone: UTC", "%I and %p go together"),
        ("columns:\n  event_time: {path: a, format: '%d/%m/%Y %M'}\nzone: UTC", "%M says nothing without %H"),
        ("columns:\n  event_time: {path: a, paths: [b, c], unit: iso8601}", "has a path and paths"),
        ("columns:\n  event_time: {paths: [b, c]}", "has several parts; say how they are written together"),
        ("columns:\n  event_time: {paths: [b], unit: iso8601}", "paths are a list of two to 8"),
        ("columns:\n  event_time: {paths: b, unit: iso8601}", "paths are a list of two to 8"),
        ("columns:\n  card_id: {paths: [b, c]}", "card_id is in one place: only times have several parts"),
        ("columns:\n  event_time: {paths: [b, c], unit: iso8601}\n  card_id: b.x", "within what event_time takes for a value"),
        (COLUMNS + "delimiter: ;;", "delimiter is one sign"),
        (COLUMNS + "delimiter: x", "delimiter is one sign"),
        (COLUMNS + "delimiter: '\"'", "delimiter is one sign"),
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
