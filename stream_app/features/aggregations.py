"""What can be computed, as data: one entry for each aggregation over the payments of an entity.

A new aggregation is an entry here and, where no operation makes it yet, one in `Op` and a line in the kernel. What it is made of is a
`Quantity`: how that combines is declared with it, and tiles, kernel, plan and packed rows follow.
Entities are a table of their own, `entities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, unique
from types import MappingProxyType
from typing import Self

from stream_app.errors import SettingsError
from stream_app.features.entities import ENTITIES, LABELLED, SHARED, Entity

HOUR_S = 3600
DAY_S = 24 * HOUR_S
HOUR_MS, DAY_MS = HOUR_S * 1000, DAY_S * 1000
DELAY_S = 7 * DAY_S

HORIZON_DAYS = 38
HORIZON_S = HORIZON_DAYS * DAY_S
"""Longest reach of any feature: 30 days, 7 days of delay, one tile."""

EPISODE_GAP_DAYS = 10
"""Known frauds with gaps of at most so many days are one episode: longer than most weeks without one, shorter than a month."""

HOPS_S = {HOUR_S: 300, DAY_S: HOUR_S, 2 * DAY_S: DAY_S, 7 * DAY_S: 6 * HOUR_S, 30 * DAY_S: DAY_S, HORIZON_S: HORIZON_S // 2}
"""Hop of each window. Measured on the Handbook's history: no loss against exact windows. Those of two days and of the horizon are two tiles, for what needs no
sharper edge."""


class Fact(IntEnum):
    """What the kernel reads of a payment beside time and money: columns of `Events.facts`, 0 where the payment has none.

    Places are millionths of a degree + `PLACE_ZERO`; ids are hashes; a country is 1 + its place in AA … ZZ. Those from `HOUR` on follow from time,
    money and others: `facts.derived` fills them in.
    """

    ONLINE = 0
    LATITUDE = 1
    LONGITUDE = 2
    TERMINAL = 3
    COUNTRY = 4
    DEVICE = 5
    CARD = 6
    CHANNEL = 7
    TYPE = 8
    MCC = 9
    HOUR = 10
    AMOUNT = 11
    CATEGORY = 12


PLACE_ZERO = 1_000_000_000
COUNTRY_NUMBERS = 1024
"""More than there are: a time times that, plus a country's number, is the larger the later."""


class Measure(IntEnum):
    """What an event leaves in the tiles of a scalar: columns of the kernel's `weights`, 0 where it leaves nothing."""

    PAYMENT = 0
    MONEY = 1
    MONEY_SQ = 2
    FRAUD = 3
    ONLINE = 4
    DECLINED = 5
    CREDITED = 6
    COUNTRY_AT = 7


TAKEN_BACK = frozenset({Measure.FRAUD})
"""What a later event may undo, by a number below 0."""


class Combination(IntEnum):
    """How a tile takes an event in, how tiles make a window, and partitions' tiles one row. In any order the same comes of it."""

    SUM = 0
    LARGEST = 1
    SET = 2


SCALARS, SETS = 16, 48
"""Numbers that a scalar and a set may have lie below: a scalar's is a bit in a packed row, a set's a mark."""
MOST_WORDS = 63
"""Of a set's tile: each is a bit in a packed row."""


def _wrong_in(one: Quantity, number: int) -> str | None:
    """What of a declaration makes no sense."""
    is_set = one.combination is Combination.SET
    if not 0 <= number < (SETS if is_set else SCALARS):
        return f"a set's number is 0 to {SETS - 1}, any other's 0 to {SCALARS - 1}"
    if not isinstance(one.of, Fact if is_set else Measure):
        return "a set is of a Fact, any other of a Measure"
    if is_set != (one.bits > 0) or not 1 <= one.words <= (MOST_WORDS if is_set else 1):
        return f"a set, and nothing else, has bits for each member, in 1 to {MOST_WORDS} words"
    if one.combination is Combination.LARGEST and one.of in TAKEN_BACK:
        return "what can be taken back has no largest"
    return None


