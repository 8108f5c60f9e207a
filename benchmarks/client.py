"""Run in an environment that has confluent-kafka and nothing of ours: publishes payments at their intended times, whatever the broker does.

    python client.py '{"brokers": …, "topic": …, "file": …, "rate": …, "start_ms": …, "apart_ms": …, "name": …}'

Each line of the file is a key, a tab, and a payment without id and time. With rate 0 all is sent at once, the n-th dated start_ms + n * apart_ms.
Else the n-th is due n / rate seconds after the first; that is its event time and Kafka timestamp, and its id holds it in microseconds. A
payment that is sent late keeps the time at which it was due. Prints its own cost and how late it was, as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

_LEAD_S = 1.0
_TICK_S = 0.0002
"""Nothing is looked at more often: a client that is woken for each payment and each answer took more of the machine than the worker it measures."""
_WAITING = 200_000


class Client:
    """Sends the payments of one plan."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan, self._rate = plan, plan["rate"]
        self._late_s: list[float] = []
        self._refused: list[object] = []
        self._producer = Producer({
            "bootstrap.servers": plan["brokers"], "partitioner": "murmur2_random", "linger.ms": 1 if self._rate else 50, "acks": "all",
            "enable.idempotence": True, "delivery.report.only.error": True,
            "queue.buffering.max.messages": _WAITING,
        })  # fmt: skip

    def run(self) -> dict[str, Any]:
        """Send all, wait for all; its own cost."""
        used, sent = _cpu_s(), 0
        name = self._plan["name"].encode()
        for sent, (due_s, line) in enumerate(self._due(), 1):
            key, rest = line.rstrip(b"\n").split(b"\t", 1)
            value = b'{"transaction_id":"%s-%d-%d","event_time":%d,%s' % (name, due_s * 1e6, sent, due_s * 1000, rest)
            self._send(key, value, due_s if self._rate else time.time())
        left = self._producer.flush(300)
        if left or self._refused:
            sys.exit(f"{left} payments were not acknowledged, {len(self._refused)} refused: {self._refused[:1]}")
        self._late_s.sort()
        late_ms = round(self._late_s[int(len(self._late_s) * 0.99)] * 1000, 2) if self._late_s else None
        return {"sent": sent, "cpu_us": round((_cpu_s() - used) / sent * 1e6, 1), "late_p99_ms": late_ms}

    def _due(self) -> Iterator[tuple[float, bytes]]:
        """Each line when it is due, and that time, Unix s."""
        began_s, plan = time.time() + _LEAD_S, self._plan
        while self._rate and time.time() < began_s:
            self._producer.poll(0.01)  # connected before the first is due
        with Path(plan["file"]).open("rb") as lines:
            for n, line in enumerate(lines):
                if not self._rate:
                    yield (plan["start_ms"] + n * plan["apart_ms"]) / 1000, line
                    continue
                due_s = began_s + n / self._rate
                while (wait_s := due_s - time.time()) > 0:
                    self._producer.poll(0)
                    time.sleep(max(wait_s, _TICK_S))
                self._late_s.append(time.time() - due_s)
                yield due_s, line

    def _send(self, key: bytes, value: bytes, at_s: float) -> None:
        while True:
            try:
                self._producer.produce(self._plan["topic"], value, key, on_delivery=self._told, timestamp=int(at_s * 1000))
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _told(self, error: object, _: object) -> None:
        if error is not None:
            self._refused.append(error)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    json.dump(Client(json.loads(sys.argv[1])).run(), sys.stdout)
