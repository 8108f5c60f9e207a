"""Card numbers: what is taken for one, and how it is taken out of a dead letter."""

from __future__ import annotations

import json
import re
import time

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.messages.card_numbers import is_card_number, redact, without_card_numbers
from tests.card_numbers import nth_card_number
from tests.examples import examples

CARD_NUMBER = "4111111111111111"  # of the schemes' test numbers
GROUPED = "4111 1111 1111 1111"
OTHER = "4222222222222"
MEGABYTE_S = 20
"""For a megabyte: it takes a fraction of a second. What goes over the whole of it once more for each number takes half an hour."""


def _luhn(digits: str) -> bool:
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


@examples(500)
@given(st.from_regex(r"\A[0-9]{11,21}\Z"))
def test_luhn_is_the_textbooks(digits: str) -> None:
    """Of 13 to 19 digits those are card numbers that pass Luhn's check; exactly one last digit in ten passes."""
    long_enough = 13 <= len(digits) <= 19
    assert is_card_number(digits) == is_card_number(digits.encode()) == (long_enough and _luhn(digits))
    assert sum(is_card_number(f"{digits[:-1]}{last}") for last in range(10)) == long_enough


@pytest.mark.parametrize(
    "number",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
        "378282246310005",
        "6011111111111117",
        "5555555555554444",
        "4222222222222",
        "6304000000000000000",
    ],
)
def test_published_test_numbers_are_card_numbers(number: str) -> None:
    """The schemes' own test numbers, of 13 to 19 digits, are recognised."""
    assert is_card_number(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "card-1",
        "\uff14" + "\uff11" * 15,
        "\u0664" + "\u0661" * 15,
        "4111  1111 1111 1111",
        "4111 - 1111 1111 1111",
        " " + CARD_NUMBER,
        CARD_NUMBER + "-",
        "4111_1111_1111_1111",
        CARD_NUMBER + "\n",
        "411111111111111²",
    ],
)
def test_other_texts_are_not_card_numbers(text: str) -> None:
    """Only ASCII digits count."""
    assert not is_card_number(text)
    assert not is_card_number(text.encode())


@pytest.mark.parametrize(
    "value",
    [
        f'{{"card_id":"{CARD_NUMBER}"}}',
        f'{{"card_id" :\n "{CARD_NUMBER}","amount":1}}',
        f'{{"card_id":{CARD_NUMBER}}}',
        f'{{"card_id": {CARD_NUMBER}.0, "amount": 1}}',
        f'{{"card_id":"{CARD_NUMBER}","card_id":"{CARD_NUMBER}"}}',
        f'{{"inner":{{"card_id":"{CARD_NUMBER}"}}}}',
        f'{{"card\\u005fid":"{CARD_NUMBER}","transaction_id":"tx"}}',
        f'{{"card_id":"\\u0034{CARD_NUMBER[1:]}","amount":1.50}}',
        f'{{"card_id":"{GROUPED}","pan":"{CARD_NUMBER}","n":{CARD_NUMBER},"text":"12 {GROUPED} 3"}}',
        f'{{"card_id":"{CARD_NUMBER}","text":"12 {GROUPED.replace(" ", "-")} 3","b":[1, 2]}}',
        f'{{"card_id":"\\u0034{GROUPED[1:]}","text":"\\u0034{GROUPED[1:]}"}}',
    ],
)
def test_a_card_number_is_taken_out_of_the_value(value: str) -> None:
    """As string or number, repeated, nested, or spelt with escapes: the dead letter does not carry it, and stays JSON."""
    _, redacted = redact(None, value.encode())
    assert redacted is not None
    assert CARD_NUMBER[1:] not in re.sub("[ -]", "", redacted.decode())
    assert "REDACTED" in redacted.decode()
    json.loads(redacted)