@unique
class Quantity(IntEnum):
    """What a series keeps in each tile. A new one takes any free number; a number stands in packed rows, so it never changes.

    Attributes:
        combination: a scalar is a sum, or the largest of numbers that are 0 or more; else it is a set.
        of: what an event leaves there; of a set, the fact that is its member.
        unit: what it counts, or measures, for people.
        words, bits: of a set: words of 64 bits of a tile, and bits that one member sets. Countries and hours have a bit each: those sets never err.

    Raises:
        SettingsError: if the declaration makes no sense, naming what is allowed.
    """

    combination: Combination
    of: Measure | Fact
    unit: str
    words: int
    bits: int

    COUNT = 0, Combination.SUM, Measure.PAYMENT, "payments"
    AMOUNT = 1, Combination.SUM, Measure.MONEY, "minor units"
    AMOUNT_SQ = 2, Combination.SUM, Measure.MONEY_SQ, "minor units, squared"
    FRAUD = 3, Combination.SUM, Measure.FRAUD, "frauds"
    ONLINE = 4, Combination.SUM, Measure.ONLINE, "online payments"
    DECLINED = 5, Combination.SUM, Measure.DECLINED, "declined payments"
    CREDITED = 6, Combination.SUM, Measure.CREDITED, "refunds and reversals"
    TERMINALS = 8, Combination.SET, Fact.TERMINAL, "terminals", 8, 4
    LARGEST = 7, Combination.LARGEST, Measure.MONEY, "minor units"
    LAST_COUNTRY = 11, Combination.LARGEST, Measure.COUNTRY_AT, "ms, and a country"
    COUNTRIES = 9, Combination.SET, Fact.COUNTRY, "countries", 11, 1
    DEVICES = 10, Combination.SET, Fact.DEVICE, "devices", 4, 4
    HOURS = 17, Combination.SET, Fact.HOUR, "hours of the day", 1, 1
    CATEGORIES = 18, Combination.SET, Fact.CATEGORY, "merchant categories", 2, 4
    AMOUNTS = 19, Combination.SET, Fact.AMOUNT, "amounts", 2, 4
    CARDS_OF_HOUR = 20, Combination.SET, Fact.CARD, "cards", 1, 1
    CARDS_OF_DAY = 16, Combination.SET, Fact.CARD, "cards", 1, 1

    def __new__(cls, number: int, combination: Combination, of: Measure | Fact, unit: str, words: int = 1, bits: int = 0) -> Self:
        """A member, as its line declares it."""
        one = int.__new__(cls, number)
        one._value_ = number
        one.combination, one.of, one.unit, one.words, one.bits = combination, of, unit, words, bits
        if (wrong := _wrong_in(one, number)) is not None:
            raise SettingsError(f"The quantity of {unit} with number {number} cannot be kept: {wrong}. Correct its declaration.")
        return one


FIELD_OF_SET: Mapping[str, Quantity] = MappingProxyType(
    {
        "terminal_id": Quantity.TERMINALS,
        "country": Quantity.COUNTRIES,
        "device_id": Quantity.DEVICES,
        "mcc": Quantity.CATEGORIES,
        "hour": Quantity.HOURS,
    }
)
CARDS_IN: Mapping[int, Quantity] = MappingProxyType({HOUR_S: Quantity.CARDS_OF_HOUR, DAY_S: Quantity.CARDS_OF_DAY})
"""Of a window, the set of cards in its tiles."""


FIRST_OF_TILES, FIRST_OF_ROW = 50, 100


class Op(IntEnum):
    """How a feature follows: from its sums below `FIRST_OF_TILES`, from the tiles themselves, one after the other, below `FIRST_OF_ROW`, from the
    rest of the row from there on. Numbers are kept nowhere.
    """

    COUNT = 0
    MEAN = 1
    RATIO = 2
    ZSCORE = 3
    RISK = 4
    PRIOR_MEAN = 5
    PRIOR_COUNT = 6
    SHARE = 7
    OF_LARGEST = 8
    SINCE_FRAUD = FIRST_OF_TILES
    SINCE_EPISODE = 51
    GENUINE_SINCE = 52
    EPISODE_RISK = 53
    SINCE_LAST = FIRST_OF_ROW
    DISTANCE = 101
    SPEED = 102
    DECLINES_IN_A_ROW = 103
    FIRST_TIME = 104
    OF_RECORD = 105
    KNOWN = 106
    DISTINCT = 107
    OTHER_COUNTRY = 108


