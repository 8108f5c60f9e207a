"""`fraudstream dlq` without a server: the newest letters, and their lines there and back; what goes back is asked of real Kafka (tests/integration/test_dlq_kafka.py)."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

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
        ('{"letter":"dlq:0:1","key_base64":"?"}', "what is called base64 is none"),
        ('{"letter":"dlq:0:1","key":"a","key_base64":"YQ=="}', "take one of the two out"),
        ('\n{"letter":"dlq:0:1"}\n \n{', "line 4 is no letter"),
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


def test_a_file_is_read_up_to_a_bound_and_blank_lines_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes of all lines together count, those of blank ones too."""
    line, file = '{"letter":"dlq:0:1"}\n', tmp_path / "letters.jsonl"
    file.write_text(f"\n{line} \n{line}")
    monkeypatch.setattr("stream_app.commands.letter_lines.MOST_BYTES", 2 * len(line) + 3)
    assert [each.letter for each in letters_in(file)] == ["dlq:0:1", "dlq:0:1"]
    monkeypatch.setattr("stream_app.commands.letter_lines.MOST_BYTES", 2 * len(line) + 2)
    with pytest.raises(DataError, match="line 4 is one too many, or too long"):
        letters_in(file)


def test_letters_come_from_standard_input_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name that other programs give it."""
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(b'{"letter":"dlq:0:1"}\n')))
    assert [each.letter for each in letters_in(Path("-"))] == ["dlq:0:1"]


def test_what_a_letter_holds_is_shown_as_it_is() -> None:
    """Brackets are no markup, whoever wrote them; an empty value is not one that is no text."""
    found = NewestLetters(2)
    found.add(letter(1, code="[b]", key=b"[red]C1", value=b"[blink]{}"))
    found.add(letter(2, value=b""))
    found.add(replace(letter(3), message="[link]It is text.", source=RecordOrigin("[u]", 0, 5)))
    plain = [Text.from_markup(line).plain.strip() for line in told(found)]
    assert plain[0].endswith("from [u]:0:5  key C1")
    assert plain[1] == "[link]It is text."
    assert plain[5] == ""
    assert found.lines()[1].value == ""
    found = NewestLetters(1)
    found.add(letter(1, code="[b]", key=b"[red]C1", value=b"[blink]{}"))
    first, _, value, *_ = [Text.from_markup(line).plain.strip() for line in told(found)]
    assert first == "1970-01-01 00:00:00  [b]  dlq:0:1  from transactions:0:5  key [red]C1"
    assert value == "[blink]{}"


def test_codes_that_anybody_may_invent_take_bounded_memory() -> None:
    """Beyond so many they are counted together, as those of other programs."""
    found = NewestLetters(1)
    for number in range(100):
        found.add(letter(number, code=f"code-{number}"))
    assert len(found.counts) == 65
    assert found.counts["dlq", "of other programs"] == 36
    assert sum(found.counts.values()) == 100
