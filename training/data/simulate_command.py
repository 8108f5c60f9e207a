"""Commands of the model's path, registered by `stream_app.cli` when asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training.data.scenarios import SCENARIOS
from training.data.simulate import Simulation, simulate, write


def simulate_command(  # noqa: PLR0913 - the command's options
    out: Annotated[Path, typer.Option(help="A .parquet; labels go to <stem>.labels.parquet.")] = Path("data/transactions.parquet"),
    customers: Annotated[int, typer.Option(min=1, help="Cards; about two payments a day each.")] = 5_000,
    terminals: Annotated[int, typer.Option(min=1, help="Terminals on the 100 x 100 grid.")] = 10_000,
    days: Annotated[int, typer.Option(min=1, help="Days from --start on.")] = 183,
    start: Annotated[str, typer.Option(help="First day (UTC).")] = "2018-04-01",
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same file.")] = 0,
    label_delay_days: Annotated[float, typer.Option(min=0, help="Frauds become known so many days later.")] = 7.0,
    clock_skew_s: Annotated[int, typer.Option(min=0, help="One terminal in 20 has a clock wrong by up to so many seconds.")] = 0,
    compromised_terminals: Annotated[
        float | None, typer.Option(min=0, help="Terminals compromised each day (0.2: one in five days); default: one in 5,000.")
    ] = None,
    compromised_customers: Annotated[
        float | None, typer.Option(min=0, help="Customers compromised each day; default: three in 5,000.")
    ] = None,
    scenarios: Annotated[
        str,
        typer.Option(
            help="Also merchants, categories, devices, and these frauds: `all`, or some of "
            + ", ".join(SCENARIOS)
            + " with commas between."
        ),
    ] = "",
) -> None:
    """Make card payments with known frauds, after the Fraud Detection Handbook; 1.77 M by default, in seconds."""
    if out.suffix != ".parquet":
        raise typer.BadParameter(f"{str(out)!r} must end in .parquet", param_hint="--out")
    begun = time.monotonic()
    try:
        simulation = Simulation(
            customers=customers,
            terminals=terminals,
            days=days,
            start=start,
            seed=seed,
            label_delay_days=label_delay_days,
            clock_skew_s=clock_skew_s,
            compromised_terminals=terminals / 5_000 if compromised_terminals is None else compromised_terminals,
            compromised_customers=customers * 3 / 5_000 if compromised_customers is None else compromised_customers,
            scenarios=tuple(SCENARIOS) if scenarios == "all" else tuple(name.strip() for name in scenarios.split(",") if name.strip()),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scenarios" if "scenario" in str(error) else "--start") from None
    frame = simulate(simulation)
    labels = write(frame, out)
    frauds = int(frame["is_fraud"].sum())
    made = f"{len(frame):,} transactions, {frauds:,} frauds ({frauds / max(1, len(frame)):.2%})"
    Console(stderr=True).print(f"{made}, in {time.monotonic() - begun:.1f} s: {out}, labels {labels}", soft_wrap=True)
