"""Results of benchmarks as parts of pages: the last line of what was printed, and what stands between two marks."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
DARK, GREY = "#202124", "#9aa0a6"
"""Of texts and axes: charts are drawn on white, and read on dark pages too."""


def last_result(text: str, keys: Collection[str], command: str, *, partly: bool = False) -> dict[str, Any]:
    """What a benchmark printed last.

    Args:
        text: all that it printed.
        keys: what its result has.
        command: what was run, for the sentence of the error.
        partly: whether a run of which a step failed is taken too.

    Raises:
        ValueError: the run failed, or a step of it.
    """
    try:
        result = json.loads(text.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        result = None
    if not isinstance(result, dict) or not {*keys} <= set(result):
        raise ValueError(f"the last line is not {command}'s. Did the run fail? Look at the lines before.")
    if not partly:
        refuse_failed(result, command)
    return result


def refuse_failed(result: Mapping[str, Any], command: str) -> None:
    """Raise ValueError where a step of a run failed."""
    if failed := result.get("failed"):
        raise ValueError(f"{command} did not measure {', '.join(failed)}. Look at the lines before, and measure these again.")


def between(page: str, begin: str, end: str, content: str) -> str:
    """The page with what stands between two marks made anew.

    Raises:
        ValueError: the page has no marks.
    """
    before, found, rest = page.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the page lacks {begin} or {end}. Put both back.")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def svg_style(salt: str) -> Any:
    """In its context the same figure is the same SVG, with text as text; fonts are the reader's."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that they are missing here is no news
    return mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none", "font.family": ["Helvetica", "Arial", "sans-serif"]})


def svg_of(figure: Figure) -> str:
    """The figure as SVG, without a date."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in drawn.getvalue().splitlines()) + "\n"
