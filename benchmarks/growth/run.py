"""`make bench-growth`: how cost grows. What each payment costs, one thing changed at a time, and what the stores take for it.

1. start Kafka, Redis and MLflow; train models of each profile and of several sizes on simulated payments;
2. the middle of all: 100,000 cards, four partitions, `velocity`, 100 trees, one worker, alerts alone. Then cards, partitions, workers, features,
   trees, and what is published are changed, one at a time. Of each: RUNS backlogs of BENCH_TRANSACTIONS payments, medians;
3. cards whose windows are full: 10,000 of them pay for 40 days, at a tenth as many terminals. Their bytes in Redis, and in Kafka by topic.

With 5 million cards most have paid once or never when they are measured: their state is read, but is smaller than after 40 days. Two cores are
shared by all, so that workers beside one another add no throughput here: what counts is CPU of a payment. GROWTH_ONLY=cards,trees measures
these alone; GROWTH_SCALE=0.01 takes a hundredth of the cards, to see that every step comes to its end. A step that fails is told, the others
go on, and the exit code is 1; its curve can be measured alone afterwards. The last line is one JSON object; `python -m benchmarks.growth.page
FILE ...` writes docs/sizing.md's tables and chart from it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.bank import PARTITIONS, Bank, bank
from benchmarks.ground import fraudstream
from benchmarks.growth.stores import kafka_bytes, keys_read, redis_keys
from benchmarks.kept import Kept, Step, gone
from benchmarks.payments import PER_CARD_AND_DAY, Portfolio
from benchmarks.worker_runs import Drain, drained, drained_by, told
from stream_app.features.entities import SHARED
from stream_app.local.stack import LocalStack
from tests.e2e.workers import servers_alone

RUNS = int(os.environ.get("BENCH_RUNS", "3"))
TRANSACTIONS = int(os.environ.get("BENCH_TRANSACTIONS", "100000"))
ONLY = frozenset(filter(None, os.environ.get("GROWTH_ONLY", "").split(",")))
SCALE = float(os.environ.get("GROWTH_SCALE", "1"))
CARDS, MIDDLE = tuple(int(cards * SCALE) for cards in (10_000, 1_000_000, 5_000_000)), int(100_000 * SCALE)
PARTITION_COUNTS = (1, 16, 32)
WORKERS = (1, 2, 3)
PROFILES = {"handbook": {}, "payments": {"ENTITIES": ",".join(SHARED)}}
"""And what state each needs beside that of every worker. These payments name no merchant, category or address: what theirs costs is not in it."""
TREES = (25, 400)
PUBLISHED = {
    "1 in 9 payments alerted": {"THRESHOLD": "0.02"},
    "every payment alerted": {"THRESHOLD": "0"},
    "scores of all, beside alerts": {"SCORES_TOPIC": "scores-of-growth"},
}
MOST_POINTS = 20
"""So many points of `RUNS` backlogs one bank can pay, and none is dated later than now, which workers refuse."""
FULL_CARDS, FULL_TERMINALS, FULL_DAYS = int(10_000 * SCALE), int(1_000 * SCALE), 40
"""Windows are full after 30 days, and retention of the topics is 40."""


def main() -> int:
    """Measure and print; the exit code."""
    if unknown := ONLY - set(Growth.DIMENSIONS):
        sys.exit(f"GROWTH_ONLY = {', '.join(sorted(unknown))} is not measured here; there are {', '.join(Growth.DIMENSIONS)}")
    with servers_alone() as (servers, home):
        kept = Kept("bench-growth", partial(gone, home))
        result, code = kept.ended(Growth(servers, home, kept).measured())
    print(json.dumps(result))
    return code


@dataclass(slots=True)
class Growth:
    """One stack, and the curves measured on it."""

    servers: dict[str, str]
    home: Path
    kept: Kept
    history: Path = field(init=False)

    def measured(self) -> dict[str, Any]:
        """Every curve, by what is changed."""
        self.history = self.home / "transactions.parquet"
        who = ["--customers", "4000", "--terminals", "8000"] if SCALE >= 1 else ["--customers", "800", "--terminals", "1600"]
        fraudstream(self.servers, "simulate", "--out", str(self.history), "--days", "80", *who)
        self._train("velocity")
        middle = self._bank(MIDDLE, PARTITIONS)
        at_the_middle = self._point("middle", middle)
        curves = {name: steps for name, steps in self.DIMENSIONS.items() if not ONLY or name in ONLY}
        return {
            "middle": {"cards": MIDDLE, "partitions": PARTITIONS, "profile": "velocity", "trees": 100, **at_the_middle},
            **{name: self.kept.of(steps(self, middle), name) for name, steps in curves.items()},
        }

    def _train(self, profile: str, *options: str) -> None:
        fraudstream(self.servers, "train", "--data", str(self.history), "--profile", profile, *options)

    def _bank(self, cards: int, partitions: int) -> Bank:
        """A bank whose cards have a history: one payment each, and no fewer than a run has."""
        history = max(cards, TRANSACTIONS)
        of = bank(self.servers, self.home, Portfolio(cards), history + MOST_POINTS * RUNS * TRANSACTIONS, partitions)
        drained(of, history, {})
        return of

    def _point(self, name: str, of: Bank, drain: Callable[[Bank, int, Mapping[str, int]], Drain] = drained) -> dict[str, Any]:
        """One point: medians of several backlogs, and how many keys of Redis a payment reads."""
        pids = {s.service: s.pid for s in LocalStack(self.home / ".fraudstream").status() if s.pid is not None}
        before = keys_read(self.servers["REDIS_URL"])
        runs = [drain(of, TRANSACTIONS, {"redis": pids["redis"], "broker": pids["kafka"]}) for _ in range(RUNS)]
        read = keys_read(self.servers["REDIS_URL"]) - before
        point = {**told(runs), "keys_read": round(read / (RUNS * TRANSACTIONS), 2)}
        print(f"bench-growth: {name}: {point}", file=sys.stderr, flush=True)
        return point

    def _cards(self, _: Bank) -> Iterator[Step]:
        for n in CARDS:
            yield str(n), partial(self._of_bank, f"{n} cards", n, PARTITIONS)

    def _partitions(self, _: Bank) -> Iterator[Step]:
        for n in PARTITION_COUNTS:
            yield str(n), partial(self._of_bank, f"{n} partitions", MIDDLE, n)

    def _of_bank(self, name: str, cards: int, partitions: int) -> dict[str, Any]:
        return self._point(name, self._bank(cards, partitions))

    def _workers(self, middle: Bank) -> Iterator[Step]:
        for n in WORKERS:
            yield str(n), partial(self._point, f"{n} workers", middle, partial(drained_by, n))

    def _features(self, middle: Bank) -> Iterator[Step]:
        for profile, needed in PROFILES.items():
            yield profile, partial(self._with_model, profile, middle, profile, needed)

    def _trees(self, middle: Bank) -> Iterator[Step]:
        for trees in TREES:
            yield str(trees), partial(self._with_model, f"{trees} trees", middle, "velocity", {}, "--trees", str(trees))

    def _with_model(self, name: str, middle: Bank, profile: str, needed: Mapping[str, str], *options: str) -> dict[str, Any]:
        model = f"growth-{name.replace(' ', '-')}"
        self._train(profile, "--model-name", model, *options)
        return self._with(name, middle, {"MODEL_NAME": model, **needed})

    def _published(self, middle: Bank) -> Iterator[Step]:
        for name, changed in PUBLISHED.items():
            yield name, partial(self._with, name, middle, changed)

    def _with(self, name: str, middle: Bank, changed: Mapping[str, str]) -> dict[str, Any]:
        """The middle bank with other settings of the worker; it pays on from where it was."""
        of = replace(middle, env={**middle.env, **changed})
        try:
            fraudstream(dict(of.env), "topics", "--partitions", str(of.partitions))
            if "ENTITIES" in changed:
                drained(of, TRANSACTIONS, {})  # not measured: state of the others is made first
            return self._point(name, of)
        finally:
            middle.sent, middle.at_ms = of.sent, of.at_ms

    def _full(self, _: Bank) -> Iterator[Step]:
        """What cards take whose windows are full: in few partitions, and in many, where a terminal has a part in each."""
        for n in (PARTITIONS, max(PARTITION_COUNTS)):
            yield str(n), partial(self._full_in, n)

    def _full_in(self, partitions: int) -> dict[str, Any]:
        payments = int(FULL_CARDS * FULL_DAYS * PER_CARD_AND_DAY)
        of = bank(self.servers, self.home, Portfolio(FULL_CARDS, FULL_TERMINALS), payments, partitions, "full")
        of = replace(of, env={**of.env, "SCORES_TOPIC": f"scores-full-{partitions}"})
        fraudstream(dict(of.env), "topics", "--partitions", str(of.partitions))
        drained(of, payments, {})
        topics = {name.lower(): of.env[f"{name}_TOPIC"] for name in ("TRANSACTIONS", "ALERTS", "SCORES")}
        redis = redis_keys(self.servers["REDIS_URL"], of.env["CONSUMER_GROUP"])
        point = {
            "cards": FULL_CARDS,
            "payments": payments,
            "redis": {entity: {"keys": keys, "bytes_a_key": size} for entity, (keys, size) in redis.items()},
            "kafka_bytes_a_payment": {
                name: round(kafka_bytes(self.home / ".fraudstream", topic) / payments, 1) for name, topic in topics.items()
            },
        }
        print(f"bench-growth: windows full, {partitions} partitions: {point}", file=sys.stderr, flush=True)
        return point

    DIMENSIONS: ClassVar = {
        "cards": _cards, "partitions": _partitions, "workers": _workers, "features": _features, "trees": _trees, "published": _published,
        "full": _full,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
