"""`fraudstream dlq` without a server: the newest letters, and their lines there and back; what goes back is asked of real Kafka (tests/integration/test_dlq_kafka.py)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands.dlq import NewestLetters, told
from stream_app.commands.letter_lines import MOST_LETTERS, LetterLine, letters_in, line_of
from stream_app.delivery.dead_letter import RecordOrigin
from stream_app.delivery.sent_back import DeadLetter, LetterPlace
from stream_app.errors import DataError

LETTER = DeadLetter(LetterPlace("dlq", 0, 1), 1_000, "wrong_type", "It is text.", RecordOrigin("transactions", 0, 5), b"C1", b"{}", ())


def letter(number: int, code: str = "wrong_type", key: bytes | None = b"C1", value: bytes = b"{}") -> DeadLetter:
    """The letter at this offset, written at this time."""
    return DeadLetter(LetterPlace("dlq", 0, number), number, code, "It is text.", LETTER.source, key, value, ())


@given(st.one_of(st.none(), st.binary(max_size=40)), st.binary(max_size=80))
def test_what_is_shown_as_a_line_is_the_letter_again(key: bytes | None, value: bytes) -> None:
    """Key and value byte by byte, text or not."""
    line = msgspec.json.decode(msgspec.json.encode(line_of(letter(3, key=key, value=value), went_back=False)), type=LetterLine)
    assert (line.letter, line.key_bytes(), line.value_bytes()) == ("dlq:0:3", key, value)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["wrong_type", "future"])), unique_by=lambda drawn: drawn[0]), st.integers(1, 5)
)
def test_the_newest_letters_of_a_code_are_kept_and_all_are_counted(drawn: list[tuple[int, str]], most: int) -> None:
    """As sorting says; memory is bounded."""
    found = NewestLetters(most, "future")
    for number, code in drawn:
        found.add(letter(number, code))
        found.mark(LetterPlace("dlq", 0, number))
    expected = sorted((n for n, code in drawn if code == "future"), reverse=True)[:most]
    assert [line.letter for line in found.lines()] == [f"dlq:0:{n}" for n in expected]
    assert all(line.went_back for line in found.lines())
    assert sum(found.counts.values()) == len(drawn)
    assert len(found._kept) <= most
    assert len(found._gone_back) <= most


def test_a_person_is_told_why_and_whether_it_can_go_back() -> None:
    """Newest first, then the count of each code; and that there are more."""
    found = NewestLetters(2)
    for each in (letter(1), letter(2, key=None), letter(3)):
        found.add(each)
    found.mark(LetterPlace("dlq", 0, 3))
    text = list(told(found))
    assert text[0] == "1970-01-01 00:00:00  [bold]wrong_type[/]  dlq:0:3  from transactions:0:5  key C1"
    assert text[3] == "        [green]went back[/]"
    assert text[-3] == "        [yellow]cannot go back as it is: the record had no key: write the card's id as its key[/]"
    assert text[-2:] == ["dlq: 3 wrong_type", "[dim]2 of them are shown. --limit shows more, --since and --code fewer.[/]"]
    assert list(told(NewestLetters(2))) == ["No dead letters."]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 1 is no letter"),
        ('{"key":"C1"}', "missing required field `letter`"),
        ('{"letter":"dlq:0:1","value":1}', "line 1 is no letter"),
        ('{"letter":"dlq:0:1","value":"a","value_base64":"YQ=="}', "take one of the two out"),
        ('{"letter":"dlq:0:1","value_base64":"?"}', "what is called base64 is none"),
        ("", "has no letters"),
        (" " * (2**20 + 1), "too long"),
        ('{"letter":"a:0:1"}\n' * (MOST_LETTERS + 1), f"line {MOST_LETTERS + 1} is one too many"),
    ],
)
def test_a_file_that_holds_no_letters_is_refused_with_its_line(tmp_path: Path, line: str, why: str) -> None:
    """One sentence, before anything is sent."""
    file = tmp_path / "letters.jsonl"
    file.write_text(line)
    with pytest.raises(DataError, match=why):
        letters_in(file)
    with pytest.raises(DataError, match="cannot be read"):
        letters_in(tmp_path / "none.jsonl")
