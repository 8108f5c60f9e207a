"""Run in an environment that has confluent-kafka and nothing of ours: JSON Lines on stdin become records, their partitions and offsets are printed.

The first line holds librdkafka's settings and the topic, each other one a record: see `tests.foreign.Client.send`. Those of one partition are one
batch, as far as the settings let them. With a `transactional.id` among the settings they are one transaction; an empty line ends them, and the line after
it says how the transaction ends: commit, or abort.
"""

from __future__ import annotations

import base64
import json
import sys
from itertools import takewhile
from typing import Any

from confluent_kafka import Producer


def decoded(text: str | None) -> bytes | None:
    """Bytes of Base64; None stays None."""
    return None if text is None else base64.b64decode(text)


def main() -> None:
    """Send all, wait for all; the first that the broker refuses ends the program."""
    first, *lines = map(json.loads, takewhile(str.strip, sys.stdin))
    producer, placed = Producer(first["settings"]), [(-1, -1)] * len(lines)
    within = "transactional.id" in first["settings"]
    if within:
        producer.init_transactions(120)
        producer.begin_transaction()
    for number, line in enumerate(lines):

        def kept(error: Any, message: Any, number: int = number) -> None:
            if error is not None:
                sys.exit(f"record {number} was refused: {error}")
            placed[number] = message.partition(), message.offset()

        producer.produce(
            first["topic"],
            decoded(line["value"]),
            decoded(line["key"]),
            line["partition"],
            on_delivery=kept,
            timestamp=line["timestamp_ms"],
            headers=[(name, decoded(value)) for name, value in line["headers"]],
        )
    left = producer.flush(120)
    if left:
        sys.exit(f"{left} records were not acknowledged")
    print(json.dumps(placed), flush=True)  # noqa: T201 - the answer
    if within:
        end = producer.commit_transaction if sys.stdin.readline().strip() == "commit" else producer.abort_transaction
        end(120)


if __name__ == "__main__":
    main()
