"""`fraudstream evaluate`: the book's tables on a history, the published figures beside ours."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stream_app.features.aggregations import DAY_MS
from training.book.protocol import PROTOCOLS

if TYPE_CHECKING:
    import pandas as pd

    from training.book.protocol import Protocol
    from training.data.backfill import Backfill
    from training.fitting.search import Tried

LABEL_DELAY_DAYS = 7


def evaluate_command(  # noqa: PLR0913 - the command's options
    data: Annotated[Path, typer.Option(help="Transactions with labels; the Handbook's, to compare with the book.")],
    protocol: Annotated[str, typer.Option(help="handbook-ch3 or handbook-ch5.")] = "handbook-ch3",
    out: Annotated[Path | None, typer.Option("--json", help="Also write everything here; plots go beside it, as <stem>.*.png.")] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Features: handbook (the book's 15), velocity, payments; may be repeated. Default: handbook in chapter 3, all in 5."
        ),
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Kind of model; may be repeated. Default: all.")] = None,
    *,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Seeds of the forests, for the spread and for velocity's mean. Default: 3 in chapter 3, 5 in 5."),
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search", help="First choose the models of our own features anew on the validation folds, in place of those chosen before."
        ),
    ] = False,
    label_delay_days: Annotated[
        int, typer.Option(min=0, max=365, help="Days until a fraud is known to the features; the book's 7. Fits and folds stay the book's.")
    ] = LABEL_DELAY_DAYS,
) -> None:
    """Run a table of the Fraud Detection Handbook and compare with its published figures."""
    from training.book import tables  # noqa: PLC0415 - these imports take seconds: not before a wrong option is told
    from training.book.table_plots import draw_table  # noqa: PLC0415
    from training.book.table_report import report, show  # noqa: PLC0415
    from training.data.backfill import backfill  # noqa: PLC0415
    from training.data.dataset import check_for_training, read_transactions  # noqa: PLC0415
    from training.data.sources import shown as shown_path  # noqa: PLC0415

    chosen = PROTOCOLS[_one_of(protocol, list(PROTOCOLS), "--protocol")]
    profiles = [_one_of(name, list(tables.PROFILES), "--profile") for name in profile or chosen.profiles]
    models = [_one_of(name, list(chosen.recipes), "--model") for name in model or chosen.recipes]
    kept = chosen.only(models)
    console, begun = Console(stderr=True), time.monotonic()
    with console.status("Read the transactions, compute the features …") as status:
        frame = read_transactions(data, label_delay_days=LABEL_DELAY_DAYS)
        check_for_training(frame, shown_path(data))
        late = frame["labelled_at"] + (label_delay_days - LABEL_DELAY_DAYS) * DAY_MS
        features = backfill(frame.assign(labelled_at=late), max((tables.PROFILES[name] for name in profiles), key=len))
        kept, tried = _searched(frame, features, kept, profiles[-1], console) if search else (kept, ())
        table = tables.run(frame, features, kept, profiles, seeds or kept.seeds, lambda step: status.update(f"{step} …"))
    show(table, time.monotonic() - begun)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report(table, data, tried), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        console.print(f"written: {', '.join(map(str, (out, *draw_table(out, table))))}", soft_wrap=True)


def _searched(
    frame: pd.DataFrame, features: Backfill, protocol: Protocol, profile: str, console: Console
) -> tuple[Protocol, tuple[Tried, ...]]:
    """The protocol with the best recipe of each of its kinds for a profile's features, and all that was tried."""
    from dataclasses import replace  # noqa: PLC0415 - as above

    from training.book import tables  # noqa: PLC0415
    from training.book.protocol import parts_of  # noqa: PLC0415
    from training.fitting.search import SPACE, best_of_kind, search  # noqa: PLC0415

    folds = [parts_of(frame, fold) for fold in protocol.validation]
    recipes = [recipe for recipe in SPACE if recipe.model in protocol.chosen]
    tried = search(tables.bench_of(frame, features, profile), folds, recipes, lambda one: console.print(str(one), highlight=False))
    return replace(protocol, chosen=best_of_kind(tried)), tried


def _one_of(name: str, allowed: list[str], option: str) -> str:
    if name not in allowed:
        raise typer.BadParameter(f"{name!r} is not known. Choose one of {', '.join(allowed)}.", param_hint=option)
    return name
