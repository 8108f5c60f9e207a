"""What the API answered, published to a topic of its own beside the answer: what an authorisation was told, and by what, can be shown later.

1. Nobody waits for it: an answer is queued after it was given, and the queue is bounded in records and in bytes.
2. While Kafka is away the queue fills, and is published when it is back; what comes to a full queue is lost.
3. What Kafka refuses is lost: it is not tried again. Of some of which one is too large, each is tried by itself.
4. Whatever is lost is counted by its cause, and told, once for a while.
5. An answer whose acknowledgement did not come is published again: it may stand there twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice

import msgspec
from loguru import logger

from stream_app.errors import RecordError, Unavailable
from stream_app.messages.alert import AnsweredPayment
from stream_app.messages.records import Outgoing
from stream_app.scoring.observation import AnswersObserver, LostAnswer
from stream_app.scoring.online_scoring import Answered

MOST_RECORDS = 10_000
MOST_BYTES = 33_554_432
"""Of what waits, as JSON: as objects it is a few times that."""
AT_ONCE = 200
AGAIN_S = 1.0
CLOSE_WITHIN_S = 3.0
REMIND_S = 30.0

type AnswerTaker = Callable[[Answered, int], None]
"""Takes an answer that was given, and about how many bytes it has."""
type PublishAnswers = Callable[[Sequence[Outgoing]], Awaitable[None]]


def not_kept(answered: Answered, size: int) -> None:
    """Where answers are not published."""


class AnswerLog:
    """Publishes answers, by the rules above."""

    def __init__(self, topic: str, publish: PublishAnswers, observer: AnswersObserver, now: Callable[[], float] = time.monotonic) -> None:
        """Publish to a topic.

        Args:
            topic: its name.
            publish: returns when messages are acknowledged; raises Unavailable where that may come, another error where it will not.
            observer: told what became of them.
            now: seconds of a clock that only goes forward.
        """
        self._topic = topic
        self._publish = publish
        self._observer = observer
        self._now = now
        self._waiting: deque[tuple[Answered, int]] = deque()
        self._bytes = self._singly = 0
        self._came = asyncio.Event()
        self._losses, self._told_at = 0, -REMIND_S
        self._said = ""

    def take(self, answered: Answered, size: int) -> None:
        """Queue an answer of about so many bytes. Neither waits nor raises."""
        if len(self._waiting) >= MOST_RECORDS or self._bytes + size > MOST_BYTES:
            self._lose("full", 1, "too many wait to be published")
            return
        self._waiting.append((answered, size))
        self._bytes += size
        self._came.set()

    async def run(self) -> None:
        """Publish what comes until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                if not await self._publish_some():
                    await asyncio.sleep(AGAIN_S)

    async def close(self) -> None:
        """Publish what waits, for a bounded time; what is left is lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                while self._waiting and await self._publish_some():
                    pass
        if self._waiting:
            self._lose("stopped", len(self._waiting), "the process ends")
            self._done_with(len(self._waiting))

    async def _publish_some(self) -> bool:
        """Publish the first that wait; whether to go on at once. They wait, and count as such, until Kafka has them or never will."""
        some = [answered for answered, _ in islice(self._waiting, 1 if self._singly else AT_ONCE)]
        try:
            await self._publish([self._message(answered) for answered in some])
        except Unavailable as error:
            self._tell(f"Answers are not published now, and wait: {error}")
            return False
        except RecordError as error:
            if len(some) > 1:
                self._singly = len(some)
                return True
            self._lose("too_large", 1, error.message)
        except Exception as error:  # noqa: BLE001 - whatever it is: the next ones are tried
            self._lose("refused", len(some), str(error) or type(error).__name__)
            self._done_with(len(some))
            return False
        else:
            self._observer.answers_published(len(some))
            self._said = ""
        self._done_with(len(some))
        return True

    def _message(self, answered: Answered) -> Outgoing:
        payment, decision, seen = answered
        fields = msgspec.structs.asdict(payment) | msgspec.structs.asdict(decision)
        value = msgspec.json.encode(AnsweredPayment(**fields))
        return Outgoing(self._topic, payment.card_id.encode(), value, seen, at_ms=decision.scored_at)

    def _done_with(self, count: int) -> None:
        self._singly = max(0, self._singly - count)
        for _ in range(count):
            self._bytes -= self._waiting.popleft()[1]

    def _lose(self, why: LostAnswer, count: int, told: str) -> None:
        self._observer.answers_lost(why, count)
        self._losses += count
        if self._now() - self._told_at >= REMIND_S:
            self._told_at = self._now()
            logger.error("{} answers were given and are not published to topic {!r}: {}", self._losses, self._topic, told)
            self._losses = 0

    def _tell(self, text: str) -> None:
        if self._said != text:
            self._said = text
            logger.warning("{}", text)
