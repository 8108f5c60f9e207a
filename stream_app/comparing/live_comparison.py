"""What `fraudstream compare` finds, as a message: for a person in words, as JSON for a pipeline, and for `fraudstream promote --live`."""

from __future__ import annotations

from typing import Literal

import msgspec

from stream_app.messages.alert import ModelReference

Preferred = Literal["challenger", "champion", "neither"]
AT_OWN_THRESHOLDS = "net saving a day"
AT_ONE_BUDGET = "net saving a day, at as many alerts"


class LiveFigure(msgspec.Struct, frozen=True):
    """A figure of both.

    Attributes:
        name: what it is.
        champion, challenger: of each.
        low, high: 95 % interval of what the challenger has more.
    """

    name: str
    champion: float
    challenger: float
    low: float
    high: float

    @property
    def surely(self) -> Preferred:
        """Who surely has more of it."""
        return "challenger" if self.low > 0 else "champion" if self.high < 0 else "neither"


class OneOnly(msgspec.Struct, frozen=True):
    """Alerts that only one of the two would raise, and their money."""

    alerts: int
    money: float


class LiveComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Champion against challenger, over the payments of a span of time that both judged.

    Attributes:
        begins_ms, ends_ms: event times of the payments that the figures are of, Unix ms; the end is not included.
        days: that have such a payment.
        currency: of all money.
        delay_days: how long a fraud takes to become known: younger payments are not due.
        review_cost: of an alert.
        alerts_a_day: the budget that both are given where they are compared at as many alerts.
        judged, agreement: payments that both judged, those that are not due among them; the share on which both alert, or neither does.
        only_champion, only_challenger: of them.
        due, frauds: payments that the figures are of; frauds among them.
        not_due: payments whose labels have not had their time.
        labelled: payments that a label names.
        apart: what is in none of this, by why.
        figures: each with its interval; none where a fraud is missing.
        lacks: why no answer can be given; empty: one can.
        preferred: whom one would rather have had.
        answer: the same in words.
    """

    champion: ModelReference
    challenger: ModelReference
    begins_ms: int
    ends_ms: int
    days: int
    currency: str
    delay_days: float
    review_cost: float
    alerts_a_day: float
    judged: int
    agreement: float
    only_champion: OneOnly
    only_challenger: OneOnly
    due: int
    frauds: int
    not_due: int
    labelled: int
    apart: dict[str, int]
    figures: tuple[LiveFigure, ...]
    lacks: tuple[str, ...]
    preferred: Preferred
    answer: str

    def figure(self, name: str) -> LiveFigure | None:
        """The figure of a name; None where there are none."""
        return next((figure for figure in self.figures if figure.name == name), None)
