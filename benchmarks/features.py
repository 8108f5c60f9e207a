"""`make bench-features`: what features cost, in training and in the stream. Not a test: figures are of this machine, at rest.

1. a history: the file named by HISTORY, or the book's generator at its own size (5,000 customers, 10,000 terminals, 183 days);
2. offline: features of all of it with the profile `velocity`, the time and the most memory that the process had;
3. the kernel alone, as the worker calls it, in batches of 1,000: microseconds for a transaction, all entities together;
4. packed: mean and largest bytes of the cards and terminals as that history leaves them, and the bound for any.

The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stream_app.features.compute import Events, Rows, compute
from stream_app.features.packing import Packer, largest_packed
from stream_app.features.plan import Plan, catalogue_plan
from training.data import backfill as training
from training.data.dataset import read_transactions
from training.data.simulate import Simulation, simulate

BATCH = 1_000


def main() -> None:
    """Measure and print."""
    history = os.environ.get("HISTORY")
    frame = read_transactions(Path(history)) if history else simulate(Simulation())
    result: dict[str, Any] = {"history": "file" if history else "simulated", "transactions": len(frame)}
    training.backfill(frame.iloc[:100])  # compiles
    result["read_mb"] = _peak_mb()
    began = time.perf_counter()
    features = training.backfill(frame)
    result |= {"features": len(features.features), "offline_s": round(time.perf_counter() - began, 2), "offline_peak_mb": _peak_mb()}
    del features
    plan = catalogue_plan()
    events, rows = _state(plan, frame)
    result["kernel_us"] = round(_in_batches(plan, events, rows), 2)
    result["packed"] = {entity.entity: _packed(entity.layout, of.own) for entity, of in zip(plan.entities, rows, strict=True)}
    print(json.dumps(result))


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _state(plan: Plan, frame: pd.DataFrame) -> tuple[Events, list[Rows]]:
    """The events of the history, and rows without a past."""
    replay, state = training.prepared(plan, frame, training.EUR)
    return replay.events(slice(None)), state


def _in_batches(plan: Plan, events: Events, rows: list[Rows]) -> float:
    """Microseconds for an event."""
    batches = [events.part(slice(start, start + BATCH)) for start in range(0, len(events.kinds), BATCH)]
    began = time.perf_counter()
    for batch in batches:
        compute(plan, batch, rows)
    return (time.perf_counter() - began) / len(events.kinds) * 1e6


def _packed(layout: Any, rows: Any) -> dict[str, int]:
    if not len(rows):
        return {"bound": largest_packed(layout)}
    sizes = [len(value) for value in Packer(layout).pack(rows, np.arange(len(rows)))]
    return {"mean": round(float(np.mean(sizes))), "largest": max(sizes), "bound": largest_packed(layout)}


if __name__ == "__main__":
    main()
