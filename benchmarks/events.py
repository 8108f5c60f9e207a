"""`make bench-events`: latency while things happen that happen: a worker joins, leaves or dies, a model changes, Redis restarts, state is rebuilt.

1. start Kafka, Redis and MLflow; train a forest of 100 trees; four partitions, 100,000 cards that have a history;
2. for each event a worker and RATE payments a second on an open-loop schedule, a ninth of them alerted; after CALM_S the event; payments go on
   for AFTER_S. From when a payment was due to the broker's time of its alert;
3. percentiles of the payments that were due before the event, and of those due within AFTER_S of it.

An event that cannot be measured is told, the others go on, and the exit code is 1. EVENTS_ONLY="Redis restarts,the model changes" takes these alone.
The last line is one JSON object; `python -m benchmarks.events_page FILE` writes the table of docs/performance.md from it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import redis

from benchmarks.bank import Bank, bank
from benchmarks.ground import fraudstream, scored
from benchmarks.kept import Kept, gone
from benchmarks.payments import Portfolio
from benchmarks.worker_runs import LOOK_EVERY_S, drained, percentiles
from stream_app.local.stack import LocalStack
from stream_app.local.watching import free_port
from tests.e2e.models import Shelf, metadata_of, variant
from tests.e2e.workers import Worker, servers_alone, worker
from tests.waiting import until

RATE = int(os.environ.get("EVENTS_RATE", "1000"))
ONLY = frozenset(filter(None, os.environ.get("EVENTS_ONLY", "").split(",")))
CARDS, HISTORY = (int(os.environ.get(f"EVENTS_{name}", few)) for name, few in (("CARDS", "100000"), ("HISTORY", "200000")))
CALM_S, AFTER_S = (int(os.environ.get(f"EVENTS_{name}_S", seconds)) for name, seconds in (("CALM", "15"), ("AFTER", "30")))
THRESHOLD = "0.02"
QUIET_S = 10
REBUILT = 0
DEADLINE_S = 300


def main() -> int:
    """Measure and print; the exit code."""
    if unknown := ONLY - set(EVENTS):
        sys.exit(f"EVENTS_ONLY = {', '.join(sorted(unknown))} is not measured here; there are {', '.join(EVENTS)}")
    with servers_alone() as (servers, home):
        kept = Kept("bench-events", partial(gone, home))
        result, code = kept.ended(_measured(servers, home, kept))
    print(json.dumps(result))
    return code


def _measured(servers: dict[str, str], home: Path, kept: Kept) -> dict[str, Any]:
    file = home / "transactions.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "4000", "--terminals", "8000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file), "--profile", "velocity")
    of = bank({**servers, "THRESHOLD": THRESHOLD}, home, Portfolio(CARDS), HISTORY)
    drained(of, HISTORY, {})
    steps = [(name, partial(_during, name, event, of)) for name, event in EVENTS.items() if not ONLY or name in ONLY]
    return {"rate": RATE, "cards": CARDS, "after_s": AFTER_S, "events": kept.of(steps)}


@dataclass(slots=True)
class Scene:
    """The bank and its workers, in the middle of a run; those that an event adds end with it."""

    of: Bank
    running: list[Worker]
    stack: ExitStack

    def joined(self) -> None:
        """One worker more."""
        self.running.append(self.stack.enter_context(worker(self.of.env, free_port(), self.of.home)))

    def shared(self) -> bool:
        """Whether all that run hold a share."""
        held = [one.metric("fraudstream_partitions_owned") for one in self.running]
        return sum(held) == self.of.partitions and min(held) > 0

    def scored(self) -> float:
        """Payments that the workers here have scored, each since it started."""
        return sum(scored(one) for one in self.running)


def _joins(scene: Scene) -> None:
    scene.joined()


def _leaves(scene: Scene) -> None:
    scene.running.pop().stop()


def _dies(scene: Scene) -> None:
    scene.running.pop().process.send_signal(signal.SIGKILL)


def _model_changes(scene: Scene) -> None:
    shelf = Shelf(scene.of.env["MLFLOW_TRACKING_URI"], "fraudstream")
    other = shelf.add(variant(shelf.content(), threshold=metadata_of(shelf.content()).threshold * 1.1))
    shelf.point("champion", other)


def _redis_restarts(scene: Scene) -> None:
    """Asked to end, it saves what it has."""
    stack = LocalStack(scene.of.home / ".fraudstream")
    server = psutil.Process(next(s.pid for s in stack.status() if s.service == "redis" and s.pid is not None))
    server.terminate()
    server.wait(DEADLINE_S)
    stack.up(["redis"])


def _partition_is_rebuilt(scene: Scene) -> None:
    """One of four loses its state: its payments wait, those of the others should not."""
    with redis.Redis.from_url(scene.of.env["REDIS_URL"]) as client:
        for key in client.scan_iter(match=f"{{{scene.of.env['CONSUMER_GROUP']}:{REBUILT}}}*", count=1000):
            client.unlink(key)


EVENTS: Mapping[str, Callable[[Scene], None]] = {
    "a second worker joins": _joins,
    "one of two workers is asked to end": _leaves,
    "one of two workers is killed": _dies,
    "the model changes": _model_changes,
    "Redis restarts": _redis_restarts,
    "one of four partitions is rebuilt": _partition_is_rebuilt,
}
_OF_TWO = frozenset({_leaves, _dies})


def _during(name: str, event: Callable[[Scene], None], of: Bank) -> dict[str, Any]:
    """One event: what it did to the payments that were due around it."""
    ids = f"event-{[*EVENTS].index(name)}"
    with ExitStack() as stack:
        scene = Scene(of, [], stack)
        for _ in range(2 if event in _OF_TWO else 1):
            scene.joined()
        until(lambda: all(one.ready() for one in scene.running) and scene.shared(), "the workers", DEADLINE_S)
        of.publish(10 * RATE, RATE, f"warm-{ids}")
        before = scene.scored()
        load = stack.enter_context(ThreadPoolExecutor(1)).submit(of.publish, (CALM_S + AFTER_S) * RATE, RATE, ids)
        until(lambda: scene.scored() - before >= CALM_S * RATE, "the calm before", DEADLINE_S, LOOK_EVERY_S)
        at_ms = time.time() * 1000
        event(scene)
        client = load.result()
        until(lambda: _quiet(of, ids), "the last alerts", DEADLINE_S, 1.0)
        for one in scene.running:
            one.stop()
    alerts = np.array(of.alerted(ids))
    told = {**_told(alerts, at_ms), "client": client}
    if event is _partition_is_rebuilt:
        told["other_partitions"] = _told(alerts[alerts[:, 2] != REBUILT], at_ms)
    print(f"bench-events: {name}: {told}", file=sys.stderr, flush=True)
    return told


def _quiet(of: Bank, ids: str) -> bool:
    """Whether the last alert of these payments is `QUIET_S` old: a ninth of `RATE` a second is alerted where any payment is scored."""
    return time.time() * 1000 - max(seen.due_ms + seen.late_ms for seen in of.alerted(ids)) > QUIET_S * 1_000


def _told(alerts: Any, at_ms: float) -> dict[str, Any]:
    """Of alerts [any, `AlertSeen`] around an event."""
    due_ms, late_ms, _ = alerts.T
    before = late_ms[due_ms < at_ms - 1_000]
    during = late_ms[(due_ms >= at_ms - 1_000) & (due_ms < at_ms + AFTER_S * 1_000)]
    return {
        "before": {**percentiles(before), "alerts": len(before)},
        "during": {**percentiles(during), "largest": round(float(during.max()), 1), "alerts": len(during)},
    }


if __name__ == "__main__":
    sys.exit(main())
