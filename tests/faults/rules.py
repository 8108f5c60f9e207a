"""Rules and lists that change all the while, as people change them: by the product's own writer, a release or a few entries of a list at a time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from stream_app.adapters.kafka.rule_writer import RuleWriter
from stream_app.errors import FraudstreamError
from stream_app.messages.alert import Action, RuleMode
from stream_app.rules.lists import CardList, ListChange, ListedValue, ListEntries, ListRemoval
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Release, ReleasePolicy, Rule, release_of
from stream_app.rules.rules_log import RulesLog
from stream_app.settings import Settings

EVERY_S = 1.0
ACTING: tuple[Action, ...] = ("review", "step_up", "decline")
MOST_LISTED = 10
"""Entries of a list: a tenth of the terminals, and fewer of the cards."""
AUTHOR, WHY = "ann", "as people do"
OWN_BANDS = (ReleasePolicy(0.9, 0.95, 0.99), ReleasePolicy(0.5, 0.6, 0.8))
"""Of the model's two scores: by the first it alerts nothing, by the second it declines."""
LISTS = (CardList("blocked", "terminal", "block", AUTHOR, WHY), CardList("trusted", "card", "allow", AUTHOR, WHY))


class Change(NamedTuple):
    """A change in its topic: the next offset of one who has read it."""

    topic: str
    offset: int


class Writers(NamedTuple):
    """Of both topics."""

    rules: RuleWriter[RulesLog]
    lists: RuleWriter[ListsLog]


class Choices:
    """What the next change is, the same for the same seed."""

    def __init__(self, seed: int, terminals: Sequence[str], cards: Sequence[str]) -> None:
        self._random = random.Random(seed)
        self._values = {"terminal": terminals, "card": cards}

    def release(self, log: RulesLog) -> tuple[list[Rule], Release]:
        """New versions of some rules, and the release of them: one that alerts from an amount on, one that suppresses below another."""
        chance, choose = self._random.random, self._random.choice
        rules = [one for one in (self._large(log), self._small(log)) if chance() < 0.8]
        previous = log.in_force.name if log.in_force else None
        return rules, release_of(rules, AUTHOR, WHY, previous, choose(OWN_BANDS) if chance() < 0.3 else None)

    def _large(self, log: RulesLog) -> Rule:
        amount, action = self._random.randrange(220, 320), self._random.choice(ACTING)
        return Rule("large", _next(log, "large"), f"amount >= {amount}", "{amount}, large", "alert", AUTHOR, self._mode(), action)

    def _small(self, log: RulesLog) -> Rule:
        amount = self._random.randrange(5, 60)
        return Rule("small", _next(log, "small"), f"amount < {amount}", "{amount}, small", "suppress", AUTHOR, self._mode())

    def _mode(self) -> RuleMode:
        return "live" if self._random.random() < 0.8 else "shadow"

    def entries(self, log: ListsLog) -> ListChange:
        """A list that is not there yet; else values that are put on one, or taken off one that is full."""
        if missing := [one for one in LISTS if one.name not in log.lists.known]:
            return missing[0]
        chosen = self._random.choice(LISTS)
        if log.lists.count(chosen.name) >= MOST_LISTED:
            there = [entry.value for entry in log.lists.of(chosen.name)]
            return ListRemoval(chosen.name, tuple(self._random.sample(there, 5)), AUTHOR, WHY)
        values = self._random.sample(self._values[chosen.of], 2)
        return ListEntries(chosen.name, tuple(map(ListedValue, values)), AUTHOR, WHY)


def _next(log: RulesLog, code: str) -> int:
    return max(log.rules.get(code, {}), default=0) + 1


class Changer:
    """Changes rules and lists of a lane until it is cancelled. While Kafka is away nothing changes.

    Attributes:
        made: every change that was written, in order.
    """

    def __init__(self, kafka: str, settings: Settings, choices: Choices) -> None:
        self._options, self._settings, self._choices = {"bootstrap_servers": kafka}, settings, choices
        self._turn = asyncio.Event()
        self.made: list[Change] = []

    def now(self) -> None:
        """Change something at once, a release; it is under way when this returns."""
        self._turn.set()

    async def open(self) -> None:
        """The lists, and a first release."""
        async with self._writers() as writers:
            for _ in LISTS:
                await self._entries(writers.lists)
            await self._release(writers.rules)

    async def run(self, every_s: float = EVERY_S) -> None:
        """One change each `every_s`, a release and entries by turns."""
        while True:
            with suppress(FraudstreamError, KafkaError, OSError, TimeoutError):
                async with self._writers() as writers:
                    while True:
                        await self._release(writers.rules)
                        await self._wait(every_s)
                        if not self._turn.is_set():
                            await self._entries(writers.lists)
                            await self._wait(every_s)
                        self._turn.clear()
            await asyncio.sleep(every_s)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._turn.wait(), seconds)

    async def _release(self, writer: RuleWriter[RulesLog]) -> None:
        rules, release = self._choices.release(writer.log)
        await writer.write(map(msgspec.json.encode, rules))
        await writer.write([msgspec.json.encode(release)])
        self.made.append(Change("rules", writer.log.offset))

    async def _entries(self, writer: RuleWriter[ListsLog]) -> None:
        await writer.write([msgspec.json.encode(self._choices.entries(writer.log))])
        self.made.append(Change("lists", writer.log.offset))

    @asynccontextmanager
    async def _writers(self) -> AsyncIterator[Writers]:
        rules = RuleWriter.open(self._options, self._settings.rules_topic, RulesLog)
        lists = RuleWriter.open(self._options, self._settings.lists_topic, ListsLog)
        async with rules as of_rules, lists as of_lists:
            yield Writers(of_rules, of_lists)
