"""What became of decisions, as labels come in: frauds caught and missed, alerts that were false. No I/O.

A *note* says of one transaction that it was alerted, and what its newest label says; another one says of a card that this day held a false
alert of it, or a true one. Notes lie in the store under the day of the transaction, and are written with the partition's cursor: a label
that comes twice, before or after a crash, counts once.

A transaction is named by card and transaction id, as its alert is (`alert_id_of`). Notes of before bear the transaction id alone:

1. such a note is looked at where a payment has none of its own, and is taken for that of the first payment whose label asks for it;
2. what the label makes of it is written under the payment's own name, and the former note is emptied: no other card is judged by it.

So where two cards of one partition shared an id on one day, one of them may be judged by the other's note, as both were before; never both.
The hash of a day expires `KEPT_S` after it was last written; no former note is written any more, so that this reading may go when two
label horizons have passed since the last worker of before.

Who judges: a fraud label, and a genuine label of an alerted transaction, as analysts give them. An alert that no label ever names is judged
by nobody. A correction takes back what the label before had added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import msgspec

from stream_app.features.aggregations import HORIZON_S
from stream_app.messages.alert import alert_id_of
from stream_app.messages.transaction import Label

KEPT_S = HORIZON_S
"""The label horizon: notes of a day are kept for so long after the last was written."""
_DAY_MS = 86_400_000

type Outcome = Literal["caught", "missed", "false_alarm"]
OUTCOMES: tuple[Outcome, ...] = ("caught", "missed", "false_alarm")

type NoteKey = tuple[int, str]
"""Day of the transaction, since 1970; `p:<id of its alert>`, `c:<card id>`, or the former `t:<transaction id>`."""
type Notes = Mapping[NoteKey, bytes]
NO_NOTES: Notes = MappingProxyType({})
_TAKEN = b""
"""What stands in a former note that was taken for a payment: nothing."""


class Noted(msgspec.Struct, frozen=True, array_like=True):
    """A note on a transaction.

    Attributes:
        alerted: whether it was.
        minor: its money in minor units of the base currency, -1 where there is no rate.
        labelled_at: of its newest label, ms; 0: there is none.
        is_fraud: what that label says.
    """

    alerted: bool
    minor: int
    labelled_at: int = 0
    is_fraud: bool = False

    @property
    def outcome(self) -> Outcome | None:
        """What the label makes of the decision; None while nothing is known, and where a genuine payment was left alone."""
        if not self.labelled_at:
            return None
        if self.is_fraud:
            return "caught" if self.alerted else "missed"
        return "false_alarm" if self.alerted else None


@dataclass(frozen=True, slots=True)
class Alerted:
    """An alerted transaction."""

    card_id: str
    transaction_id: str
    event_time: int
    minor: int


@dataclass(slots=True)
class LabelOutcomes:
    """What the labels of a micro-batch add and take back.

    Attributes:
        payments: by outcome, how many more, or fewer.
        minor: by outcome, their money in minor units.
        cards: by outcome, cards of a day: a card whose alert was false, or true, counts once a day; a true one makes good a false one.
        unknown: frauds of a time before alerts were noted: whether they were caught cannot be told.
    """

    payments: dict[tuple[Outcome, bool], int] = field(default_factory=dict)
    minor: dict[tuple[Outcome, bool], int] = field(default_factory=dict)
    cards: dict[tuple[Outcome, bool], int] = field(default_factory=dict)
    unknown: int = 0

    def count(self, outcome: Outcome | None, minor: int, *, added: bool) -> None:
        """One payment came to this outcome, or its label was corrected away from it."""
        if outcome is not None:
            key = (outcome, added)
            self.payments[key] = self.payments.get(key, 0) + 1
            self.minor[key] = self.minor.get(key, 0) + max(0, minor)

    def count_card(self, outcome: Outcome, *, added: bool) -> None:
        """The same of a card's day."""
        self.cards[outcome, added] = self.cards.get((outcome, added), 0) + 1


def keys_of(labels: Iterable[Label]) -> list[NoteKey]:
    """The notes that must be read before labels can be judged: of each transaction, also the former one, and of its card."""
    return [key for label in labels for key in (_of_transaction(label), _former(label), _of_card(label))]


def outcomes_of(
    labels: Sequence[Label], known: Notes, alerts: Iterable[Alerted], *, noted_from_ms: int, unit: int
) -> tuple[dict[NoteKey, bytes], LabelOutcomes]:
    """The notes to write, and what the labels changed.

    1. each alert of the batch is noted;
    2. each label, in order, is held against the note of its transaction, or the former one: an older label, and one that says the same,
       changes nothing.

    Args:
        labels: of the batch, in order.
        known: the notes of `keys_of(labels)`, as far as there are any.
        alerts: of the batch.
        noted_from_ms: event time from which alerts are noted.
        unit: minor units of one major unit; a label's amount is taken to be in the base currency.
    """
    written: dict[NoteKey, bytes] = {}
    outcomes = LabelOutcomes()
    for alert in alerts:
        key = _of_transaction(alert)
        if key not in known:
            written[key] = msgspec.json.encode(Noted(alerted=True, minor=alert.minor))
    for label in labels:
        key = _of_transaction(label)
        found = written.get(key) or known.get(key)
        if not found and (found := written.get(_former(label), known.get(_former(label)))):
            written[key], written[_former(label)] = found, _TAKEN
        before = msgspec.json.decode(found, type=Noted) if found else None
        if before is None and not label.is_fraud:
            continue
        if before is None and label.event_time < noted_from_ms:
            outcomes.unknown += 1
            continue
        before = before or Noted(alerted=False, minor=round(label.amount * unit))
        if label.labelled_at < before.labelled_at:
            continue
        after = Noted(before.alerted, before.minor, max(1, label.labelled_at), label.is_fraud)
        written[key] = msgspec.json.encode(after)
        if after.outcome != before.outcome:
            outcomes.count(before.outcome, before.minor, added=False)
            outcomes.count(after.outcome, after.minor, added=True)
            _count_card_day(label, after, known, written, outcomes)
    return written, outcomes


def _count_card_day(label: Label, after: Noted, known: Notes, written: dict[NoteKey, bytes], outcomes: LabelOutcomes) -> None:
    """A card's day is false with its first false alert, true from its first true one on."""
    if not after.alerted:
        return
    key = _of_card(label)
    before = written.get(key) or known.get(key)
    if before == b"f" or (before == b"g" and not after.is_fraud):
        return
    if before == b"g":
        outcomes.count_card("false_alarm", added=False)
    outcomes.count_card("caught" if after.is_fraud else "false_alarm", added=True)
    written[key] = b"f" if after.is_fraud else b"g"


def _of_transaction(of: Label | Alerted) -> NoteKey:
    return of.event_time // _DAY_MS, f"p:{alert_id_of(of.card_id, of.transaction_id)}"


def _former(label: Label) -> NoteKey:
    """Where its note was before notes named the card."""
    return label.event_time // _DAY_MS, f"t:{label.transaction_id}"


def _of_card(label: Label) -> NoteKey:
    return label.event_time // _DAY_MS, f"c:{label.card_id}"
