"""Champion against challenger over made-up payments: every figure and interval against an oracle of a few lines; what is counted, and what is told."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from stream_app.commands.compare import described
from stream_app.comparing import live_figures as figures_of
from stream_app.comparing.answer import comparison_of
from stream_app.comparing.judged_payments import JudgedScore, ModelPair, both_scores
from stream_app.comparing.known_labels import KnownLabels
from stream_app.comparing.live_comparison import AT_ONE_BUDGET, AT_OWN_THRESHOLDS, LiveComparison
from stream_app.comparing.live_figures import LiveCosts
from stream_app.comparing.live_sums import LiveSpan, LiveSums
from stream_app.comparing.seen_offsets import SeenOffsets
from stream_app.comparing.top_cards import TopCards
from stream_app.features.aggregations import DAY_MS
from stream_app.messages.alert import ModelReference
from stream_app.messages.money import Money
from stream_app.scoring.ranking import card_precisions, places_of
from tests.examples import examples
from tests.unit.comparing.made import BEGIN, COSTS, PAIR, THRESHOLD, Judged, compared, label, score, sums_of
from tests.unit.scoring.test_challenger import Ring
from tests.unit.scoring.test_scorer import payment, scores

EURO = Money("EUR")
FEW = 12
JUDGED = st.lists(
    st.builds(
        Judged,
        st.integers(0, 9),
        st.sampled_from(["a", "b", "c", "ç"]),
        st.sampled_from([0.1, 0.3, 0.5, 0.500_001, 0.9]),
        st.sampled_from([0.1, 0.3, 0.5, 0.500_001, 0.9]),
        st.sampled_from([0.0, 7.5, 100.0]),
        st.sampled_from([None, None, True, False]),
    ),
    min_size=1,
    max_size=40,
)


def by_hand(payments: list[Judged], side: int, budget: float, costs: LiveCosts, days: int) -> dict[str, float]:
    """The figures of one side over so many days, payment by payment."""
    own = [(p.champion, p.challenger)[side] for p in payments]
    fraud = [p.fraud is True for p in payments]
    alerts = [s >= THRESHOLD for s in own]
    caught = [p.amount for p, f, a in zip(payments, fraud, alerts, strict=True) if f and a]
    money = sum(p.amount for p in payments if p.fraud)
    left, top_frauds, top_money = budget, 0.0, 0.0
    for level in sorted({round(s, 5) for s in own}, reverse=True):
        tied = [p for p, s in zip(payments, own, strict=True) if round(s, 5) == level]
        share = min(1.0, left / len(tied))
        left -= share * len(tied)
        top_frauds += share * sum(p.fraud is True for p in tied)
        top_money += share * sum(p.amount for p in tied if p.fraud)
    return {
        "alerts a day": sum(alerts) / days,
        "precision": len(caught) / sum(alerts) if any(alerts) else 0.0,
        "recall": len(caught) / sum(fraud) if any(fraud) else 0.0,
        "money found": sum(caught) / money if money else 0.0,
        AT_OWN_THRESHOLDS: (sum(caught) - costs.review * sum(alerts)) / days,
        "average precision": average_precision_score(fraud, np.round(own, 5)) if any(fraud) else 0.0,
        "precision, at as many alerts": top_frauds / budget if budget else 0.0,
        "recall, at as many alerts": top_frauds / sum(fraud) if any(fraud) else 0.0,
        AT_ONE_BUDGET: (top_money - costs.review * budget) / days,
    }


def both_by_hand(payments: list[Judged], costs: LiveCosts, days: int) -> list[dict[str, float]]:
    """Of champion and challenger."""
    budget = sum(p.champion >= THRESHOLD for p in payments) if costs.alerts_a_day is None else costs.alerts_a_day * days
    return [by_hand(payments, side, budget, costs, days) for side in (0, 1)]


@examples(60)
@given(JUDGED, st.sampled_from([None, 0.0, 0.5, 100.0]))
@example([Judged(0, "a", 0.9, 0.1, fraud=True)], 0.0)
def test_every_figure_is_what_counting_payments_says(payments: list[Judged], budget: float | None) -> None:
    """Over the due days alone, ties and all; a payment without a label is genuine."""
    costs = COSTS._replace(alerts_a_day=budget)
    found = compared(payments, costs)
    due = [p for p in payments if p.day < 8]
    assert (found.judged, found.due, found.not_due) == (len(payments), len(due), len(payments) - len(due))
    assert (found.frauds, found.labelled) == (sum(p.fraud is True for p in due), sum(p.fraud is not None for p in payments))
    if not found.frauds:
        assert found.figures == ()
        return
    days = len({p.day for p in due})
    expected = both_by_hand(due, costs, days)
    told = {figure.name: (figure.champion, figure.challenger) for figure in found.figures if "card" not in figure.name}
    assert {name: pytest.approx((expected[0][name], expected[1][name])) for name in expected[0]} == told


@examples(15)
@given(JUDGED)
def test_an_interval_is_that_of_days_drawn_anew(payments: list[Judged]) -> None:
    """Each draw as a list of payments, those of a day that was drawn twice standing in it twice."""
    due = [p for p in payments if p.day < 8]
    days = sorted({p.day for p in due})
    if not any(p.fraud for p in due):
        return
    sums, _ = sums_of(payments)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures_of, "ROUNDS", FEW)
        found = {figure.name: figure for figure in figures_of.live_figures(sums, COSTS, seed=5)}
    gains: dict[str, list[float]] = {name: [] for name in found if "card" not in name}
    for draw in np.random.default_rng(5).integers(0, len(days), (FEW, len(days))):
        again = [p for place in draw for p in due if p.day == days[place]]
        champion, challenger = both_by_hand(again, COSTS, len(days))
        for name, kept in gains.items():
            kept.append(challenger[name] - champion[name])
    for name, kept in gains.items():
        assert (found[name].low, found[name].high) == pytest.approx(tuple(np.percentile(kept, (2.5, 97.5)))), name


@examples(60)
@given(JUDGED, st.integers(1, 3))
@example([Judged(0, "a", 0.9, 0, fraud=True), Judged(1, "a", 0.9, 0), Judged(1, "b", 0.5, 0, fraud=True), Judged(1, "c", 0.3, 0)], 1)
def test_card_precision_over_a_stream_is_that_of_all_payments_together(payments: list[Judged], k: int) -> None:
    """With fewer cards in memory than there are: those that cannot be among the best are let go."""
    top = TopCards(0, k)
    for p in payments:
        top.add(p.day, p.card, round(p.champion * 100_000))
    frauds = {(p.day, p.card) for p in payments if p.fraud}
    expected = card_precisions(
        np.array([p.champion for p in payments]),
        np.array([p.fraud is True for p in payments]),
        np.array([p.day * DAY_MS for p in payments], dtype=np.int64),
        places_of([p.card for p in payments]),
        k,
    )
    assert list(top.precisions(frauds).values()) == pytest.approx(expected.tolist())
    assert all(len(best) <= 2 * k * (1 + day) for day, best in top._best.items())


def town(challenger_finds: bool, days: int = 10) -> list[Judged]:  # noqa: FBT001 - which of the two
    """Each day ten genuine payments and three frauds of 100, of which the champion finds one; the challenger all, or none."""
    genuine = [Judged(day, f"g{n}", 0.2, 0.2) for day in range(days) for n in range(10)]
    frauds = [
        Judged(day, f"f{n}", 0.9 if n == 0 else 0.1, 0.9 if challenger_finds else 0.1, 100.0, fraud=True)
        for day in range(days)
        for n in range(3)
    ]
    return genuine + frauds


def test_the_answer_is_the_model_that_saves_more() -> None:
    """Surely, by the interval; two that say the same are not told apart."""
    better = compared(town(challenger_finds=True), days=10)
    assert (better.preferred, better.lacks) == ("challenger", ())
    assert better.answer == (
        "You would rather have had the challenger these 10 days: it would have saved 190.00 EUR more (95 % interval +190.00 to +190.00) a day at its own "
        "threshold, with 3.0 alerts a day where the champion has 1.0; with 1.0 alerts a day each 0.00 EUR more (95 % interval +0.00 to +0.00) a day."
    )
    worse = compared(town(challenger_finds=False), days=10)
    assert worse.preferred == "champion"
    assert worse.answer.startswith(
        "You would rather have kept the champion these 10 days. Of the challenger: it would have saved 95.00 EUR less"
    )
    same = compared([p._replace(challenger=p.champion) for p in town(challenger_finds=True)], days=10)
    assert (same.preferred, same.lacks) == ("neither", ())
    assert same.answer.startswith("These 10 days do not tell")


def test_a_model_that_ranks_better_and_alerts_too_much_is_not_preferred() -> None:
    """At its own threshold its reviews cost more than it saves; at as many alerts it saves more: both are said."""
    payments = [Judged(p.day, p.card, p.champion if p.fraud else 0.2, 0.6, p.amount, p.fraud) for p in town(challenger_finds=True)]
    payments += [Judged(day, f"x{n}", 0.55, 0.6, 1.0) for day in range(10) for n in range(80)]
    payments = [p._replace(challenger=0.95) if p.fraud else p for p in payments]
    dear = [p._replace(champion=0.95 if p.fraud and p.champion > 0.5 else p.champion) for p in payments]
    found = compared(dear, COSTS._replace(review=30.0, alerts_a_day=3.0), days=10)
    own, equal = found.figure(AT_OWN_THRESHOLDS), found.figure(AT_ONE_BUDGET)
    assert own is not None
    assert equal is not None
    assert (own.surely, equal.surely, found.preferred) == ("champion", "challenger", "neither")
    assert found.answer.startswith("It depends on the threshold")


@pytest.mark.parametrize(
    ("payments", "days", "lack"),
    [
        (town(challenger_finds=True, days=6), 10, "6 days have such a payment, and 7 are needed"),
        (
            [p for p in town(challenger_finds=True) if not p.fraud or p.card == "f0"][:-1],
            10,
            "9 of them are known to be fraud, and 10 are needed",
        ),
        ([Judged(9, "a", 0.1, 0.1)], 8, "no payment that both judged is old enough for its label"),
    ],
)
def test_too_little_gives_no_answer(payments: list[Judged], days: int, lack: str) -> None:
    """However large the difference is."""
    found = compared(payments, days=days)
    assert (found.preferred, found.lacks) == ("neither", (lack,))
    assert found.answer == f"Which one you would rather have had cannot be told: {lack}."


def test_labels_that_stopped_give_no_answer() -> None:
    """Frauds of the last days cannot be known then: they would look genuine."""
    payments = town(challenger_finds=True)
    labels = KnownLabels(BEGIN)
    for number, of in enumerate(payments):
        if of.fraud and of.day < 5:
            labels.add(label(number, of, is_fraud=True, days_later=1))
    sums = LiveSums(LiveSpan(BEGIN, BEGIN + 10 * DAY_MS, BEGIN + 20 * DAY_MS), PAIR, EURO, labels, 0)
    for number, of in enumerate(payments):
        sums.add(score(number, of))
    told = comparison_of(sums, labels, COSTS, "EUR", 7.0)
    assert told.figures
    assert told.lacks == ("the newest label was made 5.0 days before the last of them: later frauds would look genuine",)
    assert comparison_of(sums, KnownLabels(BEGIN), COSTS, "EUR", 7.0).lacks[-1] == (
        "the newest label is not there: later frauds would look genuine"
    )


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_who_said_what_does_not_depend_on_who_decided(share: float) -> None:
    """300 of 1,000 is the champion's score, of 500 the challenger's; alone, a score says nothing of both."""
    (made,) = scores(Ring(share=share).take(payment("a", 300)))
    read = msgspec.json.decode(msgspec.json.encode(made), type=JudgedScore)
    found = both_scores(read, EURO)
    assert found is not None
    assert [found.champion.score, found.challenger.score] == pytest.approx([0.3, 0.6])
    assert [found.champion.alerts, found.challenger.alerts] == [True, True]
    assert (found.minor, ModelPair.of(read)) == (30_000, ModelPair(ModelReference("fake", "7"), ModelReference("fake", "8")))
    (alone,) = scores(Ring(rival=None).take(payment("a", 300)))
    assert both_scores(msgspec.json.decode(msgspec.json.encode(alone), type=JudgedScore), EURO) is None


def sums_with(*taken: JudgedScore) -> LiveSums:
    """Sums of eight days, without a label."""
    sums = LiveSums(LiveSpan(BEGIN, BEGIN + 8 * DAY_MS, BEGIN + 7 * DAY_MS), PAIR, EURO, KnownLabels(BEGIN), 3)
    for one in taken:
        sums.add(one)
    return sums


def test_what_is_not_compared_is_counted_by_why() -> None:
    """Published twice, judged alone, by other versions; a payment without a rate is compared, and its money counts as nothing. Other times are not asked for."""
    plain = Judged(0, "a", 0.9, 0.1)
    other = ModelPair(PAIR.champion, ModelReference("fraud", "6"))
    outside = [score(5, plain._replace(day=-1)), score(6, plain._replace(day=8))]
    sums = sums_with(
        score(1, plain),
        score(1, plain),
        msgspec.structs.replace(score(2, plain), beside=None),
        score(3, plain, other),
        score(4, plain, currency="JPY"),
        *outside,
    )
    assert sums.apart == {
        "published twice": 1,
        "judged by one model alone": 1,
        "judged by another pair of versions": 1,
        "without a rate: their money counts as 0": 1,
    }
    assert (sums.judged, sums.only[0].count, sums.only[0].minor) == (2, 2, 1000)


def test_an_alert_of_a_rule_is_not_the_models() -> None:
    """Each is held to its own score and threshold, whatever was done about the payment."""
    ruled = msgspec.structs.replace(score(1, Judged(0, "a", 0.4, 0.1)), threshold=0.3)
    sums = sums_with(ruled, score(2, Judged(0, "a", 0.4, 0.5)))
    assert [only.count for only in sums.only] == [1, 1]
    assert (sums.judged, sums.agreed) == (2, 0)


def test_alerts_of_one_only_are_shown_by_amount() -> None:
    """The largest first; of one amount the first to come."""
    amounts = (5.0, 50.0, 7.0, 50.0, 6.0)
    sums = sums_with(*[score(n, Judged(0, "a", 0.1, 0.9, amount)) for n, amount in enumerate(amounts)])
    assert [both.transaction_id for both in sums.only[1].largest()] == ["t1", "t3", "t2"]
    assert (sums.only[1].count, sums.only[1].minor, sums.only[0].largest()) == (5, 11_800, [])


def test_a_label_is_of_one_cards_payment_and_the_newest_stands() -> None:
    """In whatever order they come; two cards may share a transaction's id."""
    labels, of = KnownLabels(BEGIN), Judged(0, "a", 0, 0)
    for is_fraud, days_later in ((True, 1), (False, 3), (True, 2)):
        labels.add(label(1, of, is_fraud=is_fraud, days_later=days_later))
    labels.add(label(1, of._replace(card="b"), is_fraud=True))
    assert [labels.is_fraud(score(1, of._replace(card=card))) for card in ("a", "b", "c")] == [False, True, None]
    assert (len(labels), labels.frauds, labels.newest_ms) == (2, 1, BEGIN + 1 + 3 * DAY_MS)


