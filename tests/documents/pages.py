"""The commands of a page, as its reader meets them, and what the page says of them in comments that no reader sees.

<!-- not run: why -->   the next block is left out
<!-- runs -->           the next block is run, though it is not `sh`: `python`, or a `diff` that is applied
<!-- lasts -->          the next block runs beside what follows, until the end of the page, and ends well when told to
<!-- shows: regex -->   the next block's output has this
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = re.compile(r"((?:^<!--[^\n]*-->\n+)*)^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REMARK = re.compile(r"<!-- (not run|runs|lasts|shows)(?:: (.*?))? -->")
SHELLS = {"sh", "bash", "shell", "console", "zsh"}
PROGRAMS = "apt-get|aws|curl|docker|faust|fraudstream|git|helm|kubectl|make|mlflow|pip|python|redis-cli|terraform"
INDENTED = re.compile(rf"^ {{4,}}(?:\$ )?(?:{PROGRAMS}) [^\n]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A block of a page.

    Attributes:
        language: of the fence.
        text: the block.
        not_run: why it is left out; empty: it is run.
        lasts: it runs beside what follows.
        shows: what its output must have; empty: nothing.
    """

    language: str
    text: str
    not_run: str = ""
    lasts: bool = False
    shows: str = ""


def steps(page: str) -> list[Step]:
    """The blocks that are commands, and those of another language that are to be run."""
    found = []
    for remarks, language, text in BLOCK.findall(page):
        said = dict(REMARK.findall(remarks))
        if language in SHELLS or "runs" in said:
            found.append(Step(language, text, said.get("not run", ""), "lasts" in said, said.get("shows", "")))
    return found


def indented_commands(page: str) -> list[str]:
    """Commands in blocks without a fence, which would escape the walk."""
    return [line.strip() for line in INDENTED.findall(BLOCK.sub("", page))]


def walked(page: Path) -> bool:
    """Whether a page has anything to run."""
    return any(not step.not_run for step in steps(page.read_text(encoding="utf-8")))
