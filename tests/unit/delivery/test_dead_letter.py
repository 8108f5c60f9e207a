"""What a dead letter carries of a refused record: as much as a topic takes, and always why and from where."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.delivery.dead_letter import MOST_KEY_BYTES, MOST_LETTER_BYTES, MOST_VALUE_BYTES, dead_letter
from stream_app.errors import RecordError
from stream_app.messages.cut_bytes import CutBytes, UnreadBytes
from stream_app.messages.headers import Headers
from stream_app.messages.records import Outgoing
from stream_app.messages.transaction import MAX_MESSAGE_BYTES

CARD_NUMBER = b"4111111111111111"
NAMES = ["error.code", "error.message", "source.topic", "source.partition", "source.offset"]
"""Headers of a letter that lacks nothing."""
ADDED = 400
"""Bytes of the headers that the publisher adds."""


@dataclass(frozen=True)
class Refused:
    """A record as Kafka gives it."""

    value: bytes | None
    key: bytes | None = b"c1"
    offset: int = 7
    timestamp: int = 0
    headers: Headers = ()


def letter_of(record: Refused, message: str = "Too long.") -> Outgoing:
    """Its dead letter."""
    return dead_letter(record, RecordError("too_large", message), ("transactions", 3), "dlq", redacted=("card_id",))


def forms(letter: Outgoing) -> Iterator[Outgoing]:
    """The letter, and what is sent in its place where that is too large."""
    while True:
        yield letter
        if letter.shorter is None:
            return
        letter = letter.shorter()


def size(letter: Outgoing) -> int:
    """Bytes of key, value and headers."""
    return len(letter.key or b"") + len(letter.value or b"") + sum(len(name) + len(value) for name, value in letter.headers)


_sizes = st.none() | st.sampled_from([0, 1, 30, 1_000, 20_000, MOST_VALUE_BYTES, MOST_VALUE_BYTES + 1, 3_000_000])


@given(key=_sizes, value=_sizes, message=st.text(min_size=1, max_size=2_000))
@example(key=5_000_000, value=10, message="x")
@example(key=2_000_000, value=2_000_000, message="\udcff" * 2_000)
def test_key_value_and_headers_are_bounded_together_and_each_form_is_shorter_down_to_headers_alone(
    key: int | None, value: int | None, message: str
) -> None:
    """Whatever the record was, and whatever the error says of it."""
    record = Refused(None if value is None else b"v" * value, None if key is None else b"k" * key)
    found = list(forms(letter_of(record, message)))
    assert size(found[0]) + ADDED <= MOST_LETTER_BYTES
    assert all(size(after) <= max(2_000, size(before)) for before, after in pairwise(found))
    assert size(found[-1]) < 2_000
    assert (found[-1].key, found[-1].value) == (b"transactions:3:7", b"")
    for form in found:
        headers = dict(form.headers)
        assert form.key is not None
        assert [headers[f"source.{name}"] for name in ("topic", "partition", "offset")] == [b"transactions", b"3", b"7"]
        assert 1 <= len(headers["error.message"].decode()) <= 303
        was, told = record.key, headers.get("source.key.bytes")
        assert (told is None) == (form.key == was)
        assert told is None or int(told) == (-1 if was is None else len(was))
        assert len(form.value or b"") <= MOST_VALUE_BYTES
        assert ("source.bytes" in headers) == (len(form.value or b"") < len(record.value or b""))


def test_the_bytes_travel_as_they_came() -> None:
    """Up to what a key and a payment may have nothing is cut, and nothing says so."""
    for key in (b"card-1", b"k" * MOST_KEY_BYTES):
        letter = letter_of(Refused(b"x" * MAX_MESSAGE_BYTES, key))
        assert (letter.key, letter.value) == (key, b"x" * MAX_MESSAGE_BYTES)
        assert [name for name, _ in letter.headers] == NAMES


@pytest.mark.parametrize("number", [f'"{CARD_NUMBER.decode()}"', CARD_NUMBER.decode(), f'"\\u0034{CARD_NUMBER.decode()[1:]}"'])
@pytest.mark.parametrize("key", [CARD_NUMBER, b"card" + CARD_NUMBER])
def test_a_card_number_that_is_taken_out_is_no_cut(number: str, key: bytes) -> None:
    """The letter is shorter than its record, and lacks nothing: no header says that it does."""
    letter = letter_of(Refused(f'{{"card_id":{number},"pan":{CARD_NUMBER.decode()}}}'.encode(), key))
    assert letter.value == b'{"card_id":"REDACTED","pan":0}'
    assert letter.key in {b"REDACTED", b"cardREDACTED"}
    assert [name for name, _ in letter.headers] == NAMES


@pytest.mark.parametrize("key", [b"\0\0\0\0\x07\x20" + CARD_NUMBER, b'\0\0\0\0\x08"' + CARD_NUMBER + b'"', CARD_NUMBER])
def test_no_card_number_of_avro_is_left(key: bytes) -> None:
    """Which field a text stands in is not known, so each that is one goes; other digits stay."""
    value = b"\0\0\0\0\x07\x08tx-1\x20" + CARD_NUMBER + b"0\x204111111111111112"
    letter = letter_of(Refused(value, key))
    assert letter.value == b"\0\0\0\0\x07\x08tx-1REDACTED0\x204111111111111112"
    assert CARD_NUMBER not in (letter.key or b"")


def test_what_is_cut_and_redacted_says_how_many_bytes_came() -> None:
    """Not how many were left of them."""
    value = b'{"card_id":"' + CARD_NUMBER + b'","pad":"' + b"x" * 200_000 + b'"}'
    letter = letter_of(Refused(value, CARD_NUMBER + b" " * 5_000 + b"x"))
    assert (letter.value or b"").startswith(b'{"card_id":"REDACTED","pad":"xxx')
    assert len(letter.value or b"") == MOST_VALUE_BYTES
    assert [dict(letter.headers)[name] for name in ("source.key.bytes", "source.bytes")] == [b"5017", str(len(value)).encode()]


def test_what_is_cut_keeps_its_first_bytes_and_says_how_many_there_were() -> None:
    """Also where the reader itself kept the first bytes alone."""
    letter = letter_of(Refused(CutBytes.of(b"v" * 2**20, 300_000_000), CutBytes.of(b"k" * 65_536, 5_000_000)))
    headers = dict(letter.headers)
    assert letter.key == b"k" * MOST_KEY_BYTES
    assert letter.value == b"v" * MOST_VALUE_BYTES
    assert (headers["source.key.bytes"], headers["source.bytes"]) == (b"5000000", b"300000000")


def test_what_the_reader_cut_says_so_though_no_more_is_cut() -> None:
    """As where all that it kept of a key was a card number and spaces."""
    letter = letter_of(Refused(CutBytes.of(b"v" * 100, 300_000_000), CutBytes.of(CARD_NUMBER + b" " * 100, 5_000_000)))
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (b"REDACTED", b"v" * 100)
    assert (headers["source.key.bytes"], headers["source.bytes"]) == (b"5000000", b"300000000")


def test_a_record_without_a_key_gets_one_that_no_other_has() -> None:
    """A compacted topic refuses a message without, and keeps one of those with the same."""
    keys = {letter_of(Refused(b"{}", None, offset)).key for offset in range(5)}
    assert len(keys) == 5
    assert dict(letter_of(Refused(None, None)).headers)["source.key.bytes"] == b"-1"


def test_what_could_not_be_unpacked_has_a_letter_without_content() -> None:
    """Nobody knows how long it was."""
    letter = letter_of(Refused(UnreadBytes.of("it is cut"), None))
    assert letter.value == b""
    assert "source.bytes" not in dict(letter.headers)


@pytest.mark.parametrize("text", ["\udcff of a lone surrogate", "a\nline\x00", f"card {CARD_NUMBER.decode()}", "long " * 1_000])
def test_what_an_error_says_is_fit_for_a_header(text: str) -> None:
    """The text of an exception may quote the record, and may be of any length."""
    told = dict(letter_of(Refused(b"{}"), text).headers)["error.message"]
    assert CARD_NUMBER not in told
    assert told.decode().isprintable()
    assert len(told) < 1_000


@given(before=st.integers(MOST_VALUE_BYTES - 40, MOST_VALUE_BYTES))
def test_no_form_holds_a_card_number_that_the_cut_goes_through(before: int) -> None:
    """It is taken out of the whole first."""
    value = b'{"pad":"' + b"x" * before + b'","card_id":"' + CARD_NUMBER + b'"}'
    for form in forms(letter_of(Refused(value, CARD_NUMBER))):
        assert b"4111111" not in (form.value or b"") + (form.key or b"")


def test_the_producers_own_headers_follow_ours() -> None:
    """But those that would pass for ours; card numbers are taken out, a missing value is empty."""
    given = (
        ("traceparent", b"00-4b"),
        ("error.code", b"x"),
        ("source.mine", b"x"),
        ("pan", CARD_NUMBER),
        ("odd", b"\xff\x00"),
        ("none", None),
    )
    letter = letter_of(Refused(b"v", headers=given))
    assert [name for name, _ in letter.headers][: len(NAMES)] == NAMES
    assert list(letter.headers)[len(NAMES) :] == [("traceparent", b"00-4b"), ("pan", b"REDACTED"), ("odd", b"\xff\x00"), ("none", b"")]


def test_headers_of_a_producer_are_bounded_and_the_first_to_be_left_out() -> None:
    """Whatever their number: the letter is no larger than without them but for 4 kB, and a shorter form has none."""
    many = tuple((f"h{n}", b"x" * 1_000) for n in range(64))
    letter = letter_of(Refused(b"v" * 3_000_000, b"k" * 3_000_000, headers=many))
    assert [name for name, _ in letter.headers if name.startswith("h")] == ["h0", "h1", "h2", "h3"]
    assert size(letter) + ADDED <= MOST_LETTER_BYTES
    assert letter.shorter is not None
    assert not [name for name, _ in letter.shorter().headers if name.startswith("h")]
