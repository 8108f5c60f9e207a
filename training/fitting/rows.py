"""What is told of a fitted model, as rows of text: the same on the terminal and in its card."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.fitting.measure import Fitted

_QUALITY = (
    ("average precision", "average_precision", ".4f"),
    ("card precision@100", "card_precision_100", ".4f"),
    ("AUC ROC", "auc_roc", ".4f"),
    ("Brier score", "brier", ".5f"),
)
_TEAM = (
    ("alerts a day", "alerts_a_day", ",.1f"),
    ("precision", "precision", ".3f"),
    ("recall", "recall", ".3f"),
    ("money of the frauds that is found", "money_detected", ".0%"),
    ("genuine cards for each right one", "false_positive_ratio", ".1f"),
    ("net saving a day", "net_saving_a_day", ",.2f"),
)


def quality_rows(fitted: Fitted) -> list[tuple[str, ...]]:
    """Name of the metric; on validation, on the test, on the test before calibration."""
    return _rows(_QUALITY, (fitted.validation, fitted.test, fitted.uncalibrated))


def team_rows(fitted: Fitted) -> list[tuple[str, ...]]:
    """What the team sees at the threshold: name; on validation (the forecast), on the test."""
    return _rows(_TEAM, (fitted.forecast, fitted.outcome))


def _rows(figures: Sequence[tuple[str, str, str]], windows: Sequence[object]) -> list[tuple[str, ...]]:
    return [(title, *(f"{getattr(window, name):{form}}" for window in windows)) for title, name, form in figures]
