"""A batch that fails for a reason nobody foresaw: again as a whole, then record by record, so that a record stops nothing but itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from loguru import logger

from stream_app.delivery.inbox import MicroBatch
from stream_app.errors import FraudstreamError, RecordError, Stop
from stream_app.messages.refusals import DeadLetterCode, shown

MOST_IN_A_ROW = 10
"""So many records that fail one after the other are not the records' fault."""


class FaultyRecords:
    """Takes batches through all steps; a record that fails by itself goes to the dead letters with what was raised."""

    def __init__(self, number: int, take: Callable[[MicroBatch], Awaitable[None]], forget: Callable[[], None]) -> None:
        """Take batches of partition `number`.

        Args:
            number: of the partition, for the log.
            take: takes a batch through all steps, or changes nothing that is kept.
            forget: drops what is remembered of the partition's state: a failure leaves it half changed.
        """
        self._number = number
        self._take = take
        self._forget = forget
        self._in_a_row = 0

    async def take(self, batch: MicroBatch) -> None:
        """Take a batch through.

        Raises:
            FraudstreamError: at once, but RecordError: it says what to do, and no record is at fault.
            Stop: where `MOST_IN_A_ROW` records failed.
        """
        error = await self._failure(batch)
        if error is None:
            self._in_a_row = 0
            return
        logger.opt(exception=None if isinstance(error, RecordError) else error).error(
            "Partition {}: a batch of {} records failed ({}). It is tried again, then record by record.",
            self._number,
            len(batch),
            _told(error),
        )
        if await self._failure(batch) is None:
            return
        for one in batch.singles():
            await self._take_alone(one)

    async def _take_alone(self, one: MicroBatch) -> None:
        error = await self._failure(one)
        if error is None:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        if self._in_a_row > MOST_IN_A_ROW:
            raise Stop(
                f"Partition {self._number}: {MOST_IN_A_ROW} records in a row failed ({_told(error)}); the fault is not theirs. They are in the "
                "dead letters. Mend what is said there; where nothing is, report this with the log above."
            ) from error
        kind, offset = ("transaction", one.payments.offset) if len(one.payments) else ("label", one.labels.offset)
        logger.error("Partition {}: the {} at offset {} goes to the dead letters: {}", self._number, kind, offset, _told(error))
        refusal = RecordError(DeadLetterCode.SCORING_FAILED, f"The record could not be scored: {_told(error)}.")
        await self._take(one.refused(error if isinstance(error, RecordError) else refusal))

    async def _failure(self, batch: MicroBatch) -> Exception | None:
        """What taking the batch raised, if it is a record's fault, or nobody's that we know."""
        try:
            await self._take(batch)
        except RecordError as error:
            self._forget()
            return error
        except FraudstreamError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass silently, nor stop the partition for one record
            self._forget()
            return error
        return None


def _told(error: Exception) -> str:
    return shown(str(error) if isinstance(error, RecordError) else f"{type(error).__name__}: {error}")
