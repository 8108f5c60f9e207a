"""What became of decisions, as labels come in: frauds caught and missed, alerts that were false. No I/O.

A *note* says of one transaction whether it was alerted, and what its newest label says; another one says of a card how many of its alerts
of this day were true, and how many false. Notes lie in the store under the day of the transaction, and are written with the partition's
cursor: a label that comes again, before or after a crash, restart or takeover, counts once, here and in the features (`before_each`).

A transaction is named by card and transaction id, as its alert is (`alert_id_of`). Notes of before bear the transaction id alone:

1. such a note is looked at where a payment has none of its own, and is taken for that of the first payment whose label asks for it;
2. what the label makes of it is written under the payment's own name, and the former note is emptied: no other card is judged by it.

So where two cards of one partition shared an id on one day, one of them may be judged by the other's note, as both were before; never both.
The hash of a day expires `KEPT_S` after it was last written; no former note is written any more, so that this reading may go when two
label horizons have passed since the last worker of before.

Who judges: a fraud label, and a genuine label of an alerted transaction, as analysts give them. An alert that no label ever names is judged
by nobody. A correction takes back what the label before had added. What leaves no note, a genuine payment that was not alerted, is among
its card's last labels (`Met.news`): a fraud label that is older and comes later changes nothing.

Rules, in force and in shadow, are judged by the same labels: a note also says which of them hit. So a payment that was not alerted has one too
where a rule hit it, as far as `MOST_RULES_NOTED` and `rule_notes.NOTED_SHARE` let it; what they keep out is counted, and judged by nobody.

What has no note was not alerted, with two exceptions, which are never counted as missed:

- *unknown*: alerts were not noted then, or the note is gone. Counted once, apart;
- *elsewhere*: the payment did not come through the partition of its label, so nobody here decided it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec

from stream_app.features.aggregations import DAY_MS, HORIZON_S
from stream_app.messages.alert import RuleMode, alert_id_of
from stream_app.messages.records import decoded
from stream_app.messages.transaction import Label

KEPT_S = HORIZON_S
"""The label horizon: notes of a day are kept for so long after the last was written."""

type Outcome = Literal["caught", "missed", "false_alarm", "elsewhere"]
OUTCOMES: tuple[Outcome, ...] = ("caught", "missed", "false_alarm", "elsewhere")

MOST_RULES_NOTED = 16
"""Of one payment, those in force first."""

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
        apart: why it is not "missed" where it was not alerted: "unknown" or "elsewhere"; "" where it is.
        live, shadow: the codes of rules that hit it, by their mode then.
    """

    alerted: bool
    minor: int
    labelled_at: int = 0
    is_fraud: bool = False
    apart: str = ""
    live: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """What the label makes of the decision; None while nothing is known, and where a genuine payment was left alone."""
        if not self.labelled_at:
            return None
        if self.alerted:
            return "caught" if self.is_fraud else "false_alarm"
        if not self.is_fraud or self.apart == "unknown":
            return None
        return "elsewhere" if self.apart == "elsewhere" else "missed"

    @property
    def entry(self) -> int:
        """The label as `Events.told` has it."""
        return 2 * self.labelled_at + self.is_fraud if self.labelled_at else 0

    def written(self) -> bytes:
        """As it is kept: where no rule hit, as it was before rules were noted."""
        return msgspec.json.encode(self if self.live or self.shadow else msgspec.structs.astuple(self)[:-2])


class CardDay(NamedTuple):
    """The alerts of a card's day by what their newest labels say."""

    true: int
    false: int

    @property
    def outcome(self) -> Outcome | None:
        """What the card counts as."""
        return "caught" if self.true > 0 else "false_alarm" if self.false > 0 else None


_NOTED, _CARD_DAY = msgspec.json.Decoder(Noted), msgspec.json.Decoder(CardDay)


@dataclass(frozen=True, slots=True)
class NotedPayment:
    """A payment that is noted: it was alerted, or a rule hit it.

    Attributes:
        labelled: whether a label of it is among its card's last ones: the label's note stands.
        live, shadow: the codes of rules that hit it, by their mode.
    """

    card_id: str
    transaction_id: str
    event_time: int
    minor: int
    labelled: bool = False
    alerted: bool = True
    live: tuple[str, ...] = ()
    shadow: tuple[str, ...] = ()

    @property
    def note(self) -> Noted:
        """Its note, before any label."""
        return Noted(self.alerted, self.minor, live=self.live, shadow=self.shadow)


