"""What labels make of decisions: each label once, the newest wins, corrections take back; a card once a day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_app.messages.alert import alert_id_of
from stream_app.messages.transaction import Label
from stream_app.scoring.outcomes import KEPT_S, LabelOutcomes, Met, NotedPayment, NoteKey, OutcomeRules, keys_of, outcomes_of
from tests.unit.delivery.world import World, payment
from tests.unit.scoring.test_scorer import DAY, HOUR, START

TRANSACTIONS = 4
NEWS = Met()


def label(transaction: int, at: int, *, is_fraud: bool) -> Label:
    """A label of transaction n of card n mod 2, given `at` ms after the start; it was 10.00."""
    return Label(f"T{transaction}", f"C{transaction % 2}", "M", START, 10.0, is_fraud, START + at)


def alerted(transaction: int) -> NotedPayment:
    """Transaction n was alerted."""
    return NotedPayment(f"C{transaction % 2}", f"T{transaction}", START, 1000)


class Desk:
    """Judges batch after batch over notes that are kept."""

    def __init__(self) -> None:
        self.notes: dict[NoteKey, bytes] = {}
        self.payments: dict[str, int] = {}
        self.cards: dict[str, int] = {}
        self.minor: dict[str, int] = {}
        self.unknown = 0

    def take(
        self, labels: list[Label], alerts: list[NotedPayment], noted_from_ms: int = 0, *, met: Met = NEWS, again: bool = False
    ) -> LabelOutcomes:
        """One micro-batch."""
        known = {key: self.notes[key] for key in keys_of(labels) if key in self.notes}
        written, outcomes = outcomes_of(labels, [met] * len(labels), known, alerts, OutcomeRules(100, noted_from_ms, again=again))
        self.notes |= written
        for net, changes in ((self.payments, outcomes.payments), (self.cards, outcomes.cards), (self.minor, outcomes.minor)):
            for (outcome, added), value in changes.items():
                net[outcome] = net.get(outcome, 0) + (value if added else -value)
        self.unknown += outcomes.unknown
        return outcomes


def test_frauds_are_caught_or_missed_and_genuine_alerts_are_false() -> None:
    """Two alerted, one of them a fraud; one fraud that was not; a genuine payment that was left alone is nothing."""
    online = Desk()
    online.take([], [alerted(0), alerted(1)])
    online.take(
        [label(0, HOUR, is_fraud=True), label(1, HOUR, is_fraud=False), label(2, HOUR, is_fraud=True), label(3, HOUR, is_fraud=False)], []
    )
    assert online.payments == {"caught": 1, "false_alarm": 1, "missed": 1}
    assert online.minor == {"caught": 1000, "false_alarm": 1000, "missed": 1000}
    assert online.cards == {"caught": 1, "false_alarm": 1}


def test_a_label_in_the_batch_of_its_own_payment_counts() -> None:
    """As where both topics are read in one go."""
    online = Desk()
    online.take([label(0, HOUR, is_fraud=True)], [alerted(0)])
    assert online.payments == {"caught": 1}


def test_a_fraud_of_a_time_before_alerts_were_noted_is_neither() -> None:
    """It may have been alerted: nobody knows."""
    online = Desk()
    online.take([label(0, HOUR, is_fraud=True)], [], noted_from_ms=START + 1)
    assert (online.payments, online.unknown) == ({}, 1)


def test_a_fraud_of_a_time_before_alerts_were_noted_is_unknown_once() -> None:
    """Repeated, corrected, corrected back: nobody knows still, and it is counted once."""
    online = Desk()
    for at, fraud in ((1, True), (1, True), (2, False), (3, True)):
        online.take([label(0, at * HOUR, is_fraud=fraud)], [], noted_from_ms=START + 1)
    assert ({o: n for o, n in online.payments.items() if n}, online.unknown) == ({}, 1)


def test_a_fraud_whose_note_may_be_gone_is_unknown() -> None:
    """Its label comes when notes of its day have had their time; a day earlier it was missed."""
    online = Desk()
    online.take([label(0, KEPT_S * 1000, is_fraud=True), label(1, KEPT_S * 1000 - DAY, is_fraud=True)], [])
    assert (online.payments, online.unknown) == ({"missed": 1}, 1)


def test_a_fraud_whose_payment_was_not_here_is_elsewhere() -> None:
    """Never missed: once, taken back and added like any other; an alert is caught, whatever its card remembers."""
    online = Desk()
    missing = Met(paid=False)
    online.take([label(0, HOUR, is_fraud=True)] * 2, [], met=missing)
    assert online.payments == {"elsewhere": 1}
    online.take([label(0, 2 * HOUR, is_fraud=False)], [], met=missing)
    assert online.payments == {"elsewhere": 0}
    online.take([label(1, HOUR, is_fraud=True)], [alerted(1)], met=missing)
    assert online.payments == {"elsewhere": 0, "caught": 1}


def test_a_fraud_label_that_is_no_news_to_its_card_changes_nothing() -> None:
    """A newer genuine label of the same payment came before it, and left no note: it was not alerted."""
    online = Desk()
    online.take([label(0, HOUR, is_fraud=True)], [], met=Met(news=False))
    assert not online.payments


def test_labels_that_were_judged_before_are_noted_and_not_counted() -> None:
    """Their notes were lost: what comes again then adds nothing, and a correction of an alert that is known still takes back."""
    online = Desk()
    labels = [label(n, HOUR, is_fraud=True) for n in (0, 1)]
    online.take(labels, [alerted(1)], again=True)
    online.take(labels, [])
    assert (online.payments, online.unknown) == ({}, 0)
    online.take([label(n, 2 * HOUR, is_fraud=False) for n in (0, 1)], [])
    assert online.payments == {"caught": -1, "false_alarm": 1}


def test_an_alert_after_its_label_leaves_what_the_label_said() -> None:
    """The label came first, to a payment that was not there; its repetition is known in whichever batch."""
    online = Desk()
    first = label(0, HOUR, is_fraud=True)
    online.take([first], [], met=Met(paid=False))
    online.take([], [replace(alerted(0), labelled=True)])
    online.take([first], [])
    assert online.payments == {"elsewhere": 1}


def net_of(*taken: LabelOutcomes) -> dict[tuple[str, str, bool], tuple[int, int]]:
    """Of each rule, mode and what a label says: payments and their money, in the end."""
    net: dict[tuple[str, str, bool], tuple[int, int]] = {}
    for outcomes in taken:
        for key, count in outcomes.hits.items():
            sign, (payments, minor) = 1 if key.added else -1, net.get(key[:3], (0, 0))
            net[key[:3]] = payments + sign * count, minor + sign * outcomes.hits_minor[key]
    return {key: value for key, value in net.items() if value != (0, 0)}


def test_rules_that_hit_are_judged_by_labels_alerted_or_not_and_a_correction_takes_back() -> None:
    """In the mode that they had then; a payment that was not alerted is missed as ever, and its genuine label is nothing but the rule's."""
    online = Desk()
    hit = replace(alerted(0), live=("large",), shadow=("new",))
    quiet = replace(alerted(1), alerted=False, shadow=("new",))
    first = online.take([], [hit, quiet])
    fraud = online.take([label(0, HOUR, is_fraud=True), label(1, HOUR, is_fraud=False)], [])
    assert net_of(first, fraud) == {
        ("large", "live", True): (1, 1000),
        ("new", "shadow", True): (1, 1000),
        ("new", "shadow", False): (1, 1000),
    }
    assert online.payments == {"caught": 1}
    same = online.take([label(0, HOUR, is_fraud=True), label(0, 2 * HOUR, is_fraud=True)], [])
    assert net_of(same) == {}
    corrected = online.take([label(0, 3 * HOUR, is_fraud=False), label(1, 3 * HOUR, is_fraud=True)], [])
    assert net_of(fraud, same, corrected) == {
        ("large", "live", False): (1, 1000),
        ("new", "shadow", False): (1, 1000),
        ("new", "shadow", True): (1, 1000),
    }
    assert online.payments == {"caught": 0, "false_alarm": 1, "missed": 1}
    assert net_of(online.take([label(0, 4 * HOUR, is_fraud=True)], [], again=True)) == {}


