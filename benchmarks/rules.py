"""`make bench-rules`: what rules and lists cost. Not a test: figures are of this machine, at rest. BENCH_RULES_WORKER=no leaves out 5, BENCH_RULES_START=no
4; without servers there is neither.

1. rules: 0, 50, 200 and 1,000 live ones, all different, over micro-batches of 16, 100 and 500 payments: microseconds for a payment, all of it
   (columns, program, lists with power, who decides), and the longest batch; beside them a list with a million entries that blocks;
2. lists: megabytes that a million entries take in a process, microseconds for a look-up; seconds to write a checkpoint of them, and to start from
   it and a tail of 10,000 records of one change each;
3. binding: seconds to compile a release, off the live path;
4. a start from a topic with ten million entries of the past and one million that live, on a real Kafka: see `rules_start`;
5. a real worker with no rules, and with 0, 50, 200 and 1,000 beside a list of a million entries: payments scored a second, what that is of the worker
   without rules, how much later alerts are at p99, and megabytes: see `rules_worker`.

The last line is one JSON object; `missed` names what was measured and is more than it may be, and the exit code is 1 where anything is. What is left out is
not asked. Held are: megabytes of a million entries; seconds of a start; and of a worker with 200 rules and the list its share of the throughput, and what
it adds at p99.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from benchmarks import rules_start
from benchmarks.rules_start import resident_mb
from benchmarks.rules_worker import measured, narrow
from stream_app.features.kept import kept_features
from stream_app.messages.transaction import Transaction
from stream_app.rules.checkpoint import pieces_of
from stream_app.rules.columns import ScoredBatch
from stream_app.rules.lists import MAX_AT_ONCE, CardList, FieldTexts, ListedValue, ListEntries, Lists
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Rule, checked_rule
from stream_app.rules.topic_log import Restoration
from stream_app.rules.verdicts import RuleBook
from stream_app.rules.warm import warm

RULES, BATCHES = (0, 50, 200, 1_000), (16, 100, 500)
ENTRIES, TAIL = 1_000_000, 10_000
MOST_MB, MOST_START_S, LEAST_SHARE, MOST_ADDED_MS = 100, 10, 0.9, 2
HELD = "200"
"""The rules of the worker that is held to this."""
ROUNDS = 40
NOW_MS = 1_795_471_200_000
FEATURES = tuple(kept_features())


def main() -> int:
    """Measure and print; the exit code."""
    rng = random.Random(7)
    warm()
    before = resident_mb()
    lists, loaded_s = _timed(lambda: _lists(ENTRIES))
    result: dict[str, Any] = {"list_mb": round(resident_mb() - before, 1), "list_load_s": round(loaded_s, 2)}
    result["list_own_mb"] = round(lists.entries.nbytes / 1e6, 1)
    result["lookup_us"] = {count: round(_lookup_us(lists, rng, count), 2) for count in BATCHES}
    result |= _started(lists)
    rows = []
    for count in RULES:
        rules = [checked_rule(_rule(rng, n)) for n in range(count)]
        book, bound_s = _timed(lambda rules=rules: RuleBook(rules, lists, FEATURES))  # type: ignore[misc] # bound in the loop
        row = {"rules": count, "bind_s": round(bound_s, 3)}
        for size in BATCHES:
            row |= _measured(book, [_batch(rng, size) for _ in range(ROUNDS)])
        rows.append(row)
        print(row)
    result["rules"] = rows
    if os.environ.get("BENCH_RULES_START") != "no":
        result["kafka_start"] = rules_start.measured()
    if os.environ.get("BENCH_RULES_WORKER") != "no":
        live = [narrow(_rule(rng, n), rng) for n in range(max(RULES))]
        result["worker"] = measured({count: live[:count] for count in RULES}, ENTRIES)
    result["missed"] = missed(result)
    print(json.dumps(result))
    return 1 if result["missed"] else 0


def missed(result: Mapping[str, Any]) -> list[str]:
    """The figures of a result that are more, or less, than they may be."""
    wrong = {"list_mb": result["list_mb"] > MOST_MB}
    if "kafka_start" in result:
        wrong["start_s"] = result["kafka_start"]["start_s"] > MOST_START_S
    if "worker" in result:
        of = result["worker"][HELD]
        wrong |= {"throughput_share": of["throughput_share"] < LEAST_SHARE, "p99_added_ms": of["p99_added_ms"] > MOST_ADDED_MS}
    return [name for name, is_wrong in wrong.items() if is_wrong]


def _timed[T](make: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    made = make()
    return made, time.perf_counter() - began


def _lists(count: int) -> Lists:
    """One that blocks, with so many cards on it, and one that rules ask."""
    lists = Lists()
    lists.take(CardList("stolen", "card", "block", "ann", "measured"), NOW_MS)
    lists.take(CardList("watched", "terminal", "ask", "ann", "measured"), NOW_MS)
    lists.take(ListEntries("watched", tuple(ListedValue(f"term-{n}") for n in range(50)), "ann", "measured"), NOW_MS)
    for start in range(0, count, MAX_AT_ONCE):
        entries = tuple(ListedValue(f"card-{n:016x}", NOW_MS + 10**9 + n) for n in range(start, start + MAX_AT_ONCE))
        lists.take(ListEntries("stolen", entries, "ann", f"case {start}"), NOW_MS)
    return lists


def _started(lists: Lists) -> dict[str, float]:
    """Of a checkpoint of lists: how long it takes to write, its megabytes, and how long a start from it and a tail takes."""
    log = ListsLog()
    log.lists, log.offset = lists, 10 * TAIL
    pieces, wrote_s = _timed(lambda: list(pieces_of(log.records(0), "measured", log.offset, 0)))
    tail = [msgspec.json.encode(ListEntries("stolen", (ListedValue(f"late-{n}"),), "ann", "measured")) for n in range(TAIL)]

    def start() -> ListsLog:
        restoration = Restoration(ListsLog)
        for offset, piece in enumerate(pieces, log.offset):
            found = restoration.read(offset, piece)
        assert found is not None  # noqa: S101 - the last piece makes it whole
        for offset, value in enumerate(tail, log.offset + len(pieces)):
            found.apply(offset, value, NOW_MS)
        return found

    started, start_s = _timed(start)
    assert started.lists.count("stolen") == ENTRIES + TAIL  # noqa: S101 - what was measured is what was meant
    megabytes = sum(map(len, pieces)) / 1e6
    return {"checkpoint_write_s": round(wrote_s, 2), "checkpoint_mb": round(megabytes, 1), "start_s": round(start_s, 2)}


def _lookup_us(lists: Lists, rng: random.Random, count: int) -> float:
    times = np.full(count, NOW_MS)
    texts = [[f"card-{rng.randrange(100 * ENTRIES):016x}" for _ in range(count)] for _ in range(ROUNDS)]
    began = time.perf_counter()
    for values in texts:
        lists.held("stolen", "card_id", FieldTexts(values), times)
    return (time.perf_counter() - began) / ROUNDS / count * 1e6


def _rule(rng: random.Random, number: int) -> Rule:
    amount, count, score = rng.randrange(50, 900), rng.randrange(2, 9), rng.randrange(50, 99) / 100
    feature, other = rng.sample(FEATURES[3:40], 2)
    expression = rng.choice(
        [
            f'amount > {amount} and channel == "online" and card_declines_in_a_row >= {count}',
            f'score > {score} and not (country == "FR") and card_count_1h > {count}',
            f"(amount > {amount} or {feature} > {count}) and {other} < {amount} and terminal_id not in @watched",
            f'amount * 2 > {amount} + {feature} and channel in ("online", "moto") and hour(event_time) < {count}',
        ]
    )
    return Rule(f"r{number}", 1, expression, "Amount {amount}", "alert", "ann", "live", "review")


def _batch(rng: random.Random, size: int) -> ScoredBatch:
    payments = [_payment(rng, n) for n in range(size)]
    vectors = np.array(np.random.default_rng(size).random((size, len(FEATURES))) * 10, dtype=np.float32)
    money = np.array([p.amount for p in payments])
    scores = np.array([rng.random() for _ in payments], dtype=np.float32)
    return ScoredBatch(payments, money, vectors, scores, np.zeros(size, dtype=np.int8))


def _payment(rng: random.Random, number: int) -> Transaction:
    return Transaction(
        f"tx-{number}",
        NOW_MS + number,
        f"card-{rng.randrange(100 * ENTRIES):016x}",
        f"term-{rng.randrange(10_000)}",
        rng.randrange(100, 60_000) / 100,
        "EUR",
        country=rng.choice(["FR", "DE", "US"]),
        channel=rng.choice(["online", "chip", "atm"]),
        device_id=rng.choice([None, "dev-1", "dev-2"]),
        latitude=48.8,
        longitude=2.3,
    )


def _measured(book: RuleBook, batches: Sequence[ScoredBatch]) -> dict[str, float]:
    """Microseconds for a payment, and milliseconds of the slowest micro-batch."""
    book.verdicts(batches[0])
    took = [_timed(lambda batch=batch: book.verdicts(batch))[1] for batch in batches]  # type: ignore[misc] # bound in the loop
    size = len(batches[0])
    return {f"us_at_{size}": round(float(np.median(took)) / size * 1e6, 2), f"max_ms_at_{size}": round(max(took) * 1e3, 2)}


if __name__ == "__main__":
    sys.exit(main())
