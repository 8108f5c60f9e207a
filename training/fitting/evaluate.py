"""How good are the scores, and from which score on is a transaction alerted?

Ranks are taken over scores rounded to 1e-5, the tolerance between runtimes, so that no figure hangs on the last bits; ties go by id.
Decisions are taken on the scores as they are, as the worker takes them: a threshold lies between two scores of the validation window
that differ after rounding, just below the upper one.

The threshold follows from what a fraud team can work through: so many alerts a day (`threshold_for`); or from what a review costs and
a missed fraud takes (`threshold_by_cost`). By default 1 % of the payments, which on the Handbook's data are the hundred a day of its card
precision@100. The stronger actions follow from precision: where nine in ten are
frauds the payment is declined, where half of the others are the customer is asked (step up), below that an analyst reviews; each of the
milder two keeps a share of the alerts, whatever the precision: a team that sees declines alone learns nothing.
Threshold and bands are chosen on the validation window only, over all its payments: known cards make alerts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS
from stream_app.features.model_metadata import Bands
from stream_app.scoring import ranking
from stream_app.scoring.ranking import CARDS_A_DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints

STEP = 10.0**-ranking.DIGITS
ALERT_SHARE = 0.01
STEP_UP_PRECISION = 0.5
DECLINE_PRECISION = 0.9
BANDS, LEAST_SHARE = 3, 0.2


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored transactions whose truth is known, as arrays of one length; made by `scored`, which rounds.

    Attributes:
        scores: probability of fraud, as the worker computes it; decisions compare it with the threshold.
        rounded: the same, rounded to 1e-5; for ranks.
        is_fraud: bool.
        times_ms: event time.
        cards: place of the card among all cards by id, as text; the lower one wins a tie. See `card_ranks`.
        amounts: money of the transaction in major units of the base currency; 0 where it is in another.
    """

    scores: Floats
    rounded: Floats
    is_fraud: NDArray[np.bool_]
    times_ms: Ints
    cards: Ints
    amounts: Floats

    @property
    def days(self) -> int:
        """How many days have a transaction; at least 1."""
        return max(1, len(np.unique(self.times_ms // DAY_MS)))


def scored(scores: Floats, is_fraud: NDArray[np.bool_], times_ms: Ints, cards: Ints, amounts: Floats) -> Scored:
    """The same, with the scores rounded beside them."""
    return Scored(scores, ranking.rounded(scores), is_fraud, times_ms, cards, amounts)


def card_ranks(card_ids: pd.Series[Any]) -> Ints:
    """Of each row, the place of its card among all cards in the order of their ids as texts: the same whatever the order of the file."""
    return ranking.places_of(card_ids.cat.categories.astype(str).tolist())[card_ids.cat.codes.to_numpy()]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Quality on one window.

    Attributes:
        average_precision: area under precision against recall, by steps.
        card_precision_100: see `card_precision`.
        auc_roc: chance that a fraud scores above a genuine payment.
        brier: mean squared difference of score and truth; lower is better.
        precision: frauds among the alerts, at the threshold; 0 without alerts.
        recall: alerts among the frauds, at the threshold.
        alerts_a_day: at the threshold.
    """

    average_precision: float
    card_precision_100: float
    auc_roc: float
    brier: float
    precision: float
    recall: float
    alerts_a_day: float


def evaluate(what: Scored, threshold: float) -> Metrics:
    """All metrics of one window."""
    alerts = what.scores >= threshold
    caught = int(np.count_nonzero(alerts & what.is_fraud))
    return Metrics(
        average_precision=float(average_precision_score(what.is_fraud, what.rounded)),
        card_precision_100=card_precision(what),
        auc_roc=float(roc_auc_score(what.is_fraud, what.rounded)),
        brier=float(brier_score_loss(what.is_fraud, what.rounded)),
        precision=caught / max(1, int(np.count_nonzero(alerts))),
        recall=caught / max(1, int(np.count_nonzero(what.is_fraud))),
        alerts_a_day=np.count_nonzero(alerts) / what.days,
    )


def card_precision(what: Scored, k: int = CARDS_A_DAY) -> float:
    """Card precision@k: the mean over the days of `card_precisions`."""
    return float(card_precisions(what, k).mean())


def card_precisions(what: Scored, k: int = CARDS_A_DAY) -> Floats:
    """Of each day, of its k cards with the highest scores, the share with a fraud that day: see `stream_app.scoring.ranking`."""
    return ranking.card_precisions(what.scores, what.is_fraud, what.times_ms, what.cards, k)


def threshold_for(what: Scored, alerts_a_day: float | None = None) -> float:
    """The lowest score from which on there are at most `alerts_a_day` alerts, in the mean over the days of the window.

    Transactions of equal score are alerted all or none. Where those of the highest score are already more than the budget, they are
    alerted nevertheless: a model that alerts nothing would go unnoticed. Never 0.

    Args:
        what: the validation window.
        alerts_a_day: the budget; None: 1 % of the window's payments.

    Raises:
        DataError: all scores are equal; whatever the threshold, it would alert everything or nothing.
    """
    budget = budget_of(what, alerts_a_day)
    levels, alerts = _alerts_from(what.rounded)
    _refuse_one_level(what, levels)
    within = levels[(alerts <= budget) & (levels > 0)]
    return _just_below(what, within[0] if len(within) else levels[-1])


def budget_of(what: Scored, alerts_a_day: float | None) -> float:
    """Alerts that the whole window may have; None: 1 % of its payments."""
    return ALERT_SHARE * len(what.scores) if alerts_a_day is None else alerts_a_day * what.days


def threshold_by_cost(what: Scored, review_cost: float) -> float:
    """The score from which on reviews pay most: the money of the frauds alerted, less `review_cost` for every alert, is largest.

    Where nothing pays, the payments of the highest score are alerted nevertheless, as in `threshold_for`; of equal sums the fewer alerts.

    Args:
        what: the validation window.
        review_cost: of one alert, in the base currency; what a missed fraud costs is its amount.

    Raises:
        DataError: all scores are equal.
    """
    levels, place = np.unique(what.rounded, return_inverse=True)
    _refuse_one_level(what, levels)
    gained = np.bincount(place, weights=what.amounts * what.is_fraud - review_cost, minlength=len(levels))
    saving = gained[::-1].cumsum()  # from the highest score down
    saving[levels[::-1] <= 0] = -np.inf
    return _just_below(what, levels[len(levels) - 1 - int(np.argmax(saving))])


def bands_for(what: Scored, threshold: float) -> Bands:
    """The stronger actions, each from the lowest score at which enough of what it stops is fraud.

    1. decline: nine in ten of the transactions from that score on;
    2. step up: half of those from that score up to decline.

    Where the alerts have three different scores or more, no two bounds fall together: review and step up keep a fifth of the alerts each,
    as far as ties allow, though more of them be frauds, and step up takes that fifth also where fewer of them are. With fewer scores
    bounds may be equal; they never lie below the threshold, nor decline below step up. A decline band always holds its precision; where
    no score does, it is empty and begins at 1.
    """
    alerts = np.sort(what.rounded[what.scores >= threshold])
    levels, below = np.unique(alerts, return_index=True)  # below: how many alerts score less
    share = LEAST_SHARE * len(alerts)
    if len(levels) < BANDS:
        decline = max(threshold, precise_from(what, DECLINE_PRECISION))
        return Bands(step_up=min(decline, max(threshold, precise_from(what, STEP_UP_PRECISION, below=decline))), decline=decline)
    least = max(2, int(np.argmax(below >= 2 * share)) or len(levels) - 1)
    decline = precise_from(what, DECLINE_PRECISION, at_least=float(levels[least]))
    inner = range(1, int(np.count_nonzero(levels < decline)))
    milder = np.count_nonzero(alerts < decline)
    lowest = next((i for i in inner if below[i] >= share), inner[0])
    highest = next((i for i in reversed(inner) if milder - below[i] >= share and i >= lowest), lowest)
    wanted = precise_from(what, STEP_UP_PRECISION, below=decline)
    step_up = min(max(wanted, _just_below(what, levels[lowest])), _just_below(what, levels[highest]))
    return Bands(step_up=step_up, decline=decline)


def precise_from(what: Scored, precision: float, below: float = 2.0, at_least: float = 0.0) -> float:
    """The lowest score, `at_least` or more, from which on, up to `below`, the transactions are frauds in that share; 1 if there is none."""
    among = what.scores < below
    levels, alerts = _alerts_from(what.rounded[among])
    frauds = np.sort(what.rounded[among & what.is_fraud])
    caught = len(frauds) - np.searchsorted(frauds, levels, side="left")
    enough = levels[(caught >= precision * alerts) & (levels > 0) & (levels >= at_least)]
    return _just_below(what, enough[0]) if len(enough) else 1.0


def _refuse_one_level(what: Scored, levels: Floats) -> None:
    if len(levels) == 1:
        raise DataError(
            f"The model gives all {len(what.scores):,} transactions of the validation window the same score, {levels[0]:.5f}: it learnt nothing. "
            "Give a longer history or one with more frauds, or lower --min-leaf."
        )


def _just_below(what: Scored, level: float) -> float:
    """A bound that exactly the scores reach whose rounded value is at least `level`.

    Half-way to the next lower score, at most half a rounding step below: another machine's last bits change no decision, and what lies
    far below the level stays below the bound.
    """
    reaches = what.rounded >= level
    lowest, next_lower = what.scores[reaches].min(), what.scores[~reaches].max(initial=0.0)
    return float(max((lowest + next_lower) / 2, lowest - STEP / 2))


def _alerts_from(scores: Floats) -> tuple[Floats, Ints]:
    """Each distinct score, ascending, and how many transactions score as much or more."""
    levels, counts = np.unique(scores, return_counts=True)
    return levels, counts[::-1].cumsum()[::-1]
