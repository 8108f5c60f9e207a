"""Payments that are asked about at the same time: decided together, each as if it were alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from stream_app.errors import RecordError, Unavailable
from stream_app.features.compute import Rows, Vectors
from stream_app.features.entities import KEPT_BY_DEFAULT, KeptEntities
from stream_app.features.plan import catalogue_plan
from stream_app.messages.money import Money
from stream_app.messages.transaction import Transaction
from stream_app.scoring import request_rounds
from stream_app.scoring.ports import Ids, Scores, StateSeen, WorkingSet
from stream_app.scoring.publication import NO_OUTPUT
from stream_app.scoring.request_rounds import MOST, RequestRounds
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.state_reader import StateQuery, StateSnapshot
from tests.unit.scoring.test_scorer import START, FakeClock, FakeModel


@dataclass
class History:
    """See `state_reader.StateReader`: nothing is known. Its answers wait until they are let go, where it is closed."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    reads: list[int] = field(default_factory=list)
    times_ms: list[int | None] = field(default_factory=list)
    doubts: dict[str, str] = field(default_factory=dict)
    away: bool = False
    entities: KeptEntities = KEPT_BY_DEFAULT

    async def read(self, asked: Sequence[StateQuery]) -> StateSnapshot:
        """See `state_reader.StateReader`; `doubts` are by card."""
        self.reads.append(len(asked))
        self.times_ms += [query.at_ms for query in asked]
        await self.open.wait()
        if self.away:
            raise Unavailable("Redis did not answer.")
        plans = catalogue_plan().entities
        ids: Ids = tuple([name for query in asked for name in query.ids[n]] for n in range(len(plans)))
        rows = tuple(Rows.alone(np.zeros((len(w), p.layout.width), dtype=np.int64)) for w, p in zip(ids, plans, strict=True))
        seen = tuple(StateSeen(self.doubts.get(query.ids[0][0])) for query in asked)
        return StateSnapshot(WorkingSet(ids, rows, [""] * len(ids[0]), seen), (None,) * len(ids[0]), tuple((0,) * len(w) for w in ids))

    async def asked(self) -> None:
        """Return when it is asked for the first time."""
        while not self.reads:  # noqa: ASYNC110 - one loop, which this hands on
            await asyncio.sleep(0)

    async def close(self) -> None:
        """See `state_reader.StateReader`."""


class Breaks(FakeModel):
    """Breaks where an amount is 13."""

    def score(self, vectors: Vectors) -> Scores:
        """See `ports.Model`."""
        if 13 in vectors[:, 0]:
            raise ZeroDivisionError
        return super().score(vectors)


def paid(name: str, amount: float = 300.0, card: str = "c1", **more: Any) -> Transaction:
    """A payment at one terminal."""
    return Transaction(name, START, card, "t1", amount, "EUR", **more)


def rounds_of(history: History) -> RequestRounds:
    """Rounds of one process."""
    scorer = Scorer(Breaks(), Money("EUR"), NO_OUTPUT, FakeClock())
    return RequestRounds(lambda: scorer, history, Money("EUR"))


async def asked(rounds: RequestRounds, payments: Sequence[Transaction]) -> list[Any]:
    """What each that asks at the same time is told: its decision and features, or an error."""

    async def one(tx: Transaction) -> Any:
        own = await rounds.decide(tx)
        return own.verdict(), own.features()

    return await asyncio.gather(*map(one, payments), return_exceptions=True)


def test_those_that_ask_together_are_read_once_and_told_what_each_alone_is_told() -> None:
    """The same card, terminal and even transaction in one round: none sees what another counts."""

    async def body() -> None:
        history = History()
        history.open.set()
        payments = [paid("a"), paid("b", 950), paid("a"), paid("c", 5, "c2")]
        together = await asked(rounds_of(history), payments)
        assert (history.reads, history.times_ms) == ([4], [START] * 4), "windows must be full at the time of each"
        alone = [(await asked(rounds_of(history), [tx]))[0] for tx in payments]
        assert together == alone
        assert [round(verdict.score, 6) for verdict, _ in together] == [0.3, 0.95, 0.3, 0.005]

    asyncio.run(body())