@examples(40)
@given(st.lists(st.tuples(st.integers(-1, 5), st.sampled_from("abc")), max_size=30), st.integers(1, 6))
def test_labels_that_do_not_fit_leave_out_the_oldest_days_whole(told: list[tuple[int, str]], most: int) -> None:
    """Of a day that is compared every label is here; what is left out is counted."""
    labels = KnownLabels(BEGIN, most)
    for number, (day, card) in enumerate(told):
        labels.add(label(number, Judged(day, card, 0, 0), is_fraud=True))
        assert len(labels) <= most
    within = [(number, day, card) for number, (day, card) in enumerate(told) if BEGIN + day * DAY_MS + number >= labels.begins_ms]
    assert all(labels.is_fraud(score(number, Judged(day, card, 0, 0))) for number, day, card in within)
    assert len(labels) == len(within)
    assert labels.begins_ms == BEGIN or labels.left_out > 0


@examples(40)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 7, 8, 2**20 - 1, 2**20, 2**40]))))
def test_a_place_in_the_log_is_met_for_the_first_time_once(places: list[tuple[int, int]]) -> None:
    """As a set says."""
    seen, met = SeenOffsets(), set[tuple[int, int]]()
    for place in places:
        assert seen.add(*place) is (place not in met)
        met.add(place)


