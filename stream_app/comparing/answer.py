"""Which of two models one would rather have had: what is wanting for an answer, whom the figures prefer, and the words for it."""

from __future__ import annotations

from typing import NamedTuple

from stream_app.comparing.known_labels import KnownLabels
from stream_app.comparing.live_comparison import AT_ONE_BUDGET, AT_OWN_THRESHOLDS, LiveComparison, LiveFigure, OneOnly, Preferred
from stream_app.comparing.live_figures import LiveCosts, live_figures
from stream_app.comparing.live_sums import SIDES, LiveSums
from stream_app.features.aggregations import DAY_MS

LEAST_DAYS, LEAST_FRAUDS = 7, 10
"""Below either no interval is worth its name."""


def comparison_of(sums: LiveSums, labels: KnownLabels, costs: LiveCosts, currency: str, delay_days: float, seed: int = 0) -> LiveComparison:
    """What the sums say.

    Args:
        sums: of both models.
        labels: those that the sums were taken with.
        costs: what alerts cost.
        currency: of all money.
        delay_days: how long a fraud takes to become known.
        seed: of the draws.
    """
    frauds = sum(day.frauds for day in sums.days.values())
    figures = live_figures(sums, costs, seed) if frauds else ()
    lacks = _lacks(sums, labels, frauds)
    preferred = "neither" if lacks else _preferred(figures)
    days, due = len(sums.days), sums.judged - sums.not_due
    own_budget = sum(day.alerts[0] for day in sums.days.values()) / max(1, days)
    budget = own_budget if costs.alerts_a_day is None else costs.alerts_a_day
    only = [OneOnly(sums.only[side].count, sums.only[side].minor / costs.unit) for side in SIDES]
    apart = dict(sums.apart) | {
        "labels of days that did not fit into memory": labels.left_out,
        "labels of fraud whose payment both did not judge in that time": labels.frauds - sums.frauds_found,
    }
    return LiveComparison(
        champion=sums.pair.champion,
        challenger=sums.pair.challenger,
        begins_ms=sums.span.begins_ms,
        ends_ms=min(sums.span.due_ms, sums.span.ends_ms),
        days=days,
        currency=currency,
        delay_days=delay_days,
        review_cost=costs.review,
        alerts_a_day=budget,
        judged=sums.judged,
        agreement=sums.agreed / max(1, sums.judged),
        only_champion=only[0],
        only_challenger=only[1],
        due=due,
        frauds=frauds,
        not_due=sums.not_due,
        labelled=sums.labelled,
        apart={why: count for why, count in apart.items() if count},
        figures=figures,
        lacks=lacks,
        preferred=preferred,
        answer=_answer(preferred, figures, lacks, _AnswerTerms(days, currency, budget)),
    )


class _AnswerTerms(NamedTuple):
    days: int
    currency: str
    alerts_a_day: float


def _lacks(sums: LiveSums, labels: KnownLabels, frauds: int) -> tuple[str, ...]:
    days, ends_ms = len(sums.days), min(sums.span.due_ms, sums.span.ends_ms)
    if not days:
        return ("no payment that both judged is old enough for its label",)
    lacks = []
    if days < LEAST_DAYS:
        lacks.append(f"{days} days have such a payment, and {LEAST_DAYS} are needed")
    if frauds < LEAST_FRAUDS:
        lacks.append(f"{frauds} of them are known to be fraud, and {LEAST_FRAUDS} are needed")
    if labels.newest_ms < ends_ms:
        short = f"was made {(ends_ms - labels.newest_ms) / DAY_MS:.1f} days before the last of them"
        lacks.append(f"the newest label {short if labels.newest_ms else 'is not there'}: later frauds would look genuine")
    return tuple(lacks)


def _preferred(figures: tuple[LiveFigure, ...]) -> Preferred:
    """Whom money prefers, at one's own threshold or at as many alerts; nobody where the two contradict each other."""
    said = {figure.surely for figure in figures if figure.name in {AT_OWN_THRESHOLDS, AT_ONE_BUDGET}} - {"neither"}
    return said.pop() if len(said) == 1 else "neither"


def _answer(preferred: Preferred, figures: tuple[LiveFigure, ...], lacks: tuple[str, ...], of: _AnswerTerms) -> str:
    if lacks:
        return f"Which one you would rather have had cannot be told: {'; '.join(lacks)}."
    own, equal = (next(figure for figure in figures if figure.name == name) for name in (AT_OWN_THRESHOLDS, AT_ONE_BUDGET))
    alerts = next(figure for figure in figures if figure.name == "alerts a day")
    told = (
        f"it would have saved {_more(own, of.currency)} a day at its own threshold, with {alerts.challenger:,.1f} alerts a day where the champion has "
        f"{alerts.champion:,.1f}; with {of.alerts_a_day:,.1f} alerts a day each {_more(equal, of.currency)} a day"
    )
    if preferred == "challenger":
        return f"You would rather have had the challenger these {of.days} days: {told}."
    if preferred == "champion":
        return f"You would rather have kept the champion these {of.days} days. Of the challenger: {told}."
    if {own.surely, equal.surely} == {"challenger", "champion"}:
        return f"It depends on the threshold which one you would rather have had these {of.days} days. Of the challenger: {told}."
    return f"These {of.days} days do not tell which one you would rather have had. Of the challenger: {told}."


def _more(figure: LiveFigure, currency: str) -> str:
    gain = figure.challenger - figure.champion
    return f"{abs(gain):,.2f} {currency} {'less' if gain < 0 else 'more'} (95 % interval {figure.low:+,.2f} to {figure.high:+,.2f})"
