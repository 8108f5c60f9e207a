"""What mkdocs asks while it builds the documents: the pages that are made, and where a link goes that leaves `docs/`.

- `reference/…`: made from the code by `scripts/reference.py`;
- `project/…`: CONTRIBUTING, CHANGELOG and SECURITY of the project's root, which stand there for those who read the repository;
- `notebooks/…`: each notebook, run from its first cell to its last by `scripts/notebook.py`; one that fails fails the build;
- a link to a file outside `docs/`, which leads on where the repository is read, leads to the page that is made of it (`MADE_OF`), or becomes
  plain text: the site does not hold that file. `tests/unit/project/test_documents.py` looks whether it exists.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

# Found by the line above: mkdocs loads this file by its path.
from notebook import told  # noqa: E402
from reference import PAGES, openapi_json  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PROJECT = ("CONTRIBUTING", "CHANGELOG", "SECURITY")
MADE_OF = {
    "README.md#settings": "reference/settings.md",
    "stream_app/cli.py": "reference/commands.md",
    "training/train.py": "reference/commands.md#train",
    "schemas": "reference/messages.md",
    "schemas/transaction.v1.json": "reference/messages.md#transactionv1",
    "stream_app/features/definitions.py": "reference/features.md",
    **{f"{name}.md": f"project/{name.lower()}.md" for name in PROJECT},
}
"""What the site has of a file of the repository, by the whole target or by its file."""
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for name, make in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=make()))
    files.append(File.generated(config, "reference/openapi.json", content=openapi_json()))
    for name in PROJECT:
        text = ROOT.joinpath(f"{name}.md").read_text(encoding="utf-8")
        files.append(File.generated(config, f"project/{name.lower()}.md", content=_moved(text)))
    for file in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        page = told(file)
        files.append(File.generated(config, f"notebooks/{file.stem}.md", content=page.markdown))
        for name, picture in page.pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - mkdocs' signature
    """Links out of the site lead to what it has of their files, or are taken away."""
    depth = page.file.src_uri.count("/")
    outside = "../" * (depth + 1)

    def link(found: re.Match[str]) -> str:
        if not found[2].startswith(outside):
            return found[0]
        target = found[2].removeprefix(outside)
        file, mark, anchor = target.partition("#")
        made = MADE_OF.get(target) or (MADE_OF[file] + mark + anchor if file in MADE_OF else "")
        return f"[{found[1]}]({'../' * depth}{made})" if made else found[1]

    return LINK.sub(link, markdown)


def _moved(text: str) -> str:
    """A page of the root, one folder down: its links into `docs/` go to the pages, others of the repository become text."""

    def link(found: re.Match[str]) -> str:
        target = found[2]
        if target.startswith("docs/"):
            return f"[{found[1]}](../{target.removeprefix('docs/')})"
        return found[0] if "://" in target or target.startswith("#") else found[1]

    return LINK.sub(link, text)