class Met(NamedTuple):
    """What a label met in the state of its card.

    Attributes:
        news: whether it changed what the card's last labels and notes say; False where that was known, or newer.
        paid: whether its payment came through this partition, as far as the card's last transactions tell.
    """

    news: bool = True
    paid: bool = True


@dataclass(frozen=True, slots=True)
class OutcomeRules:
    """By what labels are judged.

    Attributes:
        unit: minor units of one major unit; a label's amount is taken to be in the base currency.
        noted_from_ms: event time from which alerts are noted.
        again: whether these labels were judged before, by an owner whose notes are lost: they are noted, and nothing is counted.
    """

    unit: int
    noted_from_ms: int = 0
    again: bool = False

    def unseen(self, label: Label, met: Met) -> Noted:
        """The note of a payment that has none."""
        late = label.labelled_at - label.event_time >= KEPT_S * 1000
        unknown = self.again or late or label.event_time < self.noted_from_ms
        return Noted(alerted=False, minor=round(label.amount * self.unit), apart="unknown" if unknown else "" if met.paid else "elsewhere")


class RuleOutcome(NamedTuple):
    """What a label makes of a rule's hit: whether it was a fraud, and whether that is added or taken back."""

    code: str
    mode: RuleMode
    is_fraud: bool
    added: bool


@dataclass(slots=True)
class LabelOutcomes:
    """What the labels of a micro-batch add and take back.

    Attributes:
        payments: by outcome, how many more, or fewer.
        minor: by outcome, their money in minor units.
        cards: by outcome, cards of a day: a card whose alert was false, or true, counts once a day; a true one makes good a false one.
        unknown: frauds of a time before alerts were noted, or of one whose notes are gone: whether they were caught cannot be told.
        hits: how many hits of rules became frauds, or genuine, more.
        hits_minor: their money in minor units.
    """

    payments: dict[tuple[Outcome, bool], int] = field(default_factory=dict)
    minor: dict[tuple[Outcome, bool], int] = field(default_factory=dict)
    cards: dict[tuple[Outcome, bool], int] = field(default_factory=dict)
    unknown: int = 0
    hits: dict[RuleOutcome, int] = field(default_factory=dict)
    hits_minor: dict[RuleOutcome, int] = field(default_factory=dict)

    def count_hits(self, note: Noted, *, added: bool) -> None:
        """The rules that hit a payment are judged by its label, or no longer by one that was corrected."""
        if note.labelled_at:
            modes: tuple[tuple[RuleMode, tuple[str, ...]], ...] = (("live", note.live), ("shadow", note.shadow))
            for key in [RuleOutcome(code, mode, note.is_fraud, added) for mode, codes in modes for code in codes]:
                self.hits[key] = self.hits.get(key, 0) + 1
                self.hits_minor[key] = self.hits_minor.get(key, 0) + max(0, note.minor)

    def count(self, outcome: Outcome | None, minor: int, *, added: bool) -> None:
        """One payment came to this outcome, or its label was corrected away from it."""
        if outcome is not None:
            key = (outcome, added)
            self.payments[key] = self.payments.get(key, 0) + 1
            self.minor[key] = self.minor.get(key, 0) + max(0, minor)

    def count_card(self, outcome: Outcome | None, *, added: bool) -> None:
        """The same of a card's day."""
        if outcome is not None:
            self.cards[outcome, added] = self.cards.get((outcome, added), 0) + 1


def keys_of(labels: Iterable[Label]) -> list[NoteKey]:
    """The notes that must be read before labels can be judged: of each transaction, also the former one, and of its card."""
    return [key for label in labels for key in (_of_transaction(label), _former(label), _of_card(label))]


def before_each(labels: Sequence[Label], known: Notes) -> list[int]:
    """Of each label's transaction the label before, as `Events.told` has it: by the notes, and by the labels before it in the batch."""
    entries: dict[NoteKey, int] = {}
    told: list[int] = []
    for label in labels:
        key = _of_transaction(label)
        if key not in entries:
            found = known.get(key) or known.get(_former(label))
            note = decoded(_NOTED, found)
            entries[key] = note.entry if note else 0
        told.append(entries[key])
        if label.labelled_at >= entries[key] >> 1:
            entries[key] = 2 * label.labelled_at + label.is_fraud
    return told