@pytest.mark.parametrize("value", [f'{{"card_id":"{CARD_NUMBER}', f'{{"card_id":{CARD_NUMBER}', f'{{"card_id":"{CARD_NUMBER}","a":\xff'])
def test_a_card_number_is_taken_out_of_broken_json(value: str) -> None:
    """A message that cannot be parsed may hold one as well."""
    _, redacted = redact(None, value.encode("latin-1"))
    assert redacted is not None
    assert CARD_NUMBER.encode() not in redacted


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (f'{{"card_id":"{CARD_NUMBER}","pan":"{CARD_NUMBER}"}}', '{"card_id":"REDACTED","pan":"REDACTED"}'),
        (f'{{"card_id":{CARD_NUMBER},"pan":{CARD_NUMBER},"a":[{CARD_NUMBER}.0]}}', '{"card_id":"REDACTED","pan":0,"a":[0.0]}'),
        (f'{{"transaction_id":"tx_{CARD_NUMBER}-1","card_id":"{CARD_NUMBER}"}}', '{"transaction_id":"tx_REDACTED-1","card_id":"REDACTED"}'),
        (f'{{"note":"paid with {CARD_NUMBER}, yes","card_id":"{CARD_NUMBER}"}}', '{"note":"paid with 0, yes","card_id":"REDACTED"}'),
        (f'{{"note":"paid with {CARD_NUMBER}","card_id":"{CARD_NUMBER}"}}', '{"note":"paid with REDACTED","card_id":"REDACTED"}'),
        (f'{{"card_id":"{CARD_NUMBER}","b":{{"{CARD_NUMBER}":1}}}}', '{"card_id":"REDACTED","b":{"REDACTED":1}}'),
        (f'{{"card_id":"\\u0034{CARD_NUMBER[1:]}","pan":"{CARD_NUMBER}"}}', '{"card_id":"REDACTED","pan":"REDACTED"}'),
        (f'{{"card_id":"{CARD_NUMBER}","pan":"\\u0034{CARD_NUMBER[1:]}"}}', '{"card_id":"REDACTED","pan":"REDACTED"}'),
        (f'{{"card_id":"{CARD_NUMBER}","other":"5555555555554444"}}', '{"card_id":"REDACTED","other":"5555555555554444"}'),
        (f'{{"card_id":"{CARD_NUMBER}","long":{CARD_NUMBER}0}}', f'{{"card_id":"REDACTED","long":{CARD_NUMBER}0}}'),
    ],
)
def test_the_refused_number_is_taken_out_wherever_it_stands(value: str, expected: str) -> None:
    """In another field, within an id or a text: the very number that was refused; other digits stay, and JSON stays JSON."""
    _, redacted = redact(None, value.encode())
    assert redacted == expected.encode()
    json.loads(redacted)


def test_a_number_in_the_key_is_taken_out_of_the_value_too() -> None:
    """And one in the value out of the key."""
    assert redact(CARD_NUMBER.encode(), f'{{"pan":"{CARD_NUMBER}"}}'.encode()) == (b"REDACTED", b'{"pan":"REDACTED"}')
    assert redact(f"card{CARD_NUMBER}".encode(), f'{{"card_id":"{CARD_NUMBER}"}}'.encode())[0] == b"cardREDACTED"


@pytest.mark.parametrize("key", [CARD_NUMBER.encode(), f'"{CARD_NUMBER}"'.encode()])
def test_a_card_number_is_taken_out_of_the_key(key: bytes) -> None:
    """Bare or as a JSON string, as key serialisers write it."""
    assert redact(key, None) == (b"REDACTED", None)


@pytest.mark.parametrize(
    "value",
    [
        f'{{"transaction_id":"{CARD_NUMBER}","card_id":"card-1"}}',
        f'{{"terminal_id":{CARD_NUMBER},"merchant_id":"{CARD_NUMBER}"}}',
        f'{{"my_card_id":"{CARD_NUMBER}"}}',
        '{"card_id":"4111111111111112"}',
        f'{{"card_id":"{CARD_NUMBER}{CARD_NUMBER}"}}',
        f'{{"card_id":"token-{CARD_NUMBER}"}}',
        '{"card_id":"tok\\u0065n","transaction_id":"4111111111111111"}',
        '{"card_id":["\\u0034"]}',
        '{"card_id":"\\u00',
        '["\\u0034"]',
        "",
    ],
)
def test_other_digits_are_not_touched(value: str) -> None:
    """Digits in other ids, wrong check digits and longer numbers stay: a dead letter is the original record."""
    assert redact(b"card-1", value.encode()) == (b"card-1", value.encode())


