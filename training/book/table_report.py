"""A table of the book as people read it, and as a file."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as Printed

from stream_app.features.profiles import HANDBOOK_PROFILE
from training.fitting.figures import Figures, mean_of
from training.fitting.team import REVIEW_COST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.book.tables import HandbookTable, Row
    from training.fitting.search import Tried


def report(table: HandbookTable, data: Path, tried: Sequence[Tried]) -> dict[str, Any]:
    """What the command writes: numbers and texts only.

    Args:
        table: what came of the run.
        data: the file it ran on; its hash says which.
        tried: what a search tried on the validation folds, the best first.
    """
    with data.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "protocol": table.protocol.name,
        "data": {"file": data.name, "sha256": digest},
        "split": [_counts(table, i) for i in range(len(table.folds))],
        "largest_difference_of_scores": table.parity,
        "rows": [_row(row) for row in table.rows],
        "search_on_validation": [{**one.recipe.described(), **asdict(one.figures)} for one in tried],
        "published_best_chosen_on_validation": asdict(table.protocol.best) if table.protocol.best else None,
    }


def _counts(table: HandbookTable, fold: int) -> dict[str, Any]:
    parts, expected = table.folds[fold], table.protocol.expected
    published = expected[fold] if fold < len(expected) else None
    return {
        name: {
            "days": part.window.dates(),
            "transactions": len(part.rows),
            "frauds": part.frauds,
            "published": dict(zip(("transactions", "frauds"), published[i], strict=True)) if published else None,
        }
        for i, (name, part) in enumerate((("train", parts.train), ("test", parts.test)))
    }


def _row(row: Row) -> dict[str, Any]:
    published = asdict(row.published) if row.published else dict.fromkeys(Figures.__slots__)
    spread = {
        name: {"least": min(values), "most": max(values)}
        for name, values in ((name, [getattr(one, name) for one in row.by_seed]) for name in Figures.__slots__)
    }
    return {
        "profile": row.profile,
        "model": row.recipe.model,
        "runtime": row.runtime,
        "chosen_on": row.chosen_on,
        **asdict(row.figures),
        **{f"published_{name}": value for name, value in published.items()},
        "parameters": row.recipe.described(),
        "figures_are": "seed 0, the book's" if row.profile == HANDBOOK_PROFILE else "mean over the seeds",
        "seeds": len(row.by_seed),
        "mean_over_seeds": asdict(mean_of(row.by_seed)),
        "spread": spread,
        "team": {name: value if math.isfinite(value) else None for name, value in asdict(row.team).items()},  # JSON knows no infinity
    }


def show(table: HandbookTable, seconds: float) -> None:
    """Print the split, the table and what was compared.

    Args:
        table: what came of the run.
        seconds: how long it took.
    """
    console = Console()
    for i, parts in enumerate(table.folds):
        train, test = parts.counts
        console.print(
            f"train {parts.train.window.dates()}: {train[0]:,} transactions, {train[1]:,} frauds; "
            f"test {parts.test.window.dates()}: {test[0]:,}, {test[1]:,}{_beside(table, i)}",
            soft_wrap=True,
            highlight=False,
        )
    console.print(_quality(table), _team(table))
    console.print(f"scikit-learn and ONNX Runtime differ by {table.parity:.1g} at most; {seconds:.0f} s", highlight=False)


def _beside(table: HandbookTable, fold: int) -> str:
    if fold >= len(table.protocol.expected):
        return ""
    return " - as published" if table.folds[fold].counts == table.protocol.expected[fold] else " - not the Handbook's own data"


def _quality(table: HandbookTable) -> Printed:
    """Ours ± half the range over the seeds, the published in brackets."""
    names = ("auc", "average_precision", "card_precision_at_100")
    printed = Printed("profile", "model", "AUC ROC", "average precision", "card prec.@100", title=table.protocol.name)
    for row in _served(table):
        printed.add_row(row.profile, row.recipe.model, *(_cell(row, name) for name in names))
    best = table.protocol.best
    if best:
        printed.add_row("handbook", "the book's choice", *(f"({getattr(best, name):.3f})" for name in names))
    printed.caption = "by ONNX Runtime; ± half the range over the seeds; (the book's)"
    return printed


def _team(table: HandbookTable) -> Printed:
    printed = Printed(
        "profile", "model", "money detected", "FP ratio by card", "alerts a day", "net saving a day", title="At the threshold"
    )
    for row in _served(table):
        team = row.team
        found = (
            f"{team.money_detected:.0%}",
            f"{team.false_positive_ratio:.1f}",
            f"{team.alerts_a_day:.0f}",
            f"{team.net_saving_a_day:,.0f}",
        )
        printed.add_row(row.profile, row.recipe.model, *found)
    printed.caption = f"1 % of the payments of the training days; {REVIEW_COST:g} a review; first seed"
    return printed


def _served(table: HandbookTable) -> list[Row]:
    return [row for row in table.rows if row.runtime == "onnx"]


def _cell(row: Row, name: str) -> str:
    values = [getattr(one, name) for one in row.by_seed]
    spread = f" ±{(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    beside = f" ({getattr(row.published, name):.3f})" if row.published else ""
    return f"{getattr(row.figures, name):.3f}{spread}{beside}"
