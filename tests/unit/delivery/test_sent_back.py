"""Dead letters read back: what a record was, whether the letter has it whole, and what goes back in its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.adapters.kafka.partitioners import PARTITIONERS
from stream_app.delivery.dead_letter import dead_letter
from stream_app.delivery.placement import TELLING_KEYS, CardHomes
from stream_app.delivery.sent_back import SENT_BACK, LetterPlace, ReturnedRecord, letter_of, mark_in
from stream_app.errors import RecordError
from stream_app.messages.cut_bytes import CutBytes
from tests.topics import Kept

SOURCE = ("transactions", 1)
ERROR = RecordError("wrong_type", "event_time is text.")


def letter_in_topic(record: Kept, *, shorter: int = 0) -> Kept:
    """The letter of a record as its topic has it, at offset 7; of its forms the nth."""
    made = dead_letter(record, ERROR, SOURCE, "dlq", redacted=("card_id",))
    for _ in range(shorter):
        assert made.shorter is not None
        made = made.shorter()
    return Kept(7, 1_000, made.key, made.value, (*made.headers, ("source.cursor", b"a:1,b:2")))


@given(
    st.one_of(st.none(), st.binary(max_size=1_000)),
    st.binary(min_size=1, max_size=2_000),
    st.lists(st.tuples(st.sampled_from(["traceparent", "x", SENT_BACK]), st.binary(max_size=20)), max_size=4),
)
def test_a_record_comes_out_of_its_letter_as_it_went_in(key: bytes | None, value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """Key, value, the producer's headers, place and reason; a record without a key has none again."""
    letter = letter_of("dlq", 1, letter_in_topic(Kept(55, 900, key, value, tuple(headers))))
    assert letter is not None
    assert (letter.key, letter.value, letter.source, letter.place) == (key, value, (*SOURCE, 55), ("dlq", 1, 7))
    assert (letter.code, letter.message, letter.headers, letter.cut) == ("wrong_type", "event_time is text.", tuple(headers), "")
    assert bool(letter.needs()) == (key is None)


def test_a_letter_that_lacks_bytes_says_so() -> None:
    """A large value is cut, a shorter form has a part of it, the shortest the headers alone: none can go back as it is. Rule 3 of `sent_back`."""
    large = Kept(55, 900, b"C1", CutBytes.of(b"x" * 70_000, 900_000))
    whole = Kept(55, 900, b"C1", b"x" * 60_000)
    told = []
    for made in (letter_in_topic(large), letter_in_topic(whole, shorter=1), letter_in_topic(Kept(55, 900, b"C1", b""))):
        letter = letter_of("dlq", 1, made)
        assert letter is not None
        told.append(letter.cut)
        assert "write the whole record here" in letter.needs()
        assert ReturnedRecord(letter, b"C1", letter.value, 0).refusal() == letter.needs()
        assert ReturnedRecord(letter, b"C1", b"{}", 0).refusal() == ""
    assert told[0] == "the letter has 65536 of the value's 900000 bytes"
    assert told[1].endswith("of the value's 60000 bytes")
    assert told[2] == "the letter has headers alone"


def test_a_record_whose_card_number_was_taken_out_goes_back_only_with_a_token() -> None:
    """REDACTED is no card: where it stands in key or value, nothing is sent. Rule 4 of `sent_back`: the rest of it is the decoder's."""
    letter = letter_of("dlq", 1, letter_in_topic(Kept(55, 900, b"4111111111111111", b'{"card_id":"4111111111111111"}')))
    assert letter is not None
    assert letter.value == b'{"card_id":"REDACTED"}'
    assert "card number was taken out" in letter.needs()
    assert "card number was taken out" in ReturnedRecord(letter, b"tok-1", letter.value, 0).refusal()
    assert "card number was taken out" in ReturnedRecord(letter, b"REDACTED", b'{"card_id":"tok-1"}', 0).refusal()
    assert ReturnedRecord(letter, b"tok-1", b'{"card_id":"tok-1"}', 0).refusal() == ""


def test_what_goes_back_names_its_last_letter_alone() -> None:
    """A record that was refused a second time has two letters; its headers name the newer one. Rule 1 of `sent_back`."""
    letter = letter_of("dlq", 1, letter_in_topic(Kept(55, 900, b"C1", b"{}", ((SENT_BACK, b"dlq:1:3"), ("traceparent", b"t")))))
    assert letter is not None
    assert ReturnedRecord(letter, b"C1", b"{}", 0).headers == (("traceparent", b"t"), (SENT_BACK, b"dlq:1:7"))


def test_a_record_goes_to_the_partition_that_is_its_cards_today() -> None:
    """Its letter is of two partitions, and there are eight now: where the newest keys follow a partitioner, that says where, of a mended key too."""
    letter = letter_of("dlq", 1, letter_in_topic(Kept(55, 900, b"C1", b"{}")))
    assert letter is not None
    same, mended = ReturnedRecord(letter, b"C1", b"{}", 0), ReturnedRecord(letter, b"C2", b"{}", 0)
    assert (same.stood, mended.stood) == (1, None)
    keys = [f"card-{n}".encode() for n in range(TELLING_KEYS)]
    for of in PARTITIONERS.values():
        homes = CardHomes.told_by({key: of(key, 8) for key in keys}, 8, PARTITIONERS)
        assert [homes.of(r.key, r.stood) for r in (same, mended)] == [of(b"C1", 8), of(b"C2", 8)]
    few = CardHomes.told_by({b"C1": 6}, 8, PARTITIONERS)
    assert [few.of(r.key, r.stood) for r in (same, mended)] == [6, None], "its newest record is nearer than where it stood"
    none = CardHomes.told_by(dict.fromkeys(keys, 0), 8, PARTITIONERS)
    assert [none.of(r.key, r.stood) for r in (same, mended)] == [1, None], "producers with a partitioner of their own"
    back, mark = same.messages(5)
    assert (back.partition, back.message.key, mark.partition, mark.message.topic) == (5, b"C1", 1, "dlq")


def test_a_mark_is_no_letter_and_a_letter_no_mark() -> None:
    """Nor is what other programs write there either of the two. Rule 2 of `sent_back`, which real Kafka holds."""
    mark = Kept(8, 1_000, b"dlq:1:7", b"", ((SENT_BACK, b"dlq:1:7"),))
    again = letter_in_topic(Kept(55, 900, b"C1", b"{}", ((SENT_BACK, b"dlq:1:3"),)))
    foreign = Kept(9, 1_000, b"k", b"v")
    assert [mark_in(r) for r in (mark, again, foreign)] == [LetterPlace("dlq", 1, 7), None, None]
    assert [letter_of("dlq", 1, r) is None for r in (mark, again, foreign)] == [True, False, True]


@pytest.mark.parametrize("text", ["", "dlq", "dlq:1", "dlq:1:x", "dlq:-1:2", f"dlq:1:{2**70}"])
def test_what_is_no_place_is_none(text: str) -> None:
    """And a place is its own text again."""
    assert LetterPlace.of(text) is None
    assert LetterPlace.of(str(LetterPlace("a.b", 3, 12))) == LetterPlace("a.b", 3, 12)
