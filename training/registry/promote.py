"""`fraudstream promote` and `fraudstream rollback`: who serves, decided by gates, recorded by name."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from stream_app.errors import ModelError
from stream_app.settings import Settings, alias_of, load_settings
from training.registry.catalogue import CHALLENGER, Catalogue, user

if TYPE_CHECKING:
    from stream_app.features.definitions import Feature
    from training.registry.gates import Gate
    from training.registry.promotion import PromotionCase, Served

ModelOption = Annotated[str, typer.Option(help="Registered model; default: FRAUDSTREAM_MODEL_NAME.")]
WhoOption = Annotated[str, typer.Option(help="Who does it, for the record. Default: the user of this machine.")]


def promote_command(  # noqa: PLR0913 - the command's options
    version: Annotated[str, typer.Argument(help="Number of the version; default: the one with the alias.")] = "",
    alias: Annotated[str, typer.Option(help="Promote the version that has this alias.")] = CHALLENGER,
    model_name: ModelOption = "",
    *,
    force: Annotated[bool, typer.Option("--force", help="Promote it though gates fail; needs --why.")] = False,
    why: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    who: WhoOption = "",
    live: Annotated[
        Path | None,
        typer.Option(help="Live evidence, as `fraudstream compare --json` writes it: it must not be surely worse there either."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show gates and forecast; ends with 0 where every gate holds, with 70 where one fails."),
    ] = False,
) -> None:
    """Make a version the one that workers follow, if the gates pass: parity, mature labels, not worse than the champion."""
    if force and not why:
        raise typer.BadParameter("--force needs --why: the record is worth nothing without.", param_hint="--why")
    settings, console = load_settings(), Console()
    catalogue = Catalogue(settings.mlflow_tracking_uri, model_name or settings.model_name)
    aliases = catalogue.aliases()
    number = version or _of_alias(catalogue, aliases, alias, console)
    if not number.isdigit():
        raise typer.BadParameter(f"{version!r} is not a number. To name an alias, write --alias {version}.", param_hint="VERSION")
    serving = settings.model_alias
    if aliases.get(serving) == number:
        console.print(f"Version {number} of {catalogue.name} is the {serving} already.", highlight=False)
        return
    evidence = _live(live, number, aliases.get(serving), settings)
    with console.status("Score the held-out period …"):
        case = _examine(catalogue, number, aliases.get(serving), settings)
    case = replace(case, gates=(*case.gates, *evidence))
    _show(console, case, aliases.get(serving), serving)
    from training.registry.promotion import approved, check, promote  # noqa: PLC0415 - imported already, by `_examine`

    forced = why if force else None
    if dry_run:
        console.print("Nothing was changed: --dry-run.")
    check(catalogue, serving, case, forced)
    if dry_run:
        return
    if settings.promotion_needs_approval and not approved(catalogue, case, who or user(), why):
        asked = f"Version {number} of {catalogue.name} passes, and waits for a second person: fraudstream promote {number}"
        console.print(f"{asked}. {serving} stays where it is.", highlight=False, soft_wrap=True)
        return
    promote(catalogue, serving, case, who or user(), forced)
    console.print(f"{serving} of {catalogue.name} is version {number} now. Back: [bold]fraudstream rollback[/]", highlight=False)


def rollback_command(
    model_name: ModelOption = "",
    who: WhoOption = "",
    why: Annotated[str, typer.Option(help="Why, for the record.")] = "",
) -> None:
    """Go back to the version that was served before the present one."""
    from training.registry.promotion import roll_back  # noqa: PLC0415 - seconds of imports: not before a wrong option is told

    settings = load_settings()
    catalogue = Catalogue(settings.mlflow_tracking_uri, model_name or settings.model_name)
    left, restored = roll_back(catalogue, settings.model_alias, who or user(), why)
    Console().print(f"{settings.model_alias} of {catalogue.name} is version {restored} again, no more {left}.", highlight=False)


def _of_alias(catalogue: Catalogue, aliases: dict[str, str], word: str, console: Console) -> str:
    alias = alias_of(word)
    if alias != word:
        console.print(f"{word} of older registries is the alias {alias}.", highlight=False)
    if alias not in aliases:
        raise ModelError(
            f"No version of {catalogue.name} has the alias {alias}. Train one with `fraudstream train`, or name a version: `fraudstream promote VERSION`."
        )
    return aliases[alias]


def _examine(catalogue: Catalogue, number: str, champion: str | None, settings: Settings) -> PromotionCase:
    from training.registry.promotion import examined, served  # noqa: PLC0415 - seconds of imports: not before the version is known

    candidate = served(catalogue, number)
    against: Served | ModelError | None = None
    if champion:
        try:
            against = served(catalogue, champion)
        except ModelError as error:
            against = error
    case = examined(candidate, against, settings.base_currency)
    return replace(case, gates=(*case.gates, _full(candidate, against, settings)))


def _full(candidate: Served, champion: Served | ModelError | None, settings: Settings) -> Gate:
    """A champion that cannot be read is as none: every window of the candidate must be full."""
    from stream_app.bootstrap_state import state_kept  # noqa: PLC0415 - as above
    from training.registry.full_windows import windows_full  # noqa: PLC0415

    theirs: tuple[Feature, ...] = ()
    if champion is not None and not isinstance(champion, ModelError):
        with suppress(ModelError):  # as one of an earlier version may be
            theirs = champion.metadata.resolved()
    return windows_full(candidate.metadata.resolved(), theirs, partial(state_kept, settings), round(time.time() * 1000))


def _live(path: Path | None, number: str, champion: str | None, settings: Settings) -> tuple[Gate, ...]:
    from training.registry.live_evidence import live_gates, read_live  # noqa: PLC0415 - as above

    return () if path is None else live_gates(read_live(path, number, champion, settings.base_currency))


def _show(console: Console, case: PromotionCase, champion: str | None, serving: str) -> None:
    against = f"against version {champion}, the {serving}" if champion else f"there is no {serving} yet"
    gates = Table("gate", "", "found", title=f"Version {case.candidate}, {against}")
    for gate in case.gates:
        gates.add_row(gate.name, "[green]passed[/]" if gate.passed else "[red]failed[/]", gate.found)
    forecast = case.forecast
    console.print(
        gates,
        f"on its held-out period: {forecast.alerts_a_day:,.1f} alerts a day, precision {forecast.precision:.3f}, recall {forecast.recall:.3f}, "
        f"{forecast.money_detected:.0%} of the frauds' money found, net saving {forecast.net_saving_a_day:,.2f} a day",
        highlight=False,
        soft_wrap=True,
    )
