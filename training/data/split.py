"""Split a history by time, as training would have happened: a model never learns from what was not known yet.

    |-- warm-up --|-- train --|-- gap --|-- validation --|-- gap --|-- test --|   (end of the data)

The gaps are the time that frauds take to become known. Windows are whole UTC days. A fraud counts as one in the train window if it was
labelled before the validation window begins, in the validation window if before the test begins: the threshold too is chosen from what
was known. The warm-up fills the features' windows (30 days and the delay of 7); a short history gives part of it up before training days.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from stream_app.errors import DataError
from stream_app.features.aggregations import DAY_MS, HORIZON_S

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from stream_app.features.plan import Ints

    type Mask = NDArray[np.bool_]

HOUR_MS = 3_600_000
WARM_UP_DAYS = HORIZON_S // 86_400 - 1
LEAST_TRAIN_DAYS = 7
KNOWN_DAYS = 14
"""How far before the test a known fraud takes its card out: the book's 7 days of training and 7 of delay, however long we train."""


@dataclass(frozen=True, slots=True)
class Window:
    """The days of a window: from `start_ms` on, before `end_ms`, both full hours."""

    name: str
    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        return f"{self.name} window {self.dates()}"

    def dates(self) -> str:
        """First and last day, with the hours where it does not begin and end with one."""
        if self.start_ms % DAY_MS or self.end_ms % DAY_MS:
            return f"{_hour(self.start_ms)} to {_hour(self.end_ms)}"
        return f"{_date(self.start_ms)} to {_date(self.end_ms - 1)}"

    def earlier(self, by_ms: int) -> Window:
        """The window as long, so much before."""
        return Window(self.name, self.start_ms - by_ms, self.end_ms - by_ms)

    def holds(self, times_ms: Ints) -> Mask:
        """Which of the times are within."""
        return (times_ms >= self.start_ms) & (times_ms < self.end_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How to split.

    Attributes:
        train_days: at most so many; a short history has fewer, at least 7.
        gap_days: how long frauds take to become known.
        validation_days, test_days: lengths of those windows. All four may be parts of a day, to the hour.
        until: last day of the test, YYYY-MM-DD; empty: the last day of the data. Put it back where its frauds are not all known yet.
    """

    train_days: float = 28
    gap_days: float = 7
    validation_days: float = 7
    test_days: float = 7
    until: str = ""

    def windows(self, first_ms: int, last_ms: int) -> Windows:
        """The windows of a history.

        1. the test ends with the day of its last transaction, or with `until`; the others stand before it, each with its gap;
        2. of what is left, the first 37 days are warm-up, the rest is trained on, at most `train_days`;
        3. where fewer than 7 days would be trained on, the warm-up is cut to leave 7.

        Args:
            first_ms: time of the first transaction.
            last_ms: time of the last one.

        Raises:
            DataError: the history is too short, with what it has, what it needs, and the remedy.
        """
        start = first_ms // DAY_MS
        end = (_day_of(self.until) if self.until else last_ms // DAY_MS) + 1
        test = end - self.test_days
        validation = test - self.gap_days - self.validation_days
        train_end = validation - self.gap_days
        train_days = min(self.train_days, max(train_end - start - WARM_UP_DAYS, LEAST_TRAIN_DAYS))
        if train_end - train_days < start:
            needed = f"{end - train_end + min(LEAST_TRAIN_DAYS, self.train_days):g}"
            has = f"{_date(first_ms)} to {_date((end - 1) * DAY_MS)}, {max(0, end - start)} days"
            raise DataError(
                f"The history is too short ({has}); training, validation, test and their gaps need {needed}, better {WARM_UP_DAYS} more. "
                "Give a longer one, or less of --gap-days, --validation-days, --test-days."
            )
        return Windows(
            _window("train", train_end - train_days, train_end),
            _window("validation", validation, validation + self.validation_days),
            _window("test", test, end),
            warm_up_days=round(train_end - train_days - start),
        )


@dataclass(frozen=True, slots=True)
class Windows:
    """The three windows, and the days of history before the first."""

    train: Window
    validation: Window
    test: Window
    warm_up_days: int


@dataclass(frozen=True, slots=True)
class Part:
    """The transactions of a window.

    Attributes:
        window: its days.
        rows: rows of the frame, in its order.
        is_fraud: bool, what may be known of each.
    """

    window: Window
    rows: Ints
    is_fraud: Mask

    @property
    def frauds(self) -> int:
        """How many frauds."""
        return int(np.count_nonzero(self.is_fraud))


@dataclass(frozen=True, slots=True)
class Parts:
    """The transactions to fit on, to choose the threshold on, and to report on."""

    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True, slots=True)
class FoldParts:
    """The transactions of a fold: to fit on, and to test on."""

    train: Part
    test: Part

    @property
    def counts(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Transactions and frauds of the training, and of the test."""
        return (len(self.train.rows), self.train.frauds), (len(self.test.rows), self.test.frauds)


def split(frame: pd.DataFrame, windows: Windows, scored: Mask | None = None) -> Parts:
    """The transactions of each window.

    In the test, on each day the cards are left out whose fraud was known as the day began, as in the book's protocol: the bank has
    blocked them. See `known_cards`.

    Args:
        frame: transactions with labels.
        windows: from `Split.windows`.
        scored: which transactions get a score at all (`Backfill.scored`); None: all.

    Raises:
        DataError: a window has no frauds, or nothing else, naming it and the remedy.
    """
    out = known_cards(frame, windows.test)
    parts = (
        _part(frame, windows.train, windows.validation.start_ms, scored),
        _part(frame, windows.validation, windows.test.start_ms, scored),
        _part(frame, windows.test, None, ~out if scored is None else scored & ~out),
    )
    return Parts(*map(_with_both_classes, parts))


def prequential(frame: pd.DataFrame, windows: Windows, folds: int, scored: Mask | None = None) -> tuple[FoldParts, ...]:
    """Validation folds to choose a model on: the train and validation windows, and those each a validation window earlier.

    Tested like the test is: cards whose fraud was known are left out. A fold is left out where the history does not reach back to its
    training days, or one of its parts has no frauds, or nothing else.

    Args:
        frame: transactions with labels.
        windows: from `Split.windows`.
        folds: at most so many.
        scored: as for `split`.
    """
    first, step = int(frame["event_time"].iloc[0]), windows.validation.end_ms - windows.validation.start_ms
    found = []
    for back in range(0, folds * step, step):
        train, validation = windows.train.earlier(back), windows.validation.earlier(back)
        out = known_cards(frame, validation)
        parts = FoldParts(
            _part(frame, train, validation.start_ms, scored),
            _part(frame, validation, windows.test.start_ms, ~out if scored is None else scored & ~out),
        )
        if train.start_ms >= first // DAY_MS * DAY_MS and all(0 < frauds < rows for rows, frauds in parts.counts):
            found.append(parts)
    return tuple(found)


def _part(frame: pd.DataFrame, window: Window, known_by_ms: int | None, usable: Mask | None) -> Part:
    """The usable transactions of a window, and what was known of them by then; None: all, and everything."""
    within = window.holds(frame["event_time"].to_numpy())
    rows = np.flatnonzero(within if usable is None else within & usable)
    is_fraud = frame["is_fraud"].to_numpy()[rows]
    if known_by_ms is not None:
        is_fraud &= frame["labelled_at"].iloc[rows].to_numpy(dtype=np.int64, na_value=np.iinfo(np.int64).max) < known_by_ms
    return Part(window, rows, is_fraud)


def known_cards(frame: pd.DataFrame, test: Window) -> Mask:
    """Transactions of the test on cards whose fraud was known as their day began.

    Frauds from `KNOWN_DAYS` before the test on count, so that the test is the same however long the training window is.
    """
    times = frame["event_time"].to_numpy()
    cards = frame["card_id"].cat.codes.to_numpy()
    labelled_at = frame["labelled_at"].to_numpy(dtype=np.int64, na_value=np.iinfo(np.int64).max)
    frauds = frame["is_fraud"].to_numpy() & (times >= test.start_ms - KNOWN_DAYS * DAY_MS)
    known_from = np.full(len(frame["card_id"].cat.categories), np.iinfo(np.int64).max)
    np.minimum.at(known_from, cards[frauds], labelled_at[frauds])
    return test.holds(times) & (known_from[cards] <= times // DAY_MS * DAY_MS)


def _with_both_classes(part: Part) -> Part:
    if 0 < part.frauds < len(part.rows):
        return part
    if not len(part.rows):
        raise DataError(f"The {part.window} has no transactions. Give a history without a hole there, or end it earlier with --until.")
    what = "no known frauds" if not part.frauds else "nothing but frauds"
    raise DataError(
        f"The {part.window} has {what} ({len(part.rows)} transactions). Give a longer history or one with more frauds, widen the window "
        f"with --{part.window.name}-days, or, if frauds become known later than --gap-days, raise that."
    )


def _window(name: str, first: float, end: float) -> Window:
    """From day to day, rounded to the hour."""
    return Window(name, round(first * 24) * HOUR_MS, round(end * 24) * HOUR_MS)


def _hour(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:00")


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date().isoformat()


def _day_of(text: str) -> int:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise DataError(f"--until {text!r} is not a date. Write it as 2018-09-30.") from None
    return int(day.timestamp()) // 86_400
