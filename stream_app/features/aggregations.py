"""What can be computed, as data: the entities, and one entry for each aggregation over their payments.

A new aggregation that is made of sums is an entry here and a line in the kernel; a new entity is a name here and, where payments carry it
under another name than `<entity>_id`, nothing else: shared state, training, worker and the list in the documents follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Literal, get_args

HOUR_S = 3600
DAY_S = 24 * HOUR_S
DELAY_S = 7 * DAY_S

HORIZON_S = 38 * DAY_S
"""Longest reach of any feature: 30 days, 7 days of delay, one tile."""

HOPS_S = {HOUR_S: 300, DAY_S: HOUR_S, 7 * DAY_S: 6 * HOUR_S, 30 * DAY_S: DAY_S, HORIZON_S: HORIZON_S // 2}
"""Hop of each window. Measured on the Handbook's history: no loss against exact windows. That of the horizon is for sets alone."""

Entity = Literal["card", "terminal", "device"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
"""Cards first: theirs is the order of the log. All others are shared: their payments come through many partitions. Their first letters differ."""
LABELLED: tuple[Entity, ...] = ("card", "terminal")
"""What a label names. The others have no counts of fraud."""
OPTIONAL: tuple[Entity, ...] = ("device",)
"""What a payment may lack: its features are neutral then."""


class Quantity(IntEnum):
    """What a series keeps in each tile: a sum, or from `TERMINALS` on a set."""

    COUNT = 0
    AMOUNT = 1
    AMOUNT_SQ = 2
    FRAUD = 3
    ONLINE = 4
    DECLINED = 5
    CREDITED = 6
    TERMINALS = 8
    COUNTRIES = 9
    DEVICES = 10


SET_SHAPE: Mapping[Quantity, tuple[int, int]] = MappingProxyType(
    {Quantity.TERMINALS: (8, 4), Quantity.COUNTRIES: (11, 1), Quantity.DEVICES: (4, 4)}
)
"""Words of 64 bits of a set's tile, and bits that one member sets. Countries have a bit each: that set never errs."""

FIELD_OF_SET: Mapping[str, Quantity] = MappingProxyType(
    {"terminal_id": Quantity.TERMINALS, "country": Quantity.COUNTRIES, "device_id": Quantity.DEVICES}
)


class Fact(IntEnum):
    """What the kernel reads of a payment beside time and money: columns of `Events.facts`, 0 where the payment has none.

    Places are millionths of a degree + `PLACE_ZERO`; ids are hashes; a country is 1 + its place in AA … ZZ.
    """

    ONLINE = 0
    LATITUDE = 1
    LONGITUDE = 2
    TERMINAL = 3
    COUNTRY = 4
    DEVICE = 5


PLACE_ZERO = 1_000_000_000


class Op(IntEnum):
    """How a feature follows from the sums or, from `SINCE_LAST` on, from the rest of the row."""

    COUNT = 0
    MEAN = 1
    RATIO = 2
    ZSCORE = 3
    RISK = 4
    PRIOR_MEAN = 5
    PRIOR_COUNT = 6
    SHARE = 7
    SINCE_LAST = 8
    DISTANCE = 9
    SPEED = 10
    DECLINES_IN_A_ROW = 11
    FIRST_TIME = 12
    OF_RECORD = 13


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
    def compares(self) -> bool:
        """Whether it holds the present payment's money, place or names against the history: without a payment it says nothing."""
        return self.of_money or self.op in {Op.DISTANCE, Op.SPEED, Op.FIRST_TIME}


_WINDOWS = (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
_ANY = ENTITIES
_CARD: tuple[Entity, ...] = ("card",)
_Q = Quantity

AGGREGATIONS: Mapping[str, Aggregation] = MappingProxyType(
    {
        "amount": Aggregation("amount in the base currency", Op.OF_RECORD, of_money=True),
        "weekend": Aggregation("1 on Saturday and Sunday (UTC)", Op.OF_RECORD),
        "night": Aggregation("1 from 00:00 to 06:59 (UTC)", Op.OF_RECORD),
        "attributes": Aggregation("the producer's own number `{field}`", Op.OF_RECORD, fields=None),
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
    }
)  # fmt: skip
"""By name. A feature is one of them over an entity, a window and a delay."""

CALENDAR = frozenset({"weekend", "night"})
"""Aggregations of the clock alone."""
