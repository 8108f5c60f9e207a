"""The documents: every page has its place, every link its target, every command a walk or a reason; what is drawn or made is current."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.documents.pages import Step, indented_commands, steps

DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *DOCS]
MADE = ("reference/", "project/", "notebooks/")
"""Folders of the site whose pages are made at its build."""
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _in_nav(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [page for below in (node.values() if isinstance(node, dict) else node) for page in _in_nav(below)]


def test_every_page_stands_in_the_navigation() -> None:
    """A new page of docs/ gets a line in mkdocs.yml; the strict build would refuse it otherwise, minutes later."""
    nav = _in_nav(yaml.safe_load(ROOT.joinpath("mkdocs.yml").read_text())["nav"])
    assert len(nav) == len(set(nav))
    assert {n for n in nav if not n.startswith(MADE)} == {str(p.relative_to(ROOT / "docs")) for p in DOCS}


@named
def test_every_file_that_a_page_links_is_there(page: Path) -> None:
    """Relative links, for those who read the repository: to no page that only the site has. `scripts/site.py` leads them on there."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    of_notebooks = [link for link in links if re.search(r"(^|/)notebooks/[\w-]+\.md$", link)]
    assert [link for link in links if link not in of_notebooks and not page.parent.joinpath(link).exists()] == []


@named
def test_every_command_of_a_page_is_walked_or_says_why_not(page: Path) -> None:
    """Fences are `sh`; a command outside of them would never be run. README is walked by tests/e2e/test_readme.py, the others by `make docs`."""
    found = [step for step in steps(page.read_text()) if step.language in {"sh", "bash", "shell", "console", "zsh"}]
    assert {step.language for step in found} <= {"sh"}, "a block of commands begins with ```sh"
    assert indented_commands(page.read_text()) == [], (
        "put them between ```sh and ```; where they cannot be run, <!-- not run: why --> before"
    )


def test_a_page_is_read_as_it_is_meant() -> None:
    """Remarks belong to the block after them."""
    page = (
        "<!-- lasts -->\n<!-- shows: a b -->\n```sh\nworker\n```\ntext\n\n```json\n{}\n```\n<!-- not run: no cluster -->\n```sh\nhelm\n```\n"
        "<!-- runs -->\n```diff\n+x\n```\n\n    make x\n\n    a line of no command\n"
    )
    assert steps(page) == [
        Step("sh", "worker\n", lasts=True, shows="a b"),
        Step("sh", "helm\n", not_run="no cluster"),
        Step("diff", "+x\n"),
    ]
    assert indented_commands(page) == ["make x"]


def test_the_picture_of_the_paths_is_current() -> None:
    """As `python scripts/draw_paths.py` draws it."""
    current = runpy.run_path(str(ROOT / "scripts" / "draw_paths.py"))["draw"]() == ROOT.joinpath("docs", "paths.svg").read_text()
    assert current, "docs/paths.svg is behind its script: `.venv/bin/python scripts/draw_paths.py` draws it anew"


def test_the_documents_need_no_network() -> None:
    """Nothing is fetched from elsewhere when a page is read: no fonts, no scripts of others."""
    config = yaml.safe_load(ROOT.joinpath("mkdocs.yml").read_text())
    assert config["theme"]["font"] is False
    assert not {"extra_javascript", "extra_css"} & set(config)
