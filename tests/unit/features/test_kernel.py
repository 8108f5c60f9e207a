"""The kernel against brute force: lists of payments, scanned anew for every feature, must give what the rings give.

A window's timeline, w = 1 h in tiles of 5 min; `now` is the payment, `|` a tile's edge, `=` what the window holds:

    t-1h                                                    t
     :    |    |    |    |    |    |    |    |    |    |    |  :
          [================================================= now]
      cut off: up to one hop                                    exact

A delayed window, w = 7 d in tiles of 6 h, its head cut at the last full hour before t-7d:

    t-14d                                         t-7d                     t
      :  |      |      |  …   |      |      | | | | :                      :
      [==tiles of 6 h=======================][hours]                      now
      up to one hop too long                 exact to the hour
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_app.features import aggregations, kernel
from stream_app.features.aggregations import FIRST_OF_ROW, FIRST_OF_TILES
from stream_app.features.compute import Computed, Events, Rows, compute
from stream_app.features.definitions import CATALOGUE, Feature
from stream_app.features.entities import ENTITIES
from stream_app.features.facts import facts_of, hashes
from stream_app.features.plan import LAST, NEWEST, EntityPlan, Ints, Plan, catalogue_plan, compile_plan
from tests.examples import examples

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
START = 1_522_540_800_000  # 2018-04-01T00:00Z, a Sunday: a tile's edge for every hop
HOPS = {HOUR: 5 * MINUTE, DAY: HOUR, 2 * DAY: DAY, 7 * DAY: 6 * HOUR, 30 * DAY: DAY, 38 * DAY: 19 * DAY}
RINGS = {
    "card": {5 * MINUTE: 12, HOUR: 24, 6 * HOUR: 28, DAY: 39},  # 7 days of delay, one tile more, and one to spare
    "terminal": {5 * MINUTE: 12, HOUR: 194, 6 * HOUR: 58, DAY: 39},
    "device": {5 * MINUTE: 12, HOUR: 24, 6 * HOUR: 28, DAY: 30},
}
SET_HOP = 19 * DAY
RECENT, LABELS, DECLINES = 32, 32, 8
CLIP = 10_000_000
HORIZON_S = 38 * 86_400
UNIT = 100
NAMES = [f.name for f in CATALOGUE]
PAYMENT, DECLINED, CREDIT, GENUINE, FRAUD = kernel.PAYMENT, kernel.DECLINED, kernel.CREDIT, kernel.LABEL_GENUINE, kernel.LABEL_FRAUD


class Event(NamedTuple):
    """One payment or label."""

    kind: int
    time: int
    id: int
    minor: int = 1000
    card: int = 0
    terminal: int = 0
    labelled: int = 0
    device: int = -1
    country: int = 0
    online: bool = False
    place: tuple[float, float] | None = None
    mcc: int = 0
    channel: int = 0


# --- The oracle -------------------------------------------------------------------------------------------------------------------


@dataclass
class Entity:
    """Everything that was counted for a card, a terminal or a device, in lists."""

    kind: str
    newest: int = 0
    payments: list[Event] = field(default_factory=list)
    declined: list[Event] = field(default_factory=list)
    credits: list[Event] = field(default_factory=list)
    frauds: list[tuple[Event, int]] = field(default_factory=list)

    def within[T](self, what: Iterable[T], now: int, window: int, delay: int, time: Callable[[T], int]) -> list[T]:
        """What stands in the tiles of a window."""
        hop = HOPS[window]
        newest, rings = self.newest, RINGS[self.kind]
        if not delay:
            first = max((now - window) // hop, newest // hop - window // hop)
            return [x for x in what if first < time(x) // hop <= now // hop]
        low, head = (now - delay - window) // hop * hop, (now - delay) // HOUR * HOUR
        coarse = head // hop * hop
        runs = ((low, coarse, hop), (coarse, head, HOUR))
        return [x for x in what for a, b, h in runs if a <= time(x) < b and time(x) // h > newest // h - rings[h]]

    def of_window(self, feature: Feature, event: Event) -> list[Event]:
        """The payments that a feature of a payment is of."""
        return self.within(self.payments, event.time, feature.window_s * 1000, feature.delay_s * 1000, lambda e: e.time)


def named(field: str, event: Event) -> int:
    """What a payment says of a field, 0 where nothing."""
    hour = 1 + event.time // HOUR % 24
    return {"terminal_id": event.terminal + 1, "country": event.country, "device_id": event.device + 1, "mcc": event.mcc, "hour": hour}[
        field
    ]


def kept(entity: Entity, time: int) -> bool:
    """Whether any tile of this time is still there: of a sum, or of a card's sets."""
    rings = RINGS[entity.kind] | ({SET_HOP: 2} if entity.kind == "card" else {})
    return any(time // hop > entity.newest // hop - tiles for hop, tiles in rings.items())


def of_window(feature: Feature, entity: Entity, event: Event, counted: int) -> float:  # noqa: PLR0911, C901 - one for each aggregation
    """A feature of a payment over a window, from the lists as they are before it is counted."""

    def those(what: list[Event]) -> list[Event]:
        return entity.within(what, event.time, feature.window_s * 1000, feature.delay_s * 1000, lambda e: e.time)

    there, minor = entity.of_window(feature, event), event.minor
    known, amount = [e.minor for e in there if e.minor >= 0], max(minor, 0)
    count, total = len(there), sum(known)
    mean = Fraction(total, count) if count else Fraction(0)
    match feature.aggregation:
        case "count":
            return count + (0 if feature.delay_s else counted)
        case "prior_count":
            return count
        case "declines":
            return len(those(entity.declined))
        case "refunds":
            return len(those(entity.credits))
        case "online_share":
            return sum(e.online for e in there) / count if count else 0.0
        case "amount_to_largest":
            return amount / max(known) if any(known) and minor >= 0 else 1.0
        case "prior_mean_amount":
            return float(mean / UNIT)
        case "mean_amount":
            return (total + counted * amount) / (UNIT * (count + counted)) if count + counted else 0.0
        case "amount_ratio":
            return amount * count / total if total and minor >= 0 else 1.0
        case "amount_zscore":
            variance = Fraction(sum(min(m, CLIP) ** 2 for m in known), count) - mean**2 if count > 1 else Fraction(0)
            return float(min(amount, CLIP) - mean) / float(variance) ** 0.5 if variance >= 1 and minor >= 0 else 0.0
        case "risk":
            frauds = entity.within(entity.frauds, event.time, feature.window_s * 1000, feature.delay_s * 1000, lambda f: f[0].time)
            return min(1.0, sum(change for _, change in frauds) / count) if count else 0.0
    raise NotImplementedError(f"The oracle has no {feature.aggregation!r} yet. Write it down here by brute force.")


def of_episode(feature: Feature, entity: Entity, event: Event) -> float:
    """A feature of the days from 37 before to 8 before the payment's, from the lists as they are before it is counted."""
    today, newest = event.time // DAY, entity.newest // DAY
    days = range(max(today - 37, newest - 38), min(today - 8, newest) + 1)
    paid = [e.time // DAY for e in entity.payments]
    known = [sum(change for label, change in entity.frauds if label.time // DAY == day) for day in days]
    of_fraud = [day for day, frauds in zip(days, known, strict=True) if frauds > 0]
    begin = next(
        (d for d, before in zip(of_fraud[::-1], of_fraud[-2::-1], strict=False) if d - before > 10), of_fraud[0] if of_fraud else 0
    )
    match feature.aggregation:
        case "days_since_fraud":
            return today - of_fraud[-1] if of_fraud else 38
        case "days_since_episode":
            return today - begin if of_fraud else 38
        case "genuine_since_fraud":
            return sum(day in days and (not of_fraud or day > of_fraud[-1]) for day in paid)
        case "episode_risk":
            there = sum(day in days and day >= begin for day in paid)
            frauds = sum(n for day, n in zip(days, known, strict=True) if day >= begin)
            return min(1.0, frauds / there) if of_fraud and there else 0.0
    raise NotImplementedError(f"The oracle has no {feature.aggregation!r} yet. Write it down here by brute force.")


def kilometres(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Along the great circle: the angle between the two places as directions from the centre."""
    (north, east), (other_north, other_east) = (map(math.radians, place) for place in (a, b))
    one, other = (
        (math.cos(n) * math.cos(e), math.cos(n) * math.sin(e), math.sin(n)) for n, e in ((north, east), (other_north, other_east))
    )
    return 6371.0 * 2 * math.asin(min(1.0, math.dist(one, other) / 2))


def of_card(feature: Feature, card: Entity, event: Event) -> float:  # noqa: PLR0911 - one for each aggregation
    """A feature that is no sum, from the lists as they are before the payment is counted."""
    last = max((e.time for e in card.payments), default=0)
    match feature.aggregation:
        case "seconds_since_last":
            return min(max(event.time - last, 0) / 1000, HORIZON_S) if last else HORIZON_S
        case "declines_in_a_row":
            newest = sorted((e.time for e in card.declined if e.time > last), reverse=True)[:DECLINES]
            return sum(event.time - HORIZON_S * 1000 < t <= event.time for t in newest)
        case "first_time":
            value = named(feature.field, event)
            return float(value != 0 and value not in {named(feature.field, e) for e in card.of_window(feature, event)})
        case "distinct":
            return len({named(feature.field, e) for e in card.of_window(feature, event)} - {0})
        case "cards":
            return len({e.card for e in card.of_window(feature, event)})
        case "same_amount":
            return float(event.minor >= 0 and event.minor in {e.minor for e in card.of_window(feature, event)})
        case "other":
            head = max(event.time, card.newest) // SET_HOP
            last_ = max(((e.time, e.country) for e in card.payments if e.country and e.time // SET_HOP > head - 2), default=(0, 0))[1]
            return float(0 not in {last_, event.country} and last_ != event.country)
        case "distance_km" | "speed_kmh":
            return travelled(feature, card, event)
    raise NotImplementedError(f"The oracle has no {feature.aggregation!r} yet. Write it down here by brute force.")


def travelled(feature: Feature, card: Entity, event: Event) -> float:
    """From the card's last place, as far as there is one, to the payment's."""
    placed = max((e for e in enumerate(card.payments) if e[1].place), key=lambda e: (e[1].time, e[0]), default=None)
    if placed is None or event.place is None or placed[1].place is None or abs(event.time - placed[1].time) > HORIZON_S * 1000:
        return 0.0
    km = kilometres(placed[1].place, event.place)
    return km if feature.aggregation == "distance_km" else km * 3600 / max(abs(event.time - placed[1].time) / 1000, 1)


def of_entity(feature: Feature, entity: Entity, event: Event, counted: int) -> float:
    """Any feature of an entity."""
    if feature.of.op >= FIRST_OF_ROW:
        return of_card(feature, entity, event)
    return of_episode(feature, entity, event) if feature.of.op >= FIRST_OF_TILES else of_window(feature, entity, event, counted)


@dataclass
class Outcome:
    """What brute force says of one event; `features` is None where it is not scored."""

    features: dict[str, float] | None = None
    duplicate: bool = False
    late: bool = False


class BruteForce:
    """Lists instead of rings."""

    def __init__(self) -> None:
        self.entities: dict[tuple[str, int], Entity] = {}
        self.seen: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=RECENT))
        self.labels: dict[int, dict[int, tuple[int, bool]]] = defaultdict(dict)

    def _of(self, event: Event) -> list[Entity]:
        """Those that an event names; a label names no device."""
        named = [("card", event.card), ("terminal", event.terminal), ("device", -1 if event.kind >= GENUINE else event.device)]
        return [self.entities.setdefault(key, Entity(key[0])) for key in named if key[1] >= 0]

    def take(self, event: Event) -> Outcome:
        """One event."""
        entities = self._of(event)
        if event.kind >= GENUINE:
            self._label(event, entities)
            return Outcome()
        if event.id in self.seen[event.card]:
            return Outcome(duplicate=True)
        self.seen[event.card].append(event.id)
        if event.kind == CREDIT:
            for entity in entities:
                entity.newest = max(entity.newest, event.time)
                entity.credits.append(event)
            return Outcome()
        return self._payment(event, entities)

    def _payment(self, event: Event, entities: list[Entity]) -> Outcome:
        features = {f.name: f.of.neutral for f in CATALOGUE}
        late = [event.kind == PAYMENT and not kept(e, event.time) for e in entities]
        for entity, is_late in zip(entities, late, strict=True):
            counted = int(event.kind == PAYMENT and not is_late)
            for feature in CATALOGUE:
                if feature.entity == entity.kind:
                    features[feature.name] = of_entity(feature, entity, event, counted)
            if event.kind == DECLINED or counted:
                entity.newest = max(entity.newest, event.time)
                (entity.payments if counted else entity.declined).append(event)
        when = datetime.fromtimestamp(event.time / 1000, UTC)
        features |= {"amount": max(event.minor, 0) / UNIT, "weekend": float(when.weekday() >= 5), "night": float(when.hour <= 6)}
        features |= {"channel_code": event.channel, "type_code": 0.0, "mcc_code": event.mcc - 1}
        return Outcome(features, late=late[0])

    def _label(self, event: Event, entities: list[Entity]) -> None:
        labels, verdict = self.labels[event.card], event.kind == FRAUD
        labelled, before = labels.get(event.id, (-1, False))
        if labelled > event.labelled:
            return
        if event.id not in labels and len(labels) == LABELS:
            del labels[min(labels, key=lambda i: labels[i])]
        labels[event.id] = event.labelled, verdict
        if verdict == before:
            return
        for entity in entities:
            entity.newest = max(entity.newest, event.time)
            entity.frauds.append((event, 1 if verdict else -1))


# --- The kernel, as the tests call it ---------------------------------------------------------------------------------------------


def arrays(stream: Sequence[Event]) -> Events:
    """A stream as the kernel takes it; an amount below 0 is unknown."""
    column = [np.array([e[i] for e in stream], dtype=np.int64) for i in range(9)]
    label = column[0] >= GENUINE
    names = hashes([f"name {n}" for n in range(8)])
    places = np.array([e.place or (np.nan, np.nan) for e in stream], dtype=np.float64).reshape(-1, 2)
    facts = facts_of(
        names[column[5]],
        online=np.array([e.online for e in stream], dtype=np.bool_),
        place=(places[:, 0], places[:, 1]),
        countries=column[8],
        devices=np.where(column[7] < 0, 0, names[column[7]]),
        cards=names[column[4]],
        mccs=np.array([e.mcc for e in stream], dtype=np.int64),
        channels=np.array([e.channel for e in stream], dtype=np.int64),
    )
    entities = column[4], column[5], np.where(label, -1, column[7])
    return Events(column[0].astype(np.int8), column[1], column[6], column[2], np.maximum(column[3], -1), entities, facts)


def zeros(plan: EntityPlan, count: int = 4) -> Rows:
    """Rows of entities without a past."""
    rows = np.zeros((count, plan.layout.width), dtype=np.int64)
    return Rows.alone(rows)


def fresh(plan: Plan) -> list[Rows]:
    """Rows of every entity without a past."""
    return [zeros(entity) for entity in plan.entities]


def run(stream: Sequence[Event], plan: Plan | None = None) -> tuple[Computed, Rows, Rows]:
    """The stream in one batch over empty rows."""
    plan = plan or catalogue_plan()
    rows = fresh(plan)
    return compute(plan, arrays(stream), rows, UNIT), rows[0], rows[1]


def rings(rows: Ints, plan: EntityPlan) -> Ints:
    """Newest time and tiles: what must not depend on the order of arrival."""
    return np.column_stack([rows[:, NEWEST], rows[:, plan.layout.header :]])


def times(days: int) -> st.SearchStrategy[int]:
    """Event times over so many days: at the edges of tiles, a millisecond beside them, and anywhere."""
    edge = st.one_of(
        st.integers(0, days * 24).map(lambda h: h * HOUR),
        st.integers(0, days).map(lambda d: d * DAY),
        st.integers(0, 24 * 12).map(lambda m: m * 5 * MINUTE),
    )
    beside = st.tuples(edge, st.sampled_from((-1, 0, 0, 1))).map(sum)
    return st.one_of(beside, st.integers(0, days * DAY), st.integers(0, 2 * HOUR)).map(lambda t: START + t)


AMOUNTS = st.one_of(st.sampled_from((-1, 0, CLIP, 3 * CLIP)), st.integers(0, 500).map(lambda n: 100 * n))
PLACES = st.sampled_from((None, (50.85, 4.35), (-33.87, 151.21), (48.86, 2.35), (-89.0, -180.0)))
KINDS = st.sampled_from((PAYMENT, PAYMENT, PAYMENT, PAYMENT, DECLINED, CREDIT, GENUINE, FRAUD, FRAUD))


def streams(days: int = 80, kinds: st.SearchStrategy[int] = KINDS, most: int = 60) -> st.SearchStrategy[list[Event]]:
    """Streams in any order: late, repeated, of equal times; labels before, without and after their transaction, corrected."""
    ids, row = st.integers(1, 40), st.integers(0, 1)
    device, online, labelled = st.integers(-1, 1), st.booleans(), st.integers(0, 3)
    country, mcc, channel = st.integers(0, 3), st.sampled_from((0, 1, 5412, 5413)), st.integers(0, 6)
    one = st.builds(Event, kinds, times(days), ids, AMOUNTS, row, row, labelled, device, country, online, PLACES, mcc, channel)
    return st.lists(one, max_size=most)


def check(stream: Sequence[Event], plan: Plan | None = None, errs: str = "") -> None:
    """The kernel says what brute force says, of every event. A feature that `errs` may say 1 for 0: how often is in test_first_time."""
    computed, *_ = run(stream, plan)
    brute = BruteForce()
    for i, event in enumerate(stream):
        outcome = brute.take(event)
        assert computed.duplicates[i] == outcome.duplicate
        assert computed.late[i] == outcome.late
        assert computed.scored[i] == (outcome.features is not None)
        if outcome.features is not None:
            found = dict(zip(NAMES, computed.vectors[i].tolist(), strict=True))
            if errs:
                assert found[errs] >= outcome.features[errs]
                found[errs] = outcome.features[errs]
            assert found == pytest.approx(outcome.features, rel=1e-5, abs=1e-5), f"event {i}: {event}"


# --- Against brute force ----------------------------------------------------------------------------------------------------------


@examples(200)
@given(streams())
def test_every_feature_is_what_brute_force_over_the_same_tiles_gives(stream: list[Event]) -> None:
    """Any stream, any order: each feature of the catalogue, each verdict (duplicate, late, scored) equals the oracle's."""
    check(stream)


@pytest.mark.parametrize("seed", range(4))
def test_long_streams_that_mostly_move_forward_agree_with_brute_force(seed: int) -> None:
    """Dense months of two cards and two terminals: full rings that turn over, a tenth of the payments hours or days behind."""
    draw = np.random.default_rng(seed)
    now, stream = START, []
    for i in range(700):
        now += int(draw.exponential(4 * HOUR))
        behind = int(draw.choice([MINUTE, 5 * HOUR, 3 * DAY, 20 * DAY])) if draw.random() < 0.1 else 0
        kind = int(draw.choice([PAYMENT, DECLINED, CREDIT], p=[0.9, 0.05, 0.05]))
        stream.append(Event(kind, now - behind, i + 1, int(draw.integers(1, 900)) * 100, i % 2, int(draw.integers(0, 2))))
        if draw.random() < 0.2:
            old = stream[int(draw.integers(0, len(stream)))]
            stream.append(old._replace(kind=int(draw.choice([FRAUD, FRAUD, GENUINE])), labelled=i))
    check(stream, errs="card_same_amount_2d")


@examples(150)
@given(st.lists(st.tuples(st.sampled_from((PAYMENT, FRAUD)), st.integers(0, 60)), max_size=40), st.randoms(use_true_random=False))
def test_an_episode_is_what_brute_force_makes_of_it_in_any_order_of_arrival(told: list[tuple[int, int]], chance: Random) -> None:
    """Payments and frauds of two months, dealt anew: a payment at their end sees the same episode, that of the lists."""
    stream = [Event(kind, START + day * DAY + i * MINUTE, i + 1, card=0, terminal=i % 2) for i, (kind, day) in enumerate(told)]
    shuffled = stream.copy()
    chance.shuffle(shuffled)
    # Rings move on before anything is counted: what is older than they reach then is never there, in either order.
    opening, closing = (Event(PAYMENT, START + 61 * DAY, 100 + n, card=0, terminal=0) for n in range(2))
    features = [f for f in CATALOGUE if FIRST_OF_TILES <= f.of.op < FIRST_OF_ROW]
    found = [run([opening, *those, closing], compile_plan(features))[0].vectors[-1].tolist() for those in (stream, shuffled)]
    brute = BruteForce()
    for event in (opening, *stream):
        brute.take(event)
    outcome = brute.take(closing).features
    assert outcome is not None
    assert found[0] == found[1] == pytest.approx([outcome[f.name] for f in features])


@pytest.mark.parametrize(
    ("frauds", "since", "began", "genuine", "risk"),
    [
        ((), 38, 38, 26, 0),  # days 3 to 32, without the four that have no payment
        ((32,), 8, 8, 0, 1),
        ((33,), 38, 38, 26, 0),  # a week before the hour of the payment, the day was not over
        ((12, 20, 30), 10, 28, 2, 3 / 19),
        ((9, 20, 30), 10, 20, 2, 2 / 12),  # eleven days apart: two episodes
        ((2, 13), 27, 27, 17, 1 / 18),  # out of reach
    ],
)
def test_an_episode_is_of_the_30_whole_days_that_were_over_a_week_ago(
    frauds: tuple[int, ...], since: int, began: int, genuine: int, risk: float
) -> None:
    """By hand: one payment a day but on days 5, 11, 17, 23; the present one is on day 40."""
    paid = [Event(PAYMENT, START + day * DAY, day + 1) for day in range(40) if day not in {5, 11, 17, 23}]
    labels = [Event(FRAUD, START + day * DAY, day + 1) for day in frauds]
    names = ("days_since_fraud", "days_since_episode", "genuine_since_fraud", "episode_risk")
    features = [Feature(name, entity, 30 * 86_400, 7 * 86_400) for entity in ("card", "terminal") for name in names]
    vectors = run([*paid, *labels, Event(PAYMENT, START + 40 * DAY + HOUR, 99)], compile_plan(features))[0].vectors
    assert vectors[-1].tolist() == pytest.approx([since, began, genuine, risk] * 2)


def test_every_aggregation_of_the_catalogue_stands_before_the_oracle() -> None:
    """An aggregation that no feature of the catalogue uses would go untested."""
    assert {f.aggregation for f in CATALOGUE} == set(aggregations.AGGREGATIONS) - {"attributes", "category"}
    assert {f.entity for f in CATALOGUE} - {None} == set(ENTITIES)
    assert any(f.aggregation == "count" and f.delay_s for f in CATALOGUE)


@pytest.mark.parametrize("window", sorted(HOPS))
def test_another_hop_gives_other_values_so_the_oracle_holds_the_hops(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle's hops are its own: a hop changed in the definitions, the oracle test fails."""
    stream = [Event(PAYMENT, START + 20 * DAY + i * window * 7 // 60, i + 1, 100 * (i % 5), 0, 0) for i in range(40)]
    check(stream)
    monkeypatch.setitem(aggregations.HOPS_S, window // 1000, 2 * HOPS[window] // 1000)
    with pytest.raises(AssertionError):
        check(stream, compile_plan(CATALOGUE))


# --- The state --------------------------------------------------------------------------------------------------------------------


@examples(150)
@given(streams(days=60), st.randoms(use_true_random=False))
def test_the_tiles_do_not_depend_on_the_order_of_arrival(stream: list[Event], chance: Random) -> None:
    """In any order the same tiles, if each label has a time of its own, and a payment is newer than all that labels speak of.

    (A label ahead of every payment moves the head of the rings only where it changes something, so there the order shows.)
    """
    newest = [Event(PAYMENT, START + 33 * DAY, 41 + i, 100) for i in range(2)]
    once = {(e.kind >= GENUINE, e.id, e.labelled if e.kind >= GENUINE else 0): e for e in (*stream, *newest)}
    dealt = [e._replace(time=START + e.id % 32 * DAY if e.kind >= GENUINE else e.time, card=e.id % 2, terminal=0) for e in once.values()]
    shuffled = dealt.copy()
    chance.shuffle(shuffled)
    (_, cards, terminals), (_, cards_too, terminals_too) = run(dealt), run(shuffled)
    plan = catalogue_plan()
    assert rings(cards.own, plan.entities[0]).tobytes() == rings(cards_too.own, plan.entities[0]).tobytes()
    assert rings(terminals.own, plan.entities[1]).tobytes() == rings(terminals_too.own, plan.entities[1]).tobytes()


@examples(150)
@given(streams(), st.lists(st.integers(0, 60), max_size=6))
def test_splitting_a_stream_into_batches_changes_not_one_bit(stream: list[Event], cuts: list[int]) -> None:
    """Wherever the micro-batches end, vectors and rows are the same to the bit."""
    plan = catalogue_plan()
    whole, cards, terminals = run(stream)
    some = fresh(plan)
    edges = sorted({0, len(stream), *(min(c, len(stream)) for c in cuts)})
    parts = [compute(plan, arrays(stream[a:b]), some, UNIT) for a, b in pairwise(edges)]
    if parts:
        assert np.concatenate([p.vectors for p in parts]).tobytes() == whole.vectors.tobytes()
        assert np.concatenate([p.late for p in parts]).tobytes() == whole.late.tobytes()
    assert some[0].own.tobytes() == cards.own.tobytes()
    assert some[1].own.tobytes() == terminals.own.tobytes()


# --- Parts of a shared entity -----------------------------------------------------------------------------------------------------


def parts_of(stream: Iterable[Event], partitions: int) -> list[Ints]:
    """The terminal rows of each partition: a card's events go to the partition of its number."""
    plan, events = catalogue_plan(), list(stream)
    parts = []
    for p in range(partitions):
        rows = fresh(plan)
        compute(plan, arrays([e for e in events if e.card % partitions == p]), rows, UNIT)
        parts.append(rows[1].own)
    return parts


def summed(parts: Sequence[Ints]) -> Ints:
    """The first part with all others absorbed."""
    total, plan = parts[0].copy(), catalogue_plan().entities[1]
    for part in parts[1:]:
        kernel.absorb_all(plan.layout.table, total, np.arange(len(total)), part)
    return total


def over_four_cards(stream: list[Event]) -> list[Event]:
    """The same stream, its events dealt to four cards by id, so that partitions share terminals but no card."""
    return [e._replace(card=e.id % 4) for e in stream]


@examples(150)
@given(streams(), st.integers(1, 4))
def test_the_parts_of_all_partitions_add_up_to_the_row_of_a_single_one(stream: list[Event], partitions: int) -> None:
    """Absorbed into one another, at whatever time each part stands, the parts are the row that one writer would have."""
    dealt, plan = over_four_cards(stream), catalogue_plan().entities[1]
    _, _, single = run(dealt)
    total = summed(parts_of(dealt, partitions))
    assert np.array_equal(rings(total, plan), rings(single.own, plan))


@examples(150)
@given(streams(days=36), streams(days=36))
def test_own_part_and_total_give_the_features_of_a_single_row(others: list[Event], mine: list[Event]) -> None:
    """While the other partitions' parts stand still, a partition that counts in its own part and in the total sees what one row would."""
    plan, partitions = catalogue_plan(), 4
    others = [e for e in over_four_cards(others) if e.card % partitions]
    mine = [e._replace(card=0) for e in mine]
    _, _, single = run(others)
    expected_ = compute(plan, arrays(mine), [zeros(plan.entities[0]), single, zeros(plan.entities[2])], UNIT)
    own = np.zeros_like(single.own)
    total = summed([own, *parts_of(others, partitions)])
    beside = Rows(own, total, np.arange(len(own)), np.arange(len(own)))
    found = compute(plan, arrays(mine), [zeros(plan.entities[0]), beside, zeros(plan.entities[2])], UNIT)
    assert found.vectors.tobytes() == expected_.vectors.tobytes()
    assert np.array_equal(rings(total, plan.entities[1]), rings(single.own, plan.entities[1]))
    assert np.array_equal(rings(own, plan.entities[1]), rings(parts_of(mine, partitions)[0], plan.entities[1]))


NOON = START + 40 * DAY + 12 * HOUR
AROUND_NOON = st.tuples(st.integers(-1, 1), st.integers(-10, 10)).map(lambda m: NOON + m[0] * HOUR + m[1] * MINUTE)
AT_A_TAIL = st.tuples(AROUND_NOON, st.sampled_from((DAY, 7 * DAY, 30 * DAY)), st.booleans()).map(lambda m: (m[0] - 7 * DAY - m[1], m[2]))


@examples(300)
@given(
    st.lists(AT_A_TAIL, min_size=1, max_size=6),
    st.lists(st.tuples(AROUND_NOON, st.integers(0, 3)), min_size=2, max_size=6),
    st.tuples(*[st.sampled_from((0, HOUR // 2, HOUR))] * 4),
)
@example([(NOON - 10 * MINUTE - 8 * DAY, True)], [(NOON - 10 * MINUTE, 0), (NOON + 5 * MINUTE, 1)], (HOUR, 0, 0, 0))
def test_delayed_windows_are_those_of_event_time_where_partitions_are_read_up_to_an_hour_apart(
    past: list[tuple[int, bool]], present: list[tuple[int, int]], behind: tuple[int, ...]
) -> None:
    """Four cards in four partitions at one terminal: a payment of one that is read sooner moves the rings on before an older one of another."""
    before = [Event(PAYMENT, time, n + 1, card=4) for n, (time, _) in enumerate(sorted(past))]
    before += [e._replace(kind=FRAUD, labelled=1) for e, (_, fraud) in zip(before, sorted(past), strict=True) if fraud]
    now = [Event(PAYMENT, time, 100 + n, card=card) for n, (time, card) in enumerate(present)]
    in_time, as_read = sorted(now, key=lambda e: e.time), sorted(now, key=lambda e: e.time + behind[e.card])
    delayed = [column for column, name in enumerate(NAMES) if "delay" in name]
    vectors = []
    for stream in (in_time, as_read):
        plan = catalogue_plan()
        computed = compute(plan, arrays([*before, *stream]), [zeros(entity, 5) for entity in plan.entities], UNIT)
        vectors.append({e.id: tuple(v[delayed]) for e, v in zip(stream, computed.vectors[len(before) :], strict=True)})
    assert vectors[0] == vectors[1]


# --- Timelines, by hand -----------------------------------------------------------------------------------------------------------


def last_vector(stream: Sequence[Event]) -> dict[str, float]:
    """Features of the last event."""
    computed, *_ = run(stream)
    return dict(zip(NAMES, computed.vectors[-1].tolist(), strict=True))


def test_a_window_is_exact_at_its_head_and_up_to_one_hop_short_at_its_tail() -> None:
    """The hour before 10:02 begins with the tile of 09:05.

    09:02  09:04  09:05                  10:01  10:02
      :      a      b                      c      t
                    [============================]   b c t
    """  # fmt: skip
    at = START + 9 * HOUR
    stream = [Event(PAYMENT, at + m * MINUTE, i + 1) for i, m in enumerate((4, 5, 61, 62))]
    assert last_vector(stream)["card_count_1h"] == 3


def test_a_delayed_window_ends_with_the_last_full_hour_a_week_ago() -> None:
    """At 10:30 the window of a day, a week ago, runs from 10:00 to 10:00.

    -8d 09:59  -8d 10:00        -7d 09:59  -7d 10:00   10:30
        a          b                c          d         t
                   [================]
    """  # fmt: skip
    at = START + 10 * HOUR
    offsets = (-8 * DAY - MINUTE, -8 * DAY, -7 * DAY - MINUTE, -7 * DAY, 30 * MINUTE)
    stream = [Event(PAYMENT, at + 20 * DAY + o, i + 1) for i, o in enumerate(offsets)]
    assert last_vector(stream)["terminal_count_1d_delay_7d"] == 2


def test_usual_values_leave_the_present_payment_out() -> None:
    """Two payments of 10.00 before, now 40.00: four times the mean, which with itself in would be 2.0."""
    stream = [Event(PAYMENT, START + i * HOUR, i + 1, m) for i, m in enumerate((1000, 1000, 4000))]
    vector = last_vector(stream)
    assert vector["card_amount_ratio_30d"] == 4.0
    assert vector["card_prior_mean_amount_30d"] == 10.0
    assert vector["card_mean_amount_30d"] == 20.0


def test_a_payment_behind_every_ring_is_scored_not_counted_and_said_to_be_late() -> None:
    """The card's longest ring holds 39 tiles of a day; the 40th back is gone.

    day 0           day 1                          day 39
      a (late)        b (counted)                    t
                      [=============================]
    """  # fmt: skip
    newest = Event(PAYMENT, START + 39 * DAY, 1)
    late, counted = Event(PAYMENT, START + DAY - 1, 2), Event(PAYMENT, START + DAY, 3)
    computed, cards, _ = run([newest, late, counted])
    assert computed.late.tolist() == [False, True, False]
    assert computed.scored.all()
    _, without, _ = run([newest, counted])
    plan = catalogue_plan().entities[0]
    assert np.array_equal(rings(cards.own, plan), rings(without.own, plan))
    assert cards.own[0, LAST] == newest.time


def test_a_declined_payment_is_scored_on_what_was_before_and_leaves_no_trace_in_the_windows() -> None:
    """Approved, declined, approved: the declined one counts neither for itself nor for the next."""
    stream = [Event(k, START + i * MINUTE, i + 1) for i, k in enumerate((PAYMENT, DECLINED, PAYMENT))]
    computed, *_ = run(stream)
    assert computed.vectors[:, NAMES.index("card_count_1h")].tolist() == [1, 1, 2]
    assert computed.scored.all()


def risk_a_week_later(labels: Sequence[Event]) -> float:
    """Two payments at a terminal, these labels, and the terminal's risk as a payment eight days later sees it."""
    payments = [Event(PAYMENT, START, i) for i in (1, 2)]
    return last_vector([*payments, *labels, Event(PAYMENT, START + 7 * DAY + 2 * HOUR, 99)])["terminal_risk_1d_delay_7d"]


@pytest.mark.parametrize(
    ("labels", "risk"),
    [
        ([(FRAUD, 1, 10)], 0.5),
        ([(FRAUD, 1, 10), (FRAUD, 1, 10), (FRAUD, 1, 20)], 0.5),
        ([(FRAUD, 1, 10), (GENUINE, 1, 20)], 0.0),
        ([(GENUINE, 1, 20), (FRAUD, 1, 10)], 0.0),
        ([(FRAUD, 1, 10), (GENUINE, 1, 20), (FRAUD, 1, 30)], 0.5),
        ([(FRAUD, 77, 10)], 0.5),
        ([(FRAUD, 1, 10), (FRAUD, 2, 10), (FRAUD, 77, 10)], 1.0),
    ],
    ids=["once", "repeated", "corrected", "an older one comes late", "corrected twice", "of an unknown payment", "clipped to 1"],
)
def test_the_newest_label_of_a_transaction_counts_once(labels: list[tuple[int, int, int]], risk: float) -> None:
    """Repeated labels add nothing, corrections take back, older ones that come late change nothing."""
    assert risk_a_week_later([Event(kind, START, id_, labelled=at) for kind, id_, at in labels]) == risk


def test_the_oldest_of_a_cards_labels_gives_way_to_the_33rd() -> None:
    """The card remembers 32 labels; the correction of one that it forgot takes nothing back."""
    labels = [Event(FRAUD, START, 100 + i, labelled=10 + i) for i in range(LABELS + 1)]
    computed, _, terminals = run(labels)
    forgotten, remembered = Event(GENUINE, START, 100, labelled=999), Event(GENUINE, START, 132, labelled=999)
    assert not computed.scored.any()
    frauds = [run([*labels, more])[2].own[0, catalogue_plan().entities[1].layout.header :].sum() for more in (forgotten, remembered)]
    tiles_of_fraud = 3  # one payment's fraud stands in the rings of 1 h, 6 h and 1 d
    assert frauds[0] - frauds[1] == tiles_of_fraud
    assert terminals.own[0, NEWEST] == START
