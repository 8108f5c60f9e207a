"""Lists of cards, terminals, devices, merchants, addresses and countries: what they hold, and what a payment meets in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from stream_app.errors import RuleError
from stream_app.features.compute import Floats
from stream_app.features.plan import Ints
from stream_app.messages.card_numbers import is_card_number
from stream_app.messages.event_time import EventTimeMs
from stream_app.messages.iso import COUNTRIES
from stream_app.rules.entries import FOREVER, MAX_LISTS, Entries, Entry, hashes_of, hashes_of_values
from stream_app.rules.machine import Truths
from stream_app.rules.power import Power
from stream_app.rules.rule import Person, Why
from stream_app.rules.tokens import misleading
from stream_app.rules.tree import FIELD_OF_KIND, ListKind

MAX_AT_ONCE = 1_000
"""Entries of one record: more are sent in several."""

ListName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}$(?!\n)")]
ListValue = Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,64}$(?!\n)")]


class CardList(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="kind", tag="list"):
    """A list itself, `list.v1`: what its values are, and what it does.

    Attributes:
        of: what its values are; it stays.
        power: see `power.decide`.
    """

    name: ListName
    of: ListKind
    power: Power
    author: Person
    why: Why


class ListedValue(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True):
    """A value of a list. `until`: its end in event time, ms, not included; None: it has none."""

    value: ListValue
    until: EventTimeMs | None = None


class ListEntries(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="kind", tag="list_entries"):
    """Values that are put on a list, `list_entries.v1`; one that is there already gets this end, reason and author."""

    name: ListName
    entries: Annotated[tuple[ListedValue, ...], Meta(min_length=1, max_length=MAX_AT_ONCE)]
    author: Person
    why: Why


class ListRemoval(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, tag_field="kind", tag="list_removal"):
    """Values that are taken off a list, `list_removal.v1`; one that is not there is passed over."""

    name: ListName
    values: Annotated[tuple[ListValue, ...], Meta(min_length=1, max_length=MAX_AT_ONCE)]
    author: Person
    why: Why


type ListChange = CardList | ListEntries | ListRemoval


@dataclass(frozen=True)
class FieldTexts:
    """The texts of one field of some payments."""

    values: Sequence[str | None]

    @cached_property
    def hashes(self) -> Ints:
        """Theirs, which lists are asked by; made when first asked for."""
        return hashes_of_values(self.values)

    @cached_property
    def missing(self) -> Truths:
        """Which payments have none."""
        return np.fromiter((value is None for value in self.values), dtype=np.bool_, count=len(self.values))


class Lists:
    """All lists and what they hold. A change is taken whole or refused whole."""

    def __init__(self, *, refuse_card_numbers: bool = True) -> None:
        self.entries = Entries()
        self._lists: dict[str, CardList] = {}
        self._numbers: dict[str, int] = {}
        self._refuse_card_numbers = refuse_card_numbers

    @property
    def known(self) -> Mapping[str, CardList]:
        """The lists by name, in the order in which they came."""
        return self._lists

    @property
    def kinds(self) -> dict[str, ListKind]:
        """What the values of each list are."""
        return {name: one.of for name, one in self._lists.items()}

    def take(self, change: ListChange, at_ms: int) -> None:
        """Take a change.

        Args:
            change: that is right in form.
            at_ms: when it was made: an entry that ended before is a mistake.

        Raises:
            RuleError: naming list, entry and what to do; nothing was changed.
        """
        self.check(change, at_ms)
        match change:
            case CardList():
                self._lists[change.name] = change
                self._numbers.setdefault(change.name, len(self._numbers))
            case ListEntries():
                ends = [FOREVER if entry.until is None else entry.until for entry in change.entries]
                values = [entry.value for entry in change.entries]
                self.entries.put(self._numbers[change.name], values, ends, (change.why, change.author))
            case ListRemoval():
                self.entries.drop(self._numbers[change.name], change.values)

    def check(self, change: ListChange, at_ms: int) -> None:
        """Refuse what `take` refuses, for its reason; nothing is changed either way."""
        match change:
            case CardList():
                self._check_list(change)
            case ListEntries():
                self._check_entries(change, at_ms)
            case ListRemoval():
                self._known(change.name)

    def _check_list(self, one: CardList) -> None:
        before = self._lists.get(one.name)
        if before is not None and before.of != one.of:
            raise RuleError(f"List {one.name!r} holds values of kind {before.of!r}, not {one.of!r}. Take another name.")
        if before is None and len(self._lists) >= MAX_LISTS:
            raise RuleError(f"List {one.name!r} would be one too many: there may be {MAX_LISTS}. Use one of those that there are.")

    def _check_entries(self, put: ListEntries, at_ms: int) -> None:
        one = self._known(put.name)
        values = [entry.value for entry in put.entries]
        if len(set(values)) < len(values):
            twice = next(n for n, value in enumerate(values) if value in values[:n])
            raise RuleError(f"List {put.name!r}, entry {twice + 1}: the value stands twice among those that are put. Send each once.")
        for number, entry in enumerate(put.entries, 1):
            if (wrong := self._wrong(one.of, entry, at_ms)) is not None:
                raise RuleError(f"List {put.name!r}, entry {number}: {wrong}")
        self.entries.check_room(self._numbers[put.name], values, (put.why, put.author))

    def _wrong(self, of: ListKind, entry: ListedValue, at_ms: int) -> str | None:
        if of == "card" and self._refuse_card_numbers and is_card_number(entry.value):
            return "this is a card number (13 to 19 digits that pass Luhn). Put the card's token in its place."
        if of == "country" and entry.value not in COUNTRIES:
            return f"{entry.value!r} is no country of ISO 3166-1 alpha-2, as FR."
        if not entry.value.isascii() and (found := misleading(entry.value)) is not None:
            return f"sign {found[0] + 1}: {found[1]}"
        if entry.until is not None and entry.until <= at_ms:
            return f"its end, {entry.until}, is past. Leave it out, or give a later one in milliseconds."
        return None

    def _known(self, name: str) -> CardList:
        if name not in self._lists:
            raise RuleError(f"There is no list {name!r}. Make it first.")
        return self._lists[name]

    def held(self, name: str, field: str, texts: FieldTexts, times_ms: Ints) -> Floats:
        """Which values a list holds at the time of each payment: float64, 1, 0, or NaN where there is no value.

        Args:
            name: of the list.
            field: that the values are of.
            texts: of the payments.
            times_ms: event times.

        Raises:
            RuleError: if there is no such list, or its values are of another field.
        """
        one = self._known(name)
        if FIELD_OF_KIND[one.of] != field:
            raise RuleError(f"List {name!r} holds values of {FIELD_OF_KIND[one.of]}, not of {field}.")
        number = self._numbers[name]
        rows = self.entries.find(number, hashes_of(number, texts.hashes), texts.values)
        holds: Floats = np.where(texts.missing, np.nan, self.entries.until(rows) > times_ms)
        return holds

    def of_power(self) -> Iterator[CardList]:
        """The lists that do something by themselves and are not empty."""
        for name, one in self._lists.items():
            if one.power != "ask" and self.count(name):
                yield one

    def new(self, name: str, values: Sequence[str]) -> int:
        """How many of these values, each of them there once, a list does not hold."""
        return len(self.entries.new(self._numbers[name], values)) if name in self._numbers else len(values)

    def count(self, name: str) -> int:
        """How many entries a list has."""
        return self.entries.count(self._numbers[name]) if name in self._numbers else 0

    def of(self, name: str) -> Iterator[Entry]:
        """The entries of a list."""
        self._known(name)
        return self.entries.of(self._numbers[name])