def test_a_note_without_rules_is_written_as_before_there_were_any() -> None:
    """A version of before reads it, and what it makes of one with rules is a note still."""
    assert alerted(0).note.written() == b'[true,1000,0,false,""]'
    assert replace(alerted(0), shadow=("new",)).note.written() == b'[true,1000,0,false,"",[],["new"]]'


def test_a_card_whose_true_alert_is_corrected_is_a_false_alarm() -> None:
    """What a correction took back is taken back of the card's day, too; notes of before had a letter for it."""
    online = Desk()
    online.take([label(0, HOUR, is_fraud=True), label(2, HOUR, is_fraud=False)], [alerted(0), alerted(2)])
    online.take([label(0, 2 * HOUR, is_fraud=False)], [])
    assert online.cards == {"caught": 0, "false_alarm": 1}
    former = Desk()
    former.notes = {(START // DAY, "c:C0"): b"g"}
    former.take([label(0, HOUR, is_fraud=True)], [alerted(0)])
    assert former.cards == {"false_alarm": -1, "caught": 1}


def test_a_card_with_a_true_alert_is_no_false_alarm() -> None:
    """First its false alert is labelled, then the true one, both of one day; a second true one adds nothing."""
    online = Desk()
    online.take([label(0, HOUR, is_fraud=False)], [alerted(n) for n in (0, 2, 4)])
    assert online.cards == {"false_alarm": 1}
    online.take([label(2, HOUR, is_fraud=True), label(4, HOUR, is_fraud=True)], [])
    assert online.cards == {"false_alarm": 0, "caught": 1}


@given(
    alerts=st.sets(st.integers(0, TRANSACTIONS - 1)),
    labels=st.lists(st.tuples(st.integers(0, TRANSACTIONS - 1), st.integers(0, 5), st.booleans()), max_size=20),
    size=st.integers(1, 5),
)
def test_in_the_end_each_transaction_is_what_its_newest_label_says(
    alerts: set[int], labels: list[tuple[int, int, bool]], size: int
) -> None:
    """Whatever is repeated, corrected, or comes late, in whichever batches. Of two labels of one time the later one in the log wins."""
    online, newest = Desk(), dict[int, tuple[int, bool]]()
    online.take([], [alerted(n) for n in alerts])
    for begin in range(0, len(labels), size):
        batch = [label(n, at * HOUR, is_fraud=fraud) for n, at, fraud in labels[begin : begin + size]]
        online.take(batch, [])
        online.take(batch[-1:], [])  # read again
    for n, at, fraud in labels:
        if at >= newest.get(n, (0, False))[0] and (n in newest or n in alerts or fraud):
            newest[n] = (at, fraud)
    expected = {"caught": 0, "missed": 0, "false_alarm": 0}
    for n, (_, fraud) in newest.items():
        if fraud or n in alerts:
            expected[("caught" if n in alerts else "missed") if fraud else "false_alarm"] += 1
    assert {"caught": 0, "missed": 0, "false_alarm": 0} | online.payments == expected
    assert {o: 1000 * n for o, n in expected.items()} == {o: online.minor.get(o, 0) for o in expected}


FORMER = msgspec.json.encode([True, 1000, 0, False])
"""A note on an alerted transaction as it was written before notes named the card, under `t:<transaction id>`."""


def of(card: str, at: int, *, is_fraud: bool) -> Label:
    """A label of the transaction T0 of any card."""
    return msgspec.structs.replace(label(0, at, is_fraud=is_fraud), card_id=card)


def test_one_transaction_id_on_several_cards_is_as_many_outcomes() -> None:
    """Caught, a false alarm, missed, and nothing: whatever the batches, each card's payment has a note of its own."""
    labels = [of("a", HOUR, is_fraud=True), of("b", HOUR, is_fraud=False), of("c", HOUR, is_fraud=True), of("d", HOUR, is_fraud=False)]
    noted = [NotedPayment(card, "T0", START, 1000) for card in "ab"]
    for batches in ([labels], [[one] for one in labels], [[one] for one in reversed(labels)]):
        online = Desk()
        online.take([], noted)
        for batch in batches:
            online.take(batch, [])
        assert online.payments == {"caught": 1, "false_alarm": 1, "missed": 1}
        assert online.cards == {"caught": 1, "false_alarm": 1}


def test_a_label_is_held_against_a_note_of_before_once_and_then_against_its_own() -> None:
    """Alerted before notes named the card: caught, told again, corrected, corrected back; a restart of before finds the former note empty."""
    online = Desk()
    former = (START // DAY, "t:T0")
    online.notes = {former: FORMER}
    caught = of("a", HOUR, is_fraud=True)
    assert online.take([caught, caught], []).payments == {("caught", True): 1}
    assert online.notes[former] == b""
    assert not online.take([caught], []).payments
    online.take([of("a", 2 * HOUR, is_fraud=False)], [])
    assert {o: n for o, n in online.payments.items() if n} == {"false_alarm": 1}
    online.take([of("a", 3 * HOUR, is_fraud=True)], [])
    assert {o: n for o, n in online.payments.items() if n} == {"caught": 1}


def test_a_note_of_before_is_that_of_one_card_alone() -> None:
    """Two cards share the id of a day: whose label comes first takes the note, the other's payment counts as one that was not alerted."""
    for batches in ([["a", "b"]], [["a"], ["b"]]):
        online = Desk()
        online.notes = {(START // DAY, "t:T0"): FORMER}
        for cards in batches:
            online.take([of(card, HOUR, is_fraud=True) for card in cards], [])
        assert online.payments == {"caught": 1, "missed": 1}


def test_a_payment_with_a_note_of_its_own_leaves_that_of_before_alone() -> None:
    """It belongs to another card, whose label is judged by it later."""
    online = Desk()
    online.notes = {(START // DAY, "t:T0"): FORMER}
    online.take([of("b", HOUR, is_fraud=False)], [NotedPayment("b", "T0", START, 500)])
    assert (online.payments, online.minor) == ({"false_alarm": 1}, {"false_alarm": 500})
    online.take([of("a", HOUR, is_fraud=True)], [])
    assert online.payments == {"false_alarm": 1, "caught": 1}


def test_a_note_that_cannot_be_read_judges_nothing_and_stays() -> None:
    """As a later version may write it, of a transaction, of before or of a card's day: the label is nobody's miss, and the worker goes on."""
    own, former, card = (START // DAY, f"p:{alert_id_of('C0', 'T0')}"), (START // DAY, "t:T0"), (START // DAY, "c:C0")
    for key in (own, former):
        online = Desk()
        online.notes = {key: b'{"outcome":"caught"}'}
        online.take([label(0, HOUR, is_fraud=True)], [])
        assert (online.payments, online.notes) == ({}, {key: b'{"outcome":"caught"}'})
    online = Desk()
    online.notes = {own: FORMER, card: b"h"}
    online.take([label(0, HOUR, is_fraud=True)], [])
    assert (online.payments, online.cards, online.notes[card]) == ({"caught": 1}, {}, b"h")


def told(transaction: str, *, is_fraud: bool) -> dict[str, Any]:
    """A label as it comes from Kafka, a day later."""
    of_transaction = {"transaction_id": transaction, "card_id": "c1", "terminal_id": "t1", "event_time": START, "amount": 300.0}
    return of_transaction | {"is_fraud": is_fraud, "labelled_at": START + DAY}


def test_notes_are_written_with_the_cursor_wherever_the_worker_is_killed() -> None:
    """Killed at every effect, and started again until all is done: the notes are those of a run that nobody disturbed."""
    payments = [payment("dear", 300.0), payment("plain", 10.0), payment("dear-2", 400.0)]
    labels = [told("dear", is_fraud=True), told("plain", is_fraud=True), told("dear-2", is_fraud=False)]

    def notes_after(kill: int | None) -> dict[NoteKey, bytes]:
        world = World()
        world.send(payments, labels)
        if kill is not None:
            world.run(kill_after=kill)
        world.run()
        return dict(world.store.kept[0].notes)

    undisturbed = notes_after(None)
    assert {name: msgspec.json.decode(note) if name[0] == "p" else note for (_, name), note in undisturbed.items()} == {
        f"p:{alert_id_of('c1', 'dear')}": [True, 30_000, START + DAY, True, ""],
        f"p:{alert_id_of('c1', 'plain')}": [False, 30_000, START + DAY, True, ""],
        f"p:{alert_id_of('c1', 'dear-2')}": [True, 40_000, START + DAY, False, ""],
        "c:c1": b"[1,1]",
    }
    for kill in range(20):
        assert notes_after(kill) == undisturbed, kill