def outcomes_of(
    labels: Sequence[Label], met: Sequence[Met], known: Notes, noted: Iterable[NotedPayment], rules: OutcomeRules
) -> tuple[dict[NoteKey, bytes], LabelOutcomes]:
    """The notes to write, and what the labels changed.

    1. each alert of the batch is noted, and each payment that a rule hit, but where a label of it was before it: what that was judged to be stands;
    2. each label, in order, is held against the note of its transaction, or the former one: an older label, and one that says the same,
       changes nothing; nor does one whose note cannot be read, as where a later version wrote it: that stays as it is.

    Args:
        labels: of the batch, in order.
        met: what each of them met.
        known: the notes of `keys_of(labels)`, as far as there are any.
        noted: of the batch.
        rules: by what they are judged.
    """
    written: dict[NoteKey, bytes] = {}
    outcomes = LabelOutcomes()
    asked = {_of_transaction(label) for label in labels}
    for payment in noted:
        key = _of_transaction(payment)
        if key not in known and (key in asked or not payment.labelled):
            written[key] = payment.note.written()
    for label, has_met in zip(labels, met, strict=True):
        try:
            before = _noted(label, known, written)
        except msgspec.MsgspecError:
            continue
        if before is None and not (label.is_fraud and (has_met.news or rules.again)):
            continue
        first, before = before is None, before or rules.unseen(label, has_met)
        if label.labelled_at < before.labelled_at:
            continue
        after = msgspec.structs.replace(before, labelled_at=max(1, label.labelled_at), is_fraud=label.is_fraud)
        written[_of_transaction(label)] = after.written()
        outcomes.unknown += first and before.apart == "unknown" and not rules.again
        if (after.is_fraud, bool(before.labelled_at)) != (before.is_fraud, True):
            outcomes.count_hits(before, added=False)
            outcomes.count_hits(after, added=True)
        if after.outcome != before.outcome:
            outcomes.count(before.outcome, before.minor, added=False)
            outcomes.count(after.outcome, after.minor, added=True)
            _judge_card(label, before, after, known, written, outcomes)
    return written, LabelOutcomes() if rules.again else outcomes


def _noted(label: Label, known: Notes, written: dict[NoteKey, bytes]) -> Noted | None:
    """The note of a label's transaction; where it is a former one, that is taken.

    Raises:
        MsgspecError: a later version wrote it.
    """
    key, former = _of_transaction(label), _former(label)
    found = written.get(key) or known.get(key)
    taken = not found and (found := written.get(former, known.get(former)))
    note = _NOTED.decode(found) if found else None
    if taken:
        written[former] = _TAKEN
    return note


def _judge_card(label: Label, before: Noted, after: Noted, known: Notes, written: dict[NoteKey, bytes], outcomes: LabelOutcomes) -> None:
    """A card's day is true while one of its alerts is, false while there are only false ones."""
    if not after.alerted:
        return
    key = _of_card(label)
    if (day := _card_day(written.get(key) or known.get(key))) is None:
        return
    true, false = (sum((n.outcome == o) * s for n, s in ((before, -1), (after, 1))) for o in ("caught", "false_alarm"))
    now = CardDay(max(0, day.true + true), max(0, day.false + false))
    if now.outcome != day.outcome:
        outcomes.count_card(day.outcome, added=False)
        outcomes.count_card(now.outcome, added=True)
    written[key] = msgspec.json.encode(now)


def _card_day(found: bytes | None) -> CardDay | None:
    """From its note; before the alerts were counted it was one letter. None where a later version wrote it."""
    if not found:
        return CardDay(0, 0)
    return {b"f": CardDay(1, 0), b"g": CardDay(0, 1)}.get(found) or decoded(_CARD_DAY, found)


def _of_transaction(of: Label | NotedPayment) -> NoteKey:
    return of.event_time // DAY_MS, f"p:{alert_id_of(of.card_id, of.transaction_id)}"


def _former(label: Label) -> NoteKey:
    """Where its note was before notes named the card."""
    return label.event_time // DAY_MS, f"t:{label.transaction_id}"


def _of_card(label: Label) -> NoteKey:
    return label.event_time // DAY_MS, f"c:{label.card_id}"