def test_redaction_keeps_the_other_fields() -> None:
    """Where the object is written anew for its escapes, the other fields keep their spelling."""
    value = f'{{"amount": 1.50, "card\\u005fid": "{CARD_NUMBER}", "added": [1e2, "\\u00e9"], "event_time": 7}}'.encode()
    assert redact(None, value)[1] == b'{"amount":1.50,"card_id":"REDACTED","added":[1e2, "\\u00e9"],"event_time":7}'


def test_nothing_in_nothing_out() -> None:
    """A tombstone without key has nothing to redact."""
    assert redact(None, None) == (None, None)


def test_what_cannot_be_decoded_hides_no_other_fields_number() -> None:
    """A field that no decoder takes, but that is JSON and is ignored, stands beside a number in escapes."""
    value = f'{{"card_id":"\\u0034{CARD_NUMBER[1:]}","x":[1e999,"\\u00e9"]}}'
    assert redact(None, value.encode())[1] == b'{"card_id":"REDACTED","x":[1e999,"\\u00e9"]}'


_FIELD = re.compile(rb'("card_id"\s*:\s*)("?)([0-9](?:[ -]?[0-9]){12,18})(?![0-9])((?:\.[0-9]+)?)')


def _bare(number: bytes) -> bytes:
    return number.replace(b" ", b"").replace(b"-", b"")


def _without(number: bytes, text: bytes) -> bytes:
    number = _bare(number)
    alone, grouped = (rb"(?<![0-9])" + of + rb"(?![0-9])" for of in (number, b"[ -]?".join(bytes([d]) for d in number)))
    text = re.sub(rb'(?:(?<=[A-Za-z_"/#])|(?=[0-9]+"))' + alone, b"REDACTED", text)
    return re.sub(grouped, b"REDACTED", re.sub(alone, b"0", text))


def _without_field(found: re.Match[bytes]) -> bytes:
    if not is_card_number(found[3]):
        return found[0]
    return found[1] + (b'"REDACTED' + found[4] if found[2] else b'"REDACTED"')


def _without_escaped(value: bytes, numbers: set[bytes]) -> bytes:
    try:
        fields = msgspec.json.decode(value, type=dict[str, msgspec.Raw])
        plain = {name: msgspec.json.encode(msgspec.json.decode(raw)) for name, raw in fields.items() if b"\\u" in bytes(raw)}
        card_id = msgspec.json.decode(fields.get("card_id", b"null"))
    except msgspec.MsgspecError:
        return value
    changed = {}
    if isinstance(card_id, str) and is_card_number(card_id):
        numbers.add(card_id.encode())
        changed["card_id"] = b'"REDACTED"'
    changed |= {name: text for name, text in plain.items() if name != "card_id" and any(_without(n, text) != text for n in numbers)}
    return msgspec.json.encode(fields | {name: msgspec.Raw(text) for name, text in changed.items()}) if changed else value


def _one_by_one(key: bytes, value: bytes) -> tuple[bytes, bytes]:
    """As `redact`: each number is taken out of all of it, and all of it read again for the next."""
    numbers = {bare} if is_card_number(bare := key.strip(b' "')) else set()
    key = b"REDACTED" if numbers else key
    numbers |= {found[3] for found in _FIELD.finditer(value) if is_card_number(found[3])}
    value = _FIELD.sub(_without_field, value)
    if b"\\u" in value:
        value = _without_escaped(value, numbers)
    for number in numbers:
        key, value = _without(number, key), _without(number, value)
    return key, value


_numbers = st.sampled_from(
    [
        CARD_NUMBER,
        OTHER,
        "5555555555554444",
        CARD_NUMBER[:-1] + "2",
        CARD_NUMBER + "0",
        OTHER * 2,
        "4",
        "",
        GROUPED,
        GROUPED.replace(" ", "-"),
    ]
)
_spelt = st.builds(lambda n, escaped: f"\\u{ord(n[0]):04x}{n[1:]}" if n and escaped else n, _numbers, st.booleans())
_around = st.sampled_from(["", "", "a", "_", "/", "#", " ", ", ", "-", ".0", "\\u00e9", "é", "\\n", "Z", "["])
_text = st.lists(_spelt | _around, max_size=5).map(lambda parts: f'"{"".join(parts)}"')
_number = st.builds(lambda n, fraction: f"{n or 0}{fraction}", _numbers, st.sampled_from(["", "", ".0", "e1"]))
_whole = _spelt.map(lambda n: f'"{n}"')
_name = st.sampled_from(['"card_id"', '"card_id"', '"card\\u005fid"', '"pan"', '"a"', '"b"']) | _text


