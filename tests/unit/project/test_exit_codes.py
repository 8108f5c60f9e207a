"""The exit codes, printed into docs/operations.md from the errors themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stream_app import errors

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- exit codes: made by `python -m tests.unit.project.test_exit_codes` -->\n", "<!-- /exit codes -->"
OURS = range(64, 79)
"""Those of sysexits.h."""


def ending() -> list[Any]:
    """Every kind of error that has an exit code of its own, by the code."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and "exit_code" in vars(kind)]
    return sorted(kinds, key=lambda kind: int(kind.exit_code))


def table() -> str:
    """One row a kind."""
    rows = [f"| {kind.exit_code} | `{kind.__name__}` | {kind.why} | {kind.remedy} |" for kind in ending()]
    return "\n".join(["| code | error | why | what to do |", "|---|---|---|---|", *rows, ""])


def document() -> str:
    """docs/operations.md with the table as it is here."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


def test_the_table_of_exit_codes_is_made_from_the_errors() -> None:
    """`python -m tests.unit.project.test_exit_codes` writes it."""
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_each_error_that_ends_a_process_says_why_and_what_to_do() -> None:
    """Its own words, not those of the error that it is a kind of."""
    assert all({"why", "remedy"} <= vars(kind).keys() for kind in ending())


def test_a_supervisor_can_tell_the_errors_apart() -> None:
    """One code a kind; what a server refuses is one code, be it the login or a right."""
    codes = [kind.exit_code for kind in ending() if kind not in (errors.NoAccess, errors.Stop)]
    assert len(codes) == len(set(codes))
    assert set(codes) <= set(OURS)
    assert errors.NoAccess.exit_code == errors.Refused.exit_code


def test_no_other_page_has_a_table_of_exit_codes() -> None:
    """Nor does any page name a code that there is not."""
    known = {str(kind.exit_code) for kind in ending()} | {"0"}
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"exit code (\d+)", text)) <= known, page
        assert page == DOCUMENT or not re.search(r"^\| 7\d \|", text, re.MULTILINE), page


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
