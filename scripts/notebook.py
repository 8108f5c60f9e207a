"""A notebook as a page: run from its first cell to its last, and told in Markdown with what it printed, showed and drew."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from nbclient import NotebookClient

CELL_S = 300


class Told(NamedTuple):
    """A page, and its pictures by file name."""

    markdown: str
    pictures: dict[str, bytes]


def told(file: Path) -> Told:
    """Run a notebook and tell it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; it says which, with the traceback.
    """
    notebook = nbformat.read(file, as_version=4)
    NotebookClient(notebook, timeout=CELL_S, startup_timeout=CELL_S, resources={"metadata": {"path": str(file.parent)}}).execute()
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        parts.extend(_output(output, f"{file.stem}-{len(pictures)}.png", pictures) for output in cell.outputs)
    return Told("\n\n".join(filter(None, parts)) + "\n", pictures)


def _output(output: Any, name: str, pictures: dict[str, bytes]) -> str:
    """What a reader of the notebook sees below a cell; warnings and progress on stderr are left out."""
    if output.output_type == "stream":
        return f"```text\n{output.text.rstrip()}\n```" if output.name == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        pictures[name] = base64.b64decode(data["image/png"])
        return f"![What the cell above draws]({name})"
    if "text/html" in data:
        return re.sub(r"<style.*?</style>|\n\s*", "", data["text/html"], flags=re.DOTALL)
    return f"```text\n{data['text/plain']}\n```" if "text/plain" in data else ""