OF_SERIES = frozenset({Op.FIRST_TIME, Op.KNOWN, Op.DISTINCT, Op.OTHER_COUNTRY})
"""Those of the row that look into one series, in place of its window's sum."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One way to make a number of what an entity did.

    Attributes:
        meaning: for people; `{entity}`, `{window}` and `{field}` are filled in.
        op: what the kernel does with the sums.
        needs: the sums, in the kernel's order.
        neutral: the value where there is no history, or the payment lacks what it takes.
        entities: over which it may be; none: it is of the payment alone.
        windows_s, delays_s: over which windows, delayed by how much.
        fields: of the payment, that it may be asked for; None: any name, of `attributes`.
        of_money: it says something of the present payment's own money.
    """

    meaning: str
    op: Op
    needs: tuple[Quantity, ...] = ()
    neutral: float = 0.0
    entities: tuple[Entity, ...] = ()
    windows_s: tuple[int, ...] = (0,)
    delays_s: tuple[int, ...] = (0,)
    fields: tuple[str, ...] | None = ("",)
    of_money: bool = False

    @property
    def of_place(self) -> bool:
        """Whether it says something of where the present payment was made."""
        return self.op in {Op.DISTANCE, Op.SPEED}

    @property
    def compares(self) -> bool:
        """Whether it holds the present payment's money, place or names against the history: without a payment it says nothing."""
        return self.of_money or self.of_place or self.op in {Op.FIRST_TIME, Op.OTHER_COUNTRY}

    @property
    def adds_own_money(self) -> bool:
        """Whether the present payment's money is in the number: one without a rate counts as 0 there."""
        return self.op is Op.MEAN