def _list_or_object(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    field = st.tuples(_name, st.sampled_from([":", " : ", ":\n"]), inner).map("".join)
    values, fields = st.lists(inner, max_size=3), st.lists(field, max_size=4)
    return values.map(lambda of: f"[{', '.join(of)}]") | fields.map(lambda of: f"{{{','.join(of)}}}")


_json = st.recursive(_text | _number | _whole, _list_or_object, max_leaves=8)
_broken = st.lists(_name | _text | _number | st.sampled_from([":", ",", "{", "}", "[", '"', "\\", " "]), max_size=12).map("".join)


@examples(1_000)
@given(key=_text | _spelt | _whole, value=_json | _broken)
@example(key="c", value=f'{{"card_id":{OTHER},"card_id":"{CARD_NUMBER}","a":"{OTHER}{OTHER}","b":[{OTHER},{CARD_NUMBER},"x{OTHER}"]}}')
@example(key=OTHER, value=f'{{"card_id":"\\u0034{CARD_NUMBER[1:]}","a":"\\u0034{CARD_NUMBER[1:]} {OTHER}\\u00e9","b":{OTHER}}}')
@example(key="c", value=f'{CARD_NUMBER}"{CARD_NUMBER}"card_id":{CARD_NUMBER}')
@example(key="c", value=f'{{"card_id":{OTHER},"a":" /{OTHER} #{OTHER} _{OTHER} Z{OTHER} z{OTHER} -{OTHER} "}}')
def test_all_numbers_at_once_are_taken_out_as_one_by_one(key: str, value: str) -> None:
    """Several, repeated, in fields, texts, names and escapes, in JSON and in what is none."""
    assert redact(key.encode(), value.encode()) == _one_by_one(key.encode(), value.encode())


def _megabyte(part: str, between: str = "", before: str = "", after: str = "") -> bytes:
    """A megabyte of a part that is repeated; `#` in it stands for a number: another one each time."""
    count = 1_000_000 // (len(part) + len(between) + 13 * part.count("#"))
    parts = (part.replace("#", nth_card_number(n)) for n in range(count)) if "#" in part else [part] * count
    return (before + between.join(parts) + after).encode()


ESCAPED = '{"card_id":"\\u0034111111111111111",'


@pytest.mark.parametrize(
    ("part", "between", "before", "after"),
    [
        ('"card_id":#', ",", "{", "}"),
        ('"card_id":"#","pan":"x#"', ",", ESCAPED, "}"),
        ('{"card_id":#}', ",", ESCAPED + '"x\\u0041":[', "]}"),
        ('"#":"\\u0041","inner":{"card_id":#}', ",", ESCAPED, "}"),
        ('"#":"\\u0041#"', ",", ESCAPED, "}"),
        ("#,", "", '{"card_id":4111111111111111,"x":[', ""),
        ("\\u0041", "", ESCAPED + '"', '":"\\u0041"}'),
        ("#", "", '{"card_id":', "}"),
        ("#", "", '{"card_id":4111111111111111.', "}"),
        (" ", "", '{"card_id"', ":4111111111111111}"),
        (" \t\r\n", "", '{"card_id":', ""),
        ('"card_id"     :     ', "", "", ""),
        ("[", "", ESCAPED + '"x":', ""),
        ("\\u", "", "", ""),
    ],
)
def test_a_megabyte_of_anything_is_read_in_proportion_to_its_length(part: str, between: str, before: str, after: str) -> None:
    """A worker's loop waits for it, and one record must not end it."""
    value = _megabyte(part, between, before, after)
    began_s = time.process_time()
    redact(b'"' * 60_000, value)
    redact(value, value)
    without_card_numbers(value.decode())
    assert time.process_time() - began_s < MEGABYTE_S
