"""`fraudstream compare`: which of champion and challenger one would rather have had, from the topics of scores and labels."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from stream_app.commands.coroutines import result_of
from stream_app.commands.live_traffic import MOST_DAYS, AskedComparison, live_comparison
from stream_app.commands.times import moment_ms
from stream_app.comparing.judged_payments import BothScores
from stream_app.comparing.live_comparison import LiveComparison, LiveFigure
from stream_app.comparing.live_figures import LiveCosts
from stream_app.comparing.live_sums import LargestAlerts
from stream_app.messages.iso import minor_units
from stream_app.messages.money import Money, read_rates
from stream_app.settings import load_settings

EXIT_CODES = {"challenger": 0, "champion": 3, "neither": 4}
REVIEW_COST = 5.0
"""As the gates of a promotion take it."""


def compare_command(  # noqa: PLR0913 - the command's options
    days: Annotated[int, typer.Option(min=1, max=MOST_DAYS, help="So many whole days, the newest whose labels have had their time.")] = 30,
    since: Annotated[
        str | None,
        typer.Option(help="Payments from this time on: 2026-11-20, 2026-11-20T12:00:00 (UTC), or ms; takes the place of --days."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to, not including, this time.")] = None,
    delay_days: Annotated[float, typer.Option(min=0, max=MOST_DAYS, help="How long a fraud takes to become known.")] = 7.0,
    review_cost: Annotated[float, typer.Option(min=0, help="Cost of one review, in the base currency.")] = REVIEW_COST,
    alerts_a_day: Annotated[
        float | None, typer.Option("--alerts-per-day", min=0, help="Budget that both are given. Default: what the champion alerts.")
    ] = None,
    champion: Annotated[str, typer.Option(help="Version. Default: that of the newest payment that both judged.")] = "",
    challenger: Annotated[str, typer.Option(help="Version; likewise.")] = "",
    show: Annotated[int, typer.Option(min=0, max=10_000, help="How many alerts of each that only one would raise.")] = 10,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object: what `promote --live` takes.")] = False,
) -> None:
    """Whom you would rather have had, on payments whose labels are in. Exit code 0: the challenger; 3: the champion; 4: it cannot be told."""
    settings = load_settings()
    money = Money(settings.base_currency, read_rates(settings.rates_file))
    costs = LiveCosts(money.unit, review_cost, alerts_a_day)
    span = moment_ms(since, "--since"), moment_ms(until, "--until")
    asked = AskedComparison(*span, days, delay_days, (champion, challenger), costs, show)
    found, only = result_of(live_comparison(settings, money, asked))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        for line in described(found, only):
            print(line)
    sys.exit(EXIT_CODES[found.preferred])


def described(found: LiveComparison, only: tuple[LargestAlerts, LargestAlerts]) -> Iterator[str]:
    """The comparison in lines."""
    yield f"champion {found.champion.name} {found.champion.version}, challenger {found.challenger.name} {found.challenger.version}"
    yield f"{found.judged:,} payments that both judged; they agree on {found.agreement:.2%}"
    unit = minor_units(found.currency)
    for who, of, largest in zip(("champion", "challenger"), (found.only_champion, found.only_challenger), only, strict=True):
        yield f"only the {who} would alert {of.alerts:,}, of {of.money:,.2f} {found.currency} in all"
        yield from (_alert(both, unit) for both in largest.largest())
    begins, ends = (f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M}" for ms in (found.begins_ms, found.ends_ms))
    yield (
        f"{found.due:,} payments of {found.days} day{'s' * (found.days != 1)}, {begins} to {ends} UTC, {found.frauds:,} of them fraud; "
        f"{found.not_due:,} are younger than {found.delay_days:g} days, and left out of what follows"
    )
    for why, count in found.apart.items():
        yield f"apart: {count:,} {why}"
    if found.figures:
        yield f"  {'':<38}{'champion':>12}{'challenger':>12}   95 % interval of the gain"
        yield from map(_row, found.figures)
    yield found.answer


def _alert(both: BothScores, unit: int) -> str:
    says = f"champion {both.champion.score:.1%}  challenger {both.challenger.score:.1%}"
    return f"  {both.minor / unit if both.minor >= 0 else float('nan'):>12,.2f}  {says}  card {both.card_id}  {both.transaction_id}"


def _row(figure: LiveFigure) -> str:
    return f"  {figure.name:<38}{figure.champion:>12,.3f}{figure.challenger:>12,.3f}   {figure.low:+,.3f} to {figure.high:+,.3f}"
