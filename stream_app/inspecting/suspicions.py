"""What no rule refuses and yet looks wrong, over all rows of a source: each in a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator

from stream_app.inspecting.columns import Form, SourceColumn, date_formats
from stream_app.inspecting.guesses import OURS
from stream_app.inspecting.inspection import Inspection
from stream_app.messages.fields import FieldKind

_FEW = 20
_MOST_FRAUD, _LEAST_FRAUD = 0.05, 0.000_01
_ALL_BUT_A_FEW = 0.99
_EXACT_DIGITS = 15
_MCC_DIGITS = 4
_HOUR_MS = 3_600_000
_UNITS = {"s": "seconds", "us": "microseconds", "ns": "nanoseconds"}


def suspicions(of: Inspection, now_ms: int) -> list[str]:
    """What looks wrong, of a few rows nothing."""
    return [*_of_times(of, now_ms), *_of_money(of), *_of_ids(of), *_of_labels(of), *_of_values(of)]


def _column(of: Inspection, ours: str) -> SourceColumn | None:
    guess = of.mapping.columns.get(ours)
    return of.columns.get(guess.theirs) if guess else None


def _of_times(of: Inspection, now_ms: int) -> Iterator[str]:
    column, guess = _column(of, "event_time"), of.mapping.columns.get("event_time")
    if column is None or guess is None:
        return
    if guess.unit in _UNITS and not of.mapping.is_said:
        yield f"{column.name!r} is in {_UNITS[guess.unit]}: a record's event_time is in milliseconds; the mapping below says the unit."
    if column.formats is not None and len(column.formats) != 1 and not guess.written:
        yield _of_dates(column)
    if not of.mapping.zone and (column.forms[Form.ZONELESS] or (guess.written and "%z" not in guess.written)):
        yield f"{column.name!r} has times without a zone: they are taken for UTC. Where they are local, each is hours off, and night is not night."
    if column.forms[Form.DATE] or (of.rows > _FEW and of.midnights == of.rows):
        yield f"{column.name!r} has dates without a time of day: windows of an hour, the order of a day and the night tell nothing then."
    if of.last_ms > now_ms + _HOUR_MS:
        yield "There are payments of the future: a worker refuses those. Look at the unit, and at day and month."
    if of.is_file and of.disordered:
        yield f"{of.disordered:,} rows are earlier than the row before: training wants a file in order of time. Sort it by {column.name!r}."


def _of_dates(column: SourceColumn) -> str:
    """Of dates in digits that can be read in two ways, or in none throughout."""
    example = next(text for text in column.values if date_formats(text))
    if not column.formats:
        return f"{column.name!r} has dates that are not written alike, as {example!r}: some have the day first and some the month, or another form. Mend them."
    day, month = sorted(column.formats, key=lambda text: not text.startswith("%d"))
    return (
        f"{column.name!r} can be read with the day first or with the month first, as {example!r}, and nobody guesses: both hold for every row. Write in the "
        f'mapping which it is: format: "{day}" or format: "{month}", and the zone.'
    )


def _of_money(of: Inspection) -> Iterator[str]:
    column = _column(of, "amount")
    if column is not None and not of.mapping.in_minor and of.money > _FEW and of.whole == of.money and column.most >= 100:  # noqa: PLR2004 - a euro in cents
        yield (
            f"Every amount in {column.name!r} is a whole number: are these minor units (cents)? Amounts are in major units, as 12.5; a mapping says "
            f"`{{path: {column.name}, unit: minor}}`."
        )
    if column is not None and column.least < 0:
        yield f"{column.name!r} goes down to {column.least:g}: amounts have no sign. A refund has type 'refund', and its amount is positive."


def _of_ids(of: Inspection) -> Iterator[str]:
    for ours in ("card_id", "transaction_id", "terminal_id"):
        column = _column(of, ours)
        if column is None or column.filled < _FEW:
            continue
        if column.card_numbers > column.filled / 2:
            yield f"{column.name!r} holds card numbers. Send tokens; in a file the mapping makes them: `tokens: [{ours}]`."
        digits = [text for text in column.values if text.isdecimal() and len(text) > _EXACT_DIGITS]
        merged = len(digits) > _FEW and all(text.endswith("0") for text in digits)
        if column.forms[Form.POWER] or merged:
            yield f"{column.name!r} went through a spreadsheet, which keeps {_EXACT_DIGITS} digits: ids that differed beyond are one now. Export it as text."
        if column.form is Form.NUMBER:
            yield f"{column.name!r} holds numbers with a fraction where ids must be: they may have lost digits. Export it as text."
    mcc = _column(of, "mcc")
    if mcc is not None and any(text.isdecimal() and len(text) < _MCC_DIGITS for text in mcc.values):
        yield f"{mcc.name!r} has codes of less than four digits: a spreadsheet took leading zeros away. The mapping's table of values has them again."
    if of.duplicates:
        yield f"{of.duplicates:,} payments stand twice (card and transaction id are the same): training refuses that, a worker counts each once."


def _of_labels(of: Inspection) -> Iterator[str]:
    if of.labelled < _FEW:
        return
    rate = of.frauds / of.labelled
    if rate > _MOST_FRAUD:
        yield f"{rate:.1%} of the payments are fraud; a card portfolio has 0.01% to 1%. Is it a sample, or another column? Thresholds and money follow the rate."
    elif rate < _LEAST_FRAUD:
        yield "No payment is a fraud: training needs both. Are labels in a file of their own?"


def _of_values(of: Inspection) -> Iterator[str]:
    for ours, guess in of.mapping.columns.items():
        column, kind = of.columns.get(guess.theirs), OURS[ours].kind if ours in OURS else FieldKind.NUMBER
        if column is None or column.filled <= _FEW or ours == "is_fraud":
            continue
        if len(column.values) == 1 and not column.many and ours in {"event_time", "card_id", "terminal_id", "transaction_id", "amount"}:
            yield f"{column.name!r} has one value throughout: as {ours} it tells nothing."
        elif (
            kind is not FieldKind.CODE
            and (ours in {"card_id", "terminal_id"})
            and len(column.values) > _ALL_BUT_A_FEW * column.filled > _FEW
        ):
            yield f"Nearly every row has a {ours} of its own in {column.name!r}: windows over it hold one payment. Is it another column?"
