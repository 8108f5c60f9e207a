"""Payments that are asked about at the same time are read and decided together: most of what one costs is the same for twenty.

1. Each is decided as if it were alone: its rows are private copies, and what is counted in them is seen by no other.
2. A round takes what waits when it begins, up to `MOST`. While it is read and computed, and until `APART_S` after it began, the next one
   gathers; one that the store keeps waiting holds up nobody for longer than `LATE_S`.
3. Whose payment breaks the program is found by each alone: it fails, the others are answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stream_app.errors import AlreadyCounted, RecordError
from stream_app.messages.headers import OwnHeaders
from stream_app.messages.money import Money
from stream_app.messages.refusals import DeadLetterCode
from stream_app.messages.transaction import Transaction
from stream_app.scoring.decided_payments import DecidedPayments
from stream_app.scoring.decision import Verdict
from stream_app.scoring.intake import Decoded, Intake, merge_all
from stream_app.scoring.provenance import rules_header, seen_header
from stream_app.scoring.scorer import Scorer
from stream_app.scoring.state_reader import StateQuery, StateReader, StateSnapshot

MOST = 32
"""So many payments are read at once, each from every partition: the answer of the store stays below some megabytes."""
APART_S = 0.004
"""Who asks alone waits for nobody. Who asks within so long of the last round waits for the next: at 1,000 a second it has four payments in place of
one or two."""
LATE_S = 0.1

type _Request = tuple[Transaction, asyncio.Future[OwnDecision]]


class OwnDecision(NamedTuple):
    """One payment's within a round, see `DecidedPayments`; `n` is its number."""

    decided: DecidedPayments
    n: int

    @property
    def place(self) -> int:
        """Where it stands among the payments that got a decision.

        Raises:
            AlreadyCounted: if a worker has decided it.
            RecordError: if it is not scored: refunds and reversals.
        """
        places = self.decided.places(self.n)
        if places:
            return places[0]
        tx = self.decided.intake.payments.messages[self.n]
        if self.decided.duplicates(self.n):
            raise AlreadyCounted(f"transaction_id {tx.transaction_id!r} was counted on this card already: a worker has decided it.")
        raise RecordError(DeadLetterCode.UNKNOWN_VALUE, f"type {tx.type!r} is not scored: it gives money back.")

    def verdict(self) -> Verdict:
        """The decision; raises as `place` does."""
        return self.decided.verdict(self.place)

    def features(self) -> dict[str, float]:
        """What it was scored by; raises as `place` does."""
        return self.decided.features(self.place)

    def seen(self) -> OwnHeaders:
        """The headers that say how far the state, rules and lists were that it was decided by."""
        positions = self.decided.work.seen[self.n].positions
        of_state = () if positions is None else (seen_header(positions),)
        return (*of_state, *rules_header(self.decided.ruling.read))


class RequestRounds:
    """Gathers the payments that one process is asked about, by the rules above."""

    def __init__(self, scorer: Callable[[], Scorer], history: StateReader, money: Money) -> None:
        """Args: `scorer` is asked for each round, so that a model can change between two."""
        self._scorer = scorer
        self._history = history
        self._money = money
        self._waiting: deque[_Request] = deque()
        self._gathering = False
        self._turn = 0
        self._next_at = 0.0
        self._under_way: set[asyncio.Task[None]] = set()

    async def decide(self, tx: Transaction) -> OwnDecision:
        """What a worker would decide of a transaction now, with the history that it would see.

        Raises:
            Unavailable: if the store does not answer, or there is no model yet.
            Exception: whatever the payment brings about.
        """
        answer: asyncio.Future[OwnDecision] = asyncio.get_running_loop().create_future()
        self._waiting.append((tx, answer))
        self._begin()
        return await answer

    def _begin(self) -> None:
        """Begin the next round, once those who are about to run have asked, and the last one began long enough ago."""
        if self._waiting and not self._gathering:
            self._gathering = True
            loop = asyncio.get_running_loop()
            loop.call_at(max(self._next_at, loop.time()), self._begin_now)

    def _begin_now(self) -> None:
        taken = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
        task = asyncio.create_task(self._take([(tx, answer) for tx, answer in taken if not answer.done()]))
        self._under_way.add(task)
        loop = asyncio.get_running_loop()
        self._next_at = loop.time() + APART_S
        late = loop.call_later(LATE_S, self._next, self._turn)

        def done(task: asyncio.Task[None], turn: int = self._turn) -> None:
            late.cancel()
            self._under_way.discard(task)
            self._next(turn)

        task.add_done_callback(done)

    def _next(self, turn: int) -> None:
        """A turn is over: its round is done, or late."""
        if turn == self._turn:
            self._turn += 1
            self._gathering = False
            self._begin()

    async def _take(self, taken: Sequence[_Request]) -> None:
        if not taken:
            return
        try:
            scorer = self._scorer()
            intake = merge_all([(_alone(tx), Decoded.of_none()) for tx, _ in taken], self._money, self._history.entities)
            seen = await self._history.read([_query(intake, n) for n in range(len(taken))])
        except Exception as error:  # noqa: BLE001 - each of them says it
            for _, answer in taken:
                _tell(answer, error)
            return
        self._decide(scorer, intake, seen, taken)

    def _decide(self, scorer: Scorer, intake: Intake, seen: StateSnapshot, taken: Sequence[_Request]) -> None:
        try:
            decided = scorer.decisions(intake, seen.work)
        except Exception as error:  # noqa: BLE001 - rule 3
            if len(taken) == 1:
                _tell(taken[0][1], error)
                return
            for one in taken:
                task = asyncio.create_task(self._take([one]))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            return
        for n, (_, answer) in enumerate(taken):
            _tell(answer, OwnDecision(decided, n))


def _alone(tx: Transaction) -> Decoded[Transaction]:
    return Decoded([tx], [], [0], [tx.event_time], [])


def _query(intake: Intake, n: int) -> StateQuery:
    ids = tuple(names[run] for names, run in zip(intake.ids, intake.shares[n].ids, strict=True))
    return StateQuery(ids, intake.payments.messages[n].event_time)


def _tell(answer: asyncio.Future[OwnDecision], what: OwnDecision | Exception) -> None:
    """Who asked may have gone meanwhile."""
    if answer.done():
        return
    if isinstance(what, Exception):
        answer.set_exception(what)
    else:
        answer.set_result(what)
