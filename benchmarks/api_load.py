"""`make api-load`: the API under load on this machine, over state that a real worker wrote.

1. start Kafka, Redis and MLflow; simulate; train a forest of 100 trees; a worker takes PAYMENTS into four partitions, and goes on running;
2. start the API; time until it is ready;
3. open loop at OFFERED requests a second for SECONDS: transactions to score, feature vectors, cards. A request's time is counted from when
   it was due, so that a queue shows;
4. batches of 1,000 rows, one after the other.

The last line is one JSON object. Client, API, worker and servers share the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import numpy as np
import pandas as pd

from benchmarks.ground import fraudstream, of_its_own, scored
from stream_app.local.stack import LocalStack
from tests.e2e.api_server import api_server
from tests.e2e.workers import worker
from tests.waiting import until

OFFERED = float(os.environ.get("API_OFFERED", "500"))
SECONDS = float(os.environ.get("API_SECONDS", "30"))
PAYMENTS = 20_000
BATCHES, ROWS = 20, 1000
WARM_UP_S = 3.0


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.chdir(home)
        stack = LocalStack(home / ".fraudstream")
        addresses = stack.up()
        servers = {"KAFKA_BOOTSTRAP_SERVERS": addresses.kafka, "REDIS_URL": addresses.redis, "MLFLOW_TRACKING_URI": addresses.mlflow}
        try:
            result = _measured(servers, home)
        finally:
            stack.down()
    print(json.dumps(result))


def _measured(servers: dict[str, str], home: Path) -> dict[str, Any]:
    file = home / "payments.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "2000", "--terminals", "4000", "--days", "80")
    fraudstream(servers, "train", "--data", str(file), "--profile", "velocity")
    env = of_its_own(servers, "api-load")
    fraudstream(env, "produce", str(file), "--limit", str(PAYMENTS))
    with worker(env, 19_465, home) as running:
        until(lambda: scored(running) >= PAYMENTS, "the worker to have counted all payments", 300)
        began = time.perf_counter()
        with api_server(env, 18_081, home) as api:
            ready_s = time.perf_counter() - began
            names = [f["name"] for f in httpx.get(f"{api.url}/v1/model").json()["features"]]
            asks = _asks(file, names)
            asyncio.run(_load(api.url, asks, WARM_UP_S))
            loaded = asyncio.run(_load(api.url, asks, SECONDS))
            rows_per_s = _batches(api.url, names)
    return {**loaded, "offered_per_s": OFFERED, "ready_s": round(ready_s, 1), "batch_rows_per_s": rows_per_s}


type Ask = tuple[str, str, Any]


def _asks(file: Path, names: list[str]) -> list[Ask]:
    """What is asked for, in turn: eight transactions that the worker has not seen, a feature vector, a card."""
    later = pd.read_parquet(file).iloc[PAYMENTS : PAYMENTS + 4000]
    asks: list[Ask] = []
    for n, row in enumerate(later.itertuples()):
        tx: Mapping[str, Any] = {
            "transaction_id": f"load-{n}",
            "event_time": int(row.event_time),  # type: ignore[arg-type]
            "card_id": str(row.card_id),
            "terminal_id": str(row.terminal_id),
            "amount": float(row.amount),  # type: ignore[arg-type]
            "currency": "EUR",
        }
        asks.append(("POST", "/v1/score", tx))
        if n % 8 == 0:
            asks += [("POST", "/predict_one", {"features": dict.fromkeys(names, 1.0)}), ("GET", f"/v1/cards/{row.card_id}", None)]
    return asks


async def _load(url: str, asks: list[Ask], seconds: float) -> dict[str, Any]:
    """Requests on their schedule, whatever the answers take; every answer but 200 and a card's 404 is an error, told by its kind."""
    taken_s: list[float] = []
    errors = Counter[str]()
    count = int(OFFERED * seconds)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as group:
        start = time.perf_counter() + 0.1

        async def once(n: int) -> None:
            method, path, body = asks[n % len(asks)]
            try:
                async with session.request(method, url + path, json=body) as answer:
                    await answer.read()
                    if answer.status != httpx.codes.OK and not (method == "GET" and answer.status == httpx.codes.NOT_FOUND):
                        errors[str(answer.status)] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                errors[type(error).__name__] += 1
            taken_s.append(time.perf_counter() - start - n / OFFERED)

        for n in range(count):
            await asyncio.sleep(max(0.0, start + n / OFFERED - time.perf_counter()))
            group.create_task(once(n))
    p50, p99, p999 = (round(float(p) * 1000, 1) for p in np.percentile(taken_s, [50, 99, 99.9]))
    told = {"requests": count, "errors": errors.total(), "p99_ms": p99, "p50_ms": p50, "p99.9_ms": p999}
    return told | ({"errors_by_kind": dict(errors)} if errors else {})


def _batches(url: str, names: list[str]) -> int:
    rows = [{name: float(n % 97) for name in names} for n in range(ROWS)]
    with httpx.Client(timeout=30) as client:
        began = time.perf_counter()
        for _ in range(BATCHES):
            client.post(f"{url}/predict_batch", json={"rows": rows}).raise_for_status()
        return round(BATCHES * ROWS / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
