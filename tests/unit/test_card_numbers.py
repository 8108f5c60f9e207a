"""Card numbers: what is taken for one, and how it is taken out of a dead letter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.transaction import is_card_number, redact
from tests.examples import examples

CARD_NUMBER = "4111111111111111"  # of the schemes' test numbers


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


@pytest.mark.parametrize("number", ["378282246310005", "6011111111111117", "5555555555554444", "4222222222222", "6304000000000000000"])
def test_published_test_numbers_are_card_numbers(number: str) -> None:
    """The schemes' own test numbers, of 13 to 19 digits, are recognised."""
    assert is_card_number(number)


@pytest.mark.parametrize(
    "text",
    ["", "card-1", "\uff14" + "\uff11" * 15, "\u0664" + "\u0661" * 15, "4111 1111 1111 1111", CARD_NUMBER + "\n", "411111111111111²"],
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
    ],
)
def test_a_card_number_is_taken_out_of_the_value(value: str) -> None:
    """As string or number, repeated, nested, or spelt with escapes: the dead letter does not carry it, and stays JSON."""
    _, redacted = redact(None, value.encode())
    assert redacted is not None
    assert CARD_NUMBER[1:] not in redacted.decode()
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
