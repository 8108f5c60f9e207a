"""`fraudstream evaluate`: the book's tables on a history, the published figures beside ours."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Printed

from training.protocol import PROTOCOLS, Figures

if TYPE_CHECKING:
    from training.tables import Row, Table

LABEL_DELAY_DAYS = 7


def evaluate_command(
    data: Annotated[Path, typer.Option(help="Transactions with labels; the Handbook's, to compare with the book.")],
    protocol: Annotated[str, typer.Option(help="handbook-ch3 or handbook-ch5.")] = "handbook-ch3",
    out: Annotated[Path | None, typer.Option("--json", help="Also write everything here.")] = None,
    profile: Annotated[
        list[str] | None, typer.Option(help="Features: handbook (the book's 15), velocity; may be repeated. Default: both.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Kind of model; may be repeated. Default: all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the forests; figures are the mean, the spread stands beside.")] = 5,
) -> None:
    """Run a table of the Fraud Detection Handbook and compare with its published figures."""
    from dataclasses import replace  # noqa: PLC0415 - beside the imports that take seconds: not before a wrong option is told

    from training import tables  # noqa: PLC0415
    from training.backfill import backfill  # noqa: PLC0415
    from training.dataset import check_for_training, read_transactions  # noqa: PLC0415

    chosen = PROTOCOLS[_one_of(protocol, list(PROTOCOLS), "--protocol")]
    profiles = [_one_of(name, list(tables.PROFILES), "--profile") for name in profile or tables.PROFILES]
    models = [_one_of(name, list(chosen.recipes), "--model") for name in model or chosen.recipes]
    console, begun = Console(stderr=True), time.monotonic()
    with console.status("Read the transactions, compute the features …") as status:
        frame = read_transactions(data, label_delay_days=LABEL_DELAY_DAYS)
        check_for_training(frame, str(data))
        features = backfill(frame)
        kept = replace(chosen, recipes={name: chosen.recipes[name] for name in models})
        table = tables.run(frame, features, kept, profiles, seeds, lambda step: status.update(f"{step} …"))
    _show(table, time.monotonic() - begun)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report(table, data), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        console.print(f"written: {out}", soft_wrap=True)


def report(table: Table, data: Path) -> dict[str, Any]:
    """What the command writes: numbers and texts only.

    Args:
        table: what came of the run.
        data: the file it ran on; its hash says which.
    """
    with data.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "protocol": table.protocol.name,
        "data": {"file": data.name, "sha256": digest},
        "split": [_counts(table, i) for i in range(len(table.folds))],
        "largest_difference_of_scores": table.parity,
        "rows": [_row(row) for row in table.rows],
        "published_best_chosen_on_validation": asdict(table.protocol.best) if table.protocol.best else None,
    }


def _counts(table: Table, fold: int) -> dict[str, Any]:
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
        "model": row.model,
        "runtime": row.runtime,
        "chosen_on": row.chosen_on,
        **asdict(row.mean),
        **{f"published_{name}": value for name, value in published.items()},
        "seeds": len(row.by_seed),
        "spread": spread,
        "team": {name: value if math.isfinite(value) else None for name, value in asdict(row.team).items()},  # JSON knows no infinity
    }


def _show(table: Table, seconds: float) -> None:
    console = Console()
    for i, parts in enumerate(table.folds):
        train, test = parts.counts
        console.print(
            f"train {parts.train.window.dates()}: {train[0]:,} transactions, {train[1]:,} frauds; "
            f"test {parts.test.window.dates()}: {test[0]:,}, {test[1]:,}{_beside(table, i)}",
            soft_wrap=True,
            highlight=False,
        )
    console.print(_printed(table))
    console.print(f"scikit-learn and ONNX Runtime differ by {table.parity:.1g} at most; {seconds:.0f} s", highlight=False)


def _beside(table: Table, fold: int) -> str:
    if fold >= len(table.protocol.expected):
        return ""
    return " - as published" if table.folds[fold].counts == table.protocol.expected[fold] else " - not the Handbook's own data"


def _printed(table: Table) -> Printed:
    """Ours ± half the spread over the seeds, the published in brackets."""
    names = ("auc", "average_precision", "card_precision_at_100")
    printed = Printed("profile", "model", "AUC ROC", "average precision", "card prec.@100", "money", "FP ratio", title=table.protocol.name)
    for row in table.rows:
        if row.runtime == "onnx":
            told = f"{row.team.money_detected:.0%}", f"{row.team.false_positive_ratio:.1f}"
            printed.add_row(row.profile, row.model, *(_cell(row, name) for name in names), *told)
    best = table.protocol.best
    if best:
        printed.add_row("handbook", "the book's choice", *(f"({getattr(best, name):.3f})" for name in names), "", "")
    printed.caption = (
        "by ONNX Runtime; ± half the range over the seeds; (the book's); money detected and genuine cards alerted for each right one"
    )
    return printed


def _cell(row: Row, name: str) -> str:
    values = [getattr(one, name) for one in row.by_seed]
    spread = f" ±{(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    beside = f" ({getattr(row.published, name):.3f})" if row.published else ""
    return f"{getattr(row.mean, name):.3f}{spread}{beside}"


def _one_of(name: str, allowed: list[str], option: str) -> str:
    if name not in allowed:
        raise typer.BadParameter(f"{name!r} is not known. Choose one of {', '.join(allowed)}.", param_hint=option)
    return name
