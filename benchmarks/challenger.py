"""`make bench-challenger`: what a challenger costs a worker, in CPU for each payment, with and without one in turns in one run.

1. start Kafka, Redis and MLflow; simulate; train a forest of 100 trees; the challenger is a second forest of the same size;
2. a worker, warmed up; then TURNS times: PAYMENTS without a challenger, and as many with one, each published at once;
3. the CPU seconds that the worker's process says it used, by the payments that it scored; medians.

The last line is one JSON object. The ratio is comparable between machines, the microseconds are not.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.ground import fraudstream, of_its_own, scored
from stream_app.local.watching import free_port
from tests.e2e.models import Shelf, metadata_of, variant
from tests.e2e.workers import Worker, servers_alone, worker
from tests.waiting import until

TURNS = int(os.environ.get("CHALLENGER_TURNS", "5"))
PAYMENTS = 15_000


def main() -> None:
    """Measure and print."""
    with servers_alone() as (servers, home):
        result = _measured(servers, home)
    print(json.dumps(result))


def _measured(servers: dict[str, str], home: Path) -> dict[str, Any]:
    file = home / "payments.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "1500", "--terminals", "3000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file), "--profile", "velocity")
    shelf = Shelf(servers["MLFLOW_TRACKING_URI"], "fraudstream")
    champion = shelf.content()
    challenger = shelf.add(variant(champion, threshold=metadata_of(champion).threshold * 1.2))
    history = pd.read_parquet(file)
    env = of_its_own(servers, "challenger")
    alone, with_one = list[float](), list[float]()
    with worker(env, free_port(), home) as running:
        until(running.ready, "the worker")
        _cpu_us(env, running, history.iloc[:PAYMENTS])
        for turn in range(TURNS):
            start = (1 + 2 * turn) * PAYMENTS
            alone.append(_cpu_us(env, running, history.iloc[start : start + PAYMENTS]))
            _changed(running, lambda: shelf.point("challenger", challenger))
            with_one.append(_cpu_us(env, running, history.iloc[start + PAYMENTS : start + 2 * PAYMENTS]))
            _changed(running, lambda: shelf.remove("challenger"))
        running.stop()
    without, with_ = statistics.median(alone), statistics.median(with_one)
    runs = {"alone_us_runs": [round(v, 1) for v in alone], "with_challenger_us_runs": [round(v, 1) for v in with_one]}
    return {
        "payments": PAYMENTS,
        "alone_us": round(without, 1),
        "with_challenger_us": round(with_, 1),
        "ratio": round(with_ / without, 3),
    } | runs


def _cpu_us(env: dict[str, str], running: Worker, payments: pd.DataFrame) -> float:
    """CPU of the worker for each of these payments, microseconds."""
    slice_ = running.log.parent / "slice.parquet"
    payments.to_parquet(slice_)
    before, cpu_s = scored(running), running.metric("process_cpu_seconds_total")
    fraudstream(env, "produce", str(slice_))
    until(lambda: scored(running) >= before + len(payments), "every payment to be scored", 120)
    return (running.metric("process_cpu_seconds_total") - cpu_s) / len(payments) * 1e6


def _changed(running: Worker, change: Callable[[], None]) -> None:
    """Move an alias, and wait until the worker follows."""
    before = running.metric("fraudstream_model_changes_total")
    change()
    until(lambda: running.metric("fraudstream_model_changes_total") > before, "the worker to follow the alias")


if __name__ == "__main__":
    main()
