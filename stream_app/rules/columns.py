"""From a micro-batch of scored payments to the columns that a program reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from operator import attrgetter

import numpy as np
import xxhash
from numpy.typing import NDArray

from stream_app.errors import RuleError
from stream_app.explaining.sentences import PLACE, needs_said
from stream_app.features.compute import Floats, Vectors
from stream_app.features.kept import kept_features
from stream_app.features.plan import Ints
from stream_app.messages.transaction import ATTRIBUTE, Transaction
from stream_app.rules.lists import FieldTexts, Lists
from stream_app.rules.machine import Truths
from stream_app.rules.names import AMOUNT, SCORE
from stream_app.rules.power import Actions
from stream_app.rules.program import Program, RuleColumn


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """What rules are asked about: scored payments, in arrays of one length.

    Attributes:
        payments: as they were decoded.
        money: float64, each one's amount in the base currency; NaN where there is no rate.
        vectors: float32 [payments, features], of the whole plan: the model's features, and those that `RuleBook.features` asks for.
        scores: float32, of the model that decides.
        actions: int8, what the model would do by the thresholds in force, by its place in `power.ACTIONS`.
    """

    payments: Sequence[Transaction]
    money: Floats
    vectors: Vectors
    scores: NDArray[np.float32]
    actions: Actions

    def __len__(self) -> int:
        return len(self.payments)


@dataclass(slots=True)
class BatchReading:
    """A micro-batch while it is read: what was made of a field once is kept.

    Attributes:
        failed: why, of each column that could not be made.
    """

    batch: ScoredBatch
    places: Mapping[str, int]
    lists: Lists
    failed: dict[int, str] = field(default_factory=dict)
    _texts: dict[str, FieldTexts] = field(default_factory=dict)
    _numbers: dict[str, Floats] = field(default_factory=dict)
    _times_ms: Ints | None = None

    @property
    def times_ms(self) -> Ints:
        """Event times."""
        if self._times_ms is None:
            self._times_ms = np.fromiter(map(attrgetter("event_time"), self.batch.payments), dtype=np.int64, count=len(self.batch))
        return self._times_ms

    def texts(self, name: str) -> FieldTexts:
        """The texts of a field."""
        if name not in self._texts:
            self._texts[name] = FieldTexts([*map(attrgetter(name), self.batch.payments)])
        return self._texts[name]

    def columns(self, program: Program) -> Floats:
        """The columns of a program, float64 [columns, payments]. One that cannot be made is unknown, and told: it stops no other."""
        table = np.empty((len(program.columns), len(self.batch)))
        for place, column in enumerate(program.columns):
            try:
                table[place] = self._column(column, program)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one column: the others are made
                self.failed[place] = str(error) if isinstance(error, RuleError) else f"{column.name}: {type(error).__name__}: {error}"
                table[place] = np.nan
        return table

    def _column(self, column: RuleColumn, program: Program) -> Floats:
        match column.made:
            case "number":
                return self.numbers(column.name)
            case "text":
                found = map(program.texts.get, self.texts(column.name).values, repeat(-1.0))
                return np.fromiter(found, dtype=np.float64, count=len(self.batch))
            case "same":
                one, other = self.texts(column.name), self.texts(column.other)
                equal = np.array([a == b for a, b in zip(one.values, other.values, strict=True)], dtype=np.float64)
                same: Floats = np.where(one.missing | other.missing, np.nan, equal)
                return same
            case "listed":
                return self.lists.held(column.other, column.name, self.texts(column.name), self.times_ms)
            case "share":
                return in_share([p.card_id for p in self.batch.payments], column.name, column.share).astype(np.float64)

    def numbers(self, name: str) -> Floats:
        """The values of a name that is no text: NaN where it is unknown.

        Raises:
            RuleError: if nobody computed it.
        """
        if name not in self._numbers:
            self._numbers[name] = self._made(name)
        return self._numbers[name]

    def _made(self, name: str) -> Floats:
        if name == AMOUNT:
            return self.batch.money
        if name == SCORE:
            return self.batch.scores.astype(np.float64)
        if name in kept_features():
            return self._feature(name)
        if name.startswith(ATTRIBUTE):
            own = name.removeprefix(ATTRIBUTE)
            values = [p.attributes.get(own, np.nan) if p.attributes else np.nan for p in self.batch.payments]
            return np.array([np.nan if isinstance(value, str) else value for value in values], dtype=np.float64)  # a text is no number
        if name == "event_time":
            return self.times_ms.astype(np.float64)
        return np.array([*map(attrgetter(name), self.batch.payments)], dtype=np.float64)  # None is NaN

    def _feature(self, name: str) -> Floats:
        if name not in self.places:
            raise RuleError(f"{name} is not computed: the scorer was bound before a rule asked for it.")
        feature = kept_features()[name]
        values: Floats = self.batch.vectors[:, self.places[name]].astype(np.float64)
        if feature.of.of_money:
            values = np.where(np.isnan(self.batch.money), np.nan, values)
        said = needs_said(feature)
        return values if said is None else np.where(self._unsaid(said), np.nan, values)

    def _unsaid(self, said: str) -> Truths:
        """Where a payment does not say it."""
        if said == PLACE:
            unsaid: Truths = np.isnan(self.numbers("latitude")) | np.isnan(self.numbers("longitude"))
            return unsaid
        return self.texts(said).missing


_HASHES = 2.0**64


def in_share(cards: Sequence[str], code: str, share: float) -> Truths:
    """Which cards are among a rule's share: the same whatever the worker and the time, and others for each rule."""
    if share >= 1:
        return np.ones(len(cards), dtype=np.bool_)
    cards_hashes = np.fromiter((xxhash.xxh3_64_intdigest(card.encode()) for card in cards), dtype=np.uint64, count=len(cards))
    mixed = cards_hashes ^ np.uint64(xxhash.xxh3_64_intdigest(code.encode()))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finaliser of SplitMix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    among: Truths = (mixed ^ (mixed >> np.uint64(31))).astype(np.float64) < share * _HASHES
    return among