def test_places_far_apart_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that was begun first is let go."""
    monkeypatch.setattr("stream_app.comparing.seen_offsets.MOST_CHUNKS", 2)
    seen = SeenOffsets()
    assert [seen.add(0, n * 2**20) for n in (1, 2, 3, 2, 1)] == [True, True, True, False, True]


def test_a_person_reads_what_was_compared_and_the_answer_last() -> None:
    """And a pipeline reads the same as JSON."""
    payments = [*town(challenger_finds=True), Judged(10, "late", 0.1, 0.1, fraud=True)]
    sums, labels = sums_of(payments, days=10, shown=1)
    found = comparison_of(sums, labels, COSTS, "EUR", 7.0)
    lines = list(described(found, sums.only))
    assert lines[0] == "champion fraud 3, challenger fraud 5"
    assert lines[1] == "131 payments that both judged; they agree on 84.73%"
    assert lines[3] == "only the challenger would alert 20, of 2,000.00 EUR in all"
    assert lines[4] == "        100.00  champion 10.0%  challenger 90.0%  card f1  t101"
    assert lines[5] == (
        "130 payments of 10 days, 2024-10-04 00:00 to 2024-10-14 00:00 UTC, 30 of them fraud; 1 are younger than 7 days, and left out of what follows"
    )
    assert "  recall                                       0.333       1.000   +0.667 to +0.667" in lines
    assert lines[-1] == found.answer
    assert msgspec.json.decode(msgspec.json.encode(found), type=LiveComparison) == found