_WINDOWS = (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
_ANY = ENTITIES
_CARD: tuple[Entity, ...] = ("card",)
_Q = Quantity
_NEVER = float(HORIZON_DAYS)


def _of_tiles(meaning: str, op: Op, neutral: float = 0.0) -> Aggregation:
    """One of an entity's episode of fraud: read off its days (UTC), one after the other; those that were over when the window ended."""
    return Aggregation(meaning, op, (_Q.COUNT, _Q.FRAUD), neutral, LABELLED, windows_s=(30 * DAY_S,), delays_s=(DELAY_S,))


AGGREGATIONS: Mapping[str, Aggregation] = MappingProxyType(
    {
        "amount": Aggregation("amount in the base currency", Op.OF_RECORD, of_money=True),
        "weekend": Aggregation("1 on Saturday and Sunday (UTC)", Op.OF_RECORD),
        "night": Aggregation("1 from 00:00 to 06:59 (UTC)", Op.OF_RECORD),
        "channel_code": Aggregation("how the payment was made: 1 chip, 2 contactless, 3 atm, 4 magstripe, 5 moto, 6 online", Op.OF_RECORD),
        "type_code": Aggregation("0 purchase, 1 withdrawal, 2 verification", Op.OF_RECORD),
        "mcc_code": Aggregation("the merchant's category code as a number; neighbours are of one trade (ISO 18245)", Op.OF_RECORD, neutral=-1.0),
        "attributes": Aggregation("the producer's own number `{field}`", Op.OF_RECORD, fields=None),
        "category": Aggregation("the producer's own text `{field}`, as its place in a vocabulary that training learns", Op.OF_RECORD, fields=None),
        "count": Aggregation(
            "payments of the {entity} in {window}", Op.COUNT, (_Q.COUNT,), entities=_ANY, windows_s=_WINDOWS, delays_s=(0, DELAY_S)
        ),
        "mean_amount": Aggregation(
            "mean amount of the {entity} in {window}", Op.MEAN, (_Q.COUNT, _Q.AMOUNT), entities=_ANY, windows_s=_WINDOWS
        ),
        "amount_ratio": Aggregation(
            "amount ÷ the {entity}'s mean of {window} before",
            Op.RATIO, (_Q.COUNT, _Q.AMOUNT), neutral=1.0, entities=_ANY, windows_s=_WINDOWS, of_money=True,
        ),
        "amount_zscore": Aggregation(
            "standard deviations of the amount from the {entity}'s mean of {window} before",
            Op.ZSCORE, (_Q.COUNT, _Q.AMOUNT, _Q.AMOUNT_SQ), entities=_ANY, windows_s=_WINDOWS, of_money=True,
        ),
        "seconds_since_last": Aggregation(
            "seconds since the {entity}'s last payment, at most 38 days", Op.SINCE_LAST, neutral=float(HORIZON_S), entities=_ANY
        ),
        "risk": Aggregation(
            "frauds known ÷ payments of the {entity} in {window}, at most 1",
            Op.RISK, (_Q.COUNT, _Q.FRAUD), entities=LABELLED, windows_s=_WINDOWS[1:], delays_s=(DELAY_S,),
        ),
        "days_since_fraud": _of_tiles("days since the {entity}'s last fraud of {window}; 38 where none is known", Op.SINCE_FRAUD, _NEVER),
        "days_since_episode": _of_tiles(
            "days since the known frauds up to that one began to follow one another within 10 days; 38 where none is known",
            Op.SINCE_EPISODE, _NEVER,
        ),
        "genuine_since_fraud": _of_tiles("payments of the {entity} on the days since, or on all where none is known", Op.GENUINE_SINCE),
        "episode_risk": _of_tiles("frauds known ÷ payments of the {entity} since those frauds began, at most 1", Op.EPISODE_RISK),
        "prior_mean_amount": Aggregation(
            "mean amount of the {entity} in {window} before", Op.PRIOR_MEAN, (_Q.COUNT, _Q.AMOUNT), entities=_ANY, windows_s=_WINDOWS
        ),
        "prior_count": Aggregation("payments of the {entity} in {window} before", Op.PRIOR_COUNT, (_Q.COUNT,), entities=_ANY, windows_s=_WINDOWS),
        "online_share": Aggregation(
            "share of online among the {entity}'s payments of {window} before",
            Op.SHARE, (_Q.COUNT, _Q.ONLINE), entities=_ANY, windows_s=_WINDOWS,
        ),
        "declines": Aggregation(
            "declined payments of the {entity} in {window} before", Op.PRIOR_COUNT, (_Q.DECLINED,), entities=_ANY, windows_s=_WINDOWS
        ),
        "refunds": Aggregation(
            "refunds and reversals of the {entity} in {window} before", Op.PRIOR_COUNT, (_Q.CREDITED,), entities=_ANY, windows_s=_WINDOWS
        ),
        "declines_in_a_row": Aggregation(
            "declined payments since the {entity}'s last one that was not, at most 8", Op.DECLINES_IN_A_ROW, entities=_CARD
        ),
        "distance_km": Aggregation("kilometres from the place of the {entity}'s last payment", Op.DISTANCE, entities=_CARD),
        "speed_kmh": Aggregation("kilometres an hour from there", Op.SPEED, entities=_CARD),
        "first_time": Aggregation(
            "1 if the {entity} has no payment with this {field} in {window}",
            Op.FIRST_TIME, entities=_CARD, windows_s=(HORIZON_S,), fields=tuple(FIELD_OF_SET),
        ),
        "distinct": Aggregation(
            "about how many different ones of {field} the {entity}'s payments of {window} before have",
            Op.DISTINCT, entities=_CARD, windows_s=(HORIZON_S,), fields=tuple(FIELD_OF_SET),
        ),
        "cards": Aggregation(
            "about how many different cards paid at the {entity} in {window} before, at most 266",
            Op.DISTINCT, entities=SHARED, windows_s=tuple(CARDS_IN),
        ),
        "same_amount": Aggregation(
            "1 if the {entity} has paid this very amount in {window} before",
            Op.KNOWN, (_Q.AMOUNTS,), entities=_CARD, windows_s=(2 * DAY_S,), of_money=True,
        ),
        "amount_to_largest": Aggregation(
            "amount ÷ the {entity}'s largest of {window} before",
            Op.OF_LARGEST, (_Q.LARGEST,), neutral=1.0, entities=_CARD, windows_s=(HORIZON_S,), of_money=True,
        ),
        "other": Aggregation(
            "1 if the {entity}'s last payment that names a country, of {window}, names another",
            Op.OTHER_COUNTRY, (_Q.LAST_COUNTRY,), entities=_CARD, windows_s=(HORIZON_S,), fields=("country",),
        ),
    }
)  # fmt: skip
"""By name. A feature is one of them over an entity, a window and a delay."""

CALENDAR = frozenset({"weekend", "night"})
"""Aggregations of the clock alone."""
