"""What the worker could be held against at best: record batches decoded and acknowledged, without features, model, state or outputs.

`python -m benchmarks.no_state COUNT` reads the topic of transactions from its beginning, with the settings of a worker, and prints how many
a second it read, as JSON.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import faust

from stream_app.adapters.faust.batches import FetchedBatch, use_batches
from stream_app.adapters.faust.options import PlainWorker, faust_options
from stream_app.delivery.held_partitions import Seek
from stream_app.messages.records import Place
from stream_app.messages.transaction import Decoder, IntakeRules, Transaction
from stream_app.scoring.intake import decode_all
from stream_app.settings import Settings, load_settings


class Reader(faust.App):  # type: ignore[misc]
    """Reads so many transactions as a worker does, and stops."""

    def __init__(self, settings: Settings, count: int) -> None:
        super().__init__(**faust_options(settings))
        self._left = count
        self._began = 0.0
        self._decoder = Decoder(Transaction, IntakeRules())
        self.per_s = 0.0
        use_batches(self, self)
        self.agent(self.topic(settings.transactions_topic), sink=[])(self._subscribed)
        self._read = 0

    def taker(self, _topic: str, _partition: int) -> Reader:
        """See `batches.PartitionFlow`: there is always room."""
        return self

    def reached(self, _topic: str, _position: int) -> None:
        """Nothing waits for labels."""

    async def assign(self, assigned: set[Place], seek: Seek) -> Mapping[Place, int]:
        """See `batches.PartitionFlow`."""
        positions = dict.fromkeys(assigned, 0)
        await seek(positions)
        return positions

    def exit_code(self, code: Any) -> int:
        """See `PlainWorker`."""
        return int(code or 0)

    def deliver(self, _topic: str, fetched: FetchedBatch) -> None:
        """See `batches.PartitionFlow`: decode, and acknowledge."""
        self.decoded(decode_all(fetched.records, self._decoder, None).messages)
        fetched.done()
        if not self._began:
            self._began = time.perf_counter()  # from the first batch on: the group's start is not what is measured
            self._left -= len(fetched.records)
            return
        self._read += len(fetched.records)
        if self._read >= self._left and not self.per_s:
            self.per_s = self._read / (time.perf_counter() - self._began)
            signal.raise_signal(signal.SIGTERM)

    def decoded(self, payments: Sequence[Transaction]) -> None:
        """What is done with them: nothing here."""

    async def _subscribed(self, stream: Any) -> None:
        """The agent that Faust subscribes to the topic for. Records come by `deliver`, past its stream."""
        async for _ in stream:
            raise RuntimeError("Faust took a record through its stream: what is measured is not what a worker does.")


def main() -> None:
    """Read and print."""
    app = Reader(load_settings(), int(sys.argv[1]))
    try:
        PlainWorker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True).execute_from_commandline()
    except SystemExit:
        print(json.dumps({"per_s": round(app.per_s)}))


if __name__ == "__main__":
    main()
