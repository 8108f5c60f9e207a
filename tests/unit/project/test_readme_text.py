"""What the README says of the code is what the code says."""

from __future__ import annotations

import re

from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import MAX_MESSAGE_BYTES
from stream_app.settings import settings_table
from tests.conftest import ROOT

README = ROOT.joinpath("README.md").read_text()


def test_the_table_of_settings_is_current() -> None:
    """Made anew with `python -m tests.unit.project.test_readme_text`."""
    begin, end = README.index("<!-- settings:"), README.index("<!-- /settings -->")
    current = README[begin:end].split("\n", 1)[1].strip() == settings_table()
    assert current, "README's table is behind the settings: `.venv/bin/python -m tests.unit.project.test_readme_text` makes it anew"


def test_every_dead_letter_code_is_explained() -> None:
    """And no other; the size that is refused is the real one."""
    table = README[README.index("| `error.code` |") : README.index("## How reasons")]
    named = [code for row in table.splitlines()[2:] for code in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1] if "|" in row else "")]
    assert sorted(named) == sorted(DeadLetterCode)
    assert f"{MAX_MESSAGE_BYTES:,} bytes" in table


def test_every_file_that_is_linked_is_there() -> None:
    """Relative links only; the web is not asked."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    assert [link for link in links if not ROOT.joinpath(link).exists()] == []


if __name__ == "__main__":
    before, rest = README.split("<!-- settings:", 1)
    about, after = rest.split("\n", 1)
    ROOT.joinpath("README.md").write_text(
        f"{before}<!-- settings:{about}\n{settings_table()}\n<!-- /settings -->{after.split('<!-- /settings -->')[1]}"
    )