def test_while_one_round_is_under_way_the_next_gathers() -> None:
    """The first goes at once; those that come while it waits are one round, no larger than is allowed."""

    async def body() -> None:
        history = History()
        rounds = rounds_of(history)
        first = asyncio.create_task(asked(rounds, [paid("a")]))
        await history.asked()
        rest = asyncio.create_task(asked(rounds, [paid(f"b{n}") for n in range(MOST + 3)]))
        for _ in range(10):
            await asyncio.sleep(0)
        assert history.reads == [1]
        history.open.set()
        answers = await first + await rest
        assert history.reads == [1, MOST, 3]
        assert all(not isinstance(answer, BaseException) for answer in answers)

    asyncio.run(body())


def test_who_asks_soon_after_a_round_waits_for_those_that_ask_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks first waits for nobody; two that ask one after the other once that is answered are one round."""
    monkeypatch.setattr(request_rounds, "APART_S", 0.3)

    async def body() -> None:
        history = History()
        history.open.set()
        rounds = rounds_of(history)
        began = asyncio.get_running_loop().time()
        await rounds.decide(paid("a"))
        second = asyncio.create_task(rounds.decide(paid("b")))
        for _ in range(10):
            await asyncio.sleep(0)
        assert history.reads == [1]
        await asyncio.gather(second, rounds.decide(paid("c")))
        assert history.reads == [1, 2]
        assert asyncio.get_running_loop().time() - began >= 0.3

    asyncio.run(body())


def test_a_round_that_the_store_keeps_waiting_holds_up_nobody_for_long() -> None:
    """The second is read while the first is still waited for."""

    async def body() -> None:
        history = History()
        rounds = rounds_of(history)
        first = asyncio.create_task(rounds.decide(paid("a")))
        await history.asked()
        second = asyncio.create_task(rounds.decide(paid("b")))
        async with asyncio.timeout(30):
            while history.reads != [1, 1]:  # noqa: ASYNC110 - it is time that brings it about
                await asyncio.sleep(0.01)
        assert not first.done()
        history.open.set()
        assert [own.decided.transaction(0).transaction_id for own in (await first, await second)] == ["a", "b"]

    asyncio.run(body())


def test_a_payment_that_breaks_the_program_fails_alone() -> None:
    """Its neighbours in the round are answered."""

    async def body() -> None:
        history = History()
        history.open.set()
        before, broken, after = await asked(rounds_of(history), [paid("a"), paid("b", 13), paid("c")])
        assert isinstance(broken, ZeroDivisionError)
        assert round(before[0].score, 6) == round(after[0].score, 6) == 0.3
        assert history.reads == [3, 1, 1, 1]

    asyncio.run(body())


def test_what_one_must_be_told_is_told_to_nobody_else() -> None:
    """State of its own that is not whole, and a refund that is not scored."""

    async def body() -> None:
        history = History(doubts={"c2": "being rebuilt"})
        history.open.set()
        whole, doubted, refund = await asked(rounds_of(history), [paid("a"), paid("b", card="c2"), paid("c", type="refund")])
        assert (whole[0].degraded, doubted[0].degraded) == (None, "being rebuilt")
        assert isinstance(refund, RecordError)
        assert history.reads == [3]

    asyncio.run(body())


def test_an_outage_is_told_to_all_and_the_next_round_asks_again() -> None:
    """Whoever asks when the store is back is answered."""

    async def body() -> None:
        history = History(away=True)
        history.open.set()
        rounds = rounds_of(history)
        assert [type(answer) for answer in await asked(rounds, [paid("a"), paid("b")])] == [Unavailable, Unavailable]
        history.away = False
        ((verdict, _),) = await asked(rounds, [paid("a")])
        assert round(verdict.score, 6) == 0.3

    asyncio.run(body())


def test_who_went_away_is_not_decided_for() -> None:
    """A request that ran out of time while it waited for its round takes no place in it."""

    async def body() -> None:
        history = History()
        rounds = rounds_of(history)
        first = asyncio.create_task(rounds.decide(paid("a")))
        await history.asked()
        gone, stays = (asyncio.create_task(rounds.decide(paid(name))) for name in "bc")
        await asyncio.sleep(0)
        gone.cancel()
        history.open.set()
        await asyncio.gather(first, stays)
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert history.reads == [1, 1]

    asyncio.run(body())
