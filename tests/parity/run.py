"""`make parity`: online equals offline, to the bit, over a public history, with one worker and with three.

1. start Kafka, Redis and MLflow; train a model on the history;
2. for one worker, then for three, each in a process of its own: publish the first transactions in order of time, with the labels that
   become due, 7 days late; wait until every one is scored;
3. run `fraudstream verify`: every vector and score again, over the recorded order, then in pure order of event time.

The history is the Fraud Detection Handbook's, looked for beside the project; where it is missing, the project's own simulator makes one.
The last line is one JSON object. PARITY_TRANSACTIONS and PARITY_RATE change how many and how fast (0: at once).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from stream_app.settings import PREFIX
from tests.e2e.workers import Worker, servers_alone, worker
from tests.waiting import until

HANDBOOK = Path(__file__).parents[3] / "shared" / "data" / "handbook_raw.parquet"
TRANSACTIONS = int(os.environ.get("PARITY_TRANSACTIONS") or 300_000)
RATE = float(os.environ.get("PARITY_RATE") or 1000)
"""A second is two and a half hours of the Handbook's time: the faster, the farther apart partitions are read."""
PARTITIONS = 6
WORKERS = (1, 3)
PORT = 19480
WAIT_S = 300.0


def main() -> int:
    """All runs; the exit code."""
    for name in [n for n in os.environ if n.upper().startswith(PREFIX)]:
        del os.environ[name]
    with servers_alone() as (servers, home):
        result = measured(servers, home)
    print(json.dumps(result))  # noqa: T201 - the result
    return 0 if result["equal"] else 1


def measured(servers: dict[str, str], home: Path) -> dict[str, Any]:
    """Every run, and their sum."""
    file = history(servers, home)
    fraudstream(servers, "train", "--data", str(file), "--trees", "30")
    runs = [run(servers, home, file, workers) for workers in WORKERS]
    total = {name: sum(r[name] for r in runs) for name in ("vectors", "differences", "scores", "score_differences", "labels", "unserved")}
    alike = all(r["event_order"]["differing"]["card"] == r["event_order"]["unexplained"] == 0 for r in runs)
    complete = all(r["vectors"] == TRANSACTIONS for r in runs)
    equal = alike and complete and not total["differences"] and not total["score_differences"]
    labels_apart = sum(r["event_order"]["differing"]["label"] for r in runs)
    return {
        **total,
        "equal": equal,
        "label_in_event_order": labels_apart,
        "history": "handbook" if file == HANDBOOK else "simulated",
        "runs": runs,
    }


def history(servers: dict[str, str], home: Path) -> Path:
    """The file of transactions."""
    if HANDBOOK.is_file():
        return HANDBOOK
    say("The Handbook's transactions are not beside the project: simulated ones are taken.")
    file = home / "transactions.parquet"
    fraudstream(servers, "simulate", "--out", str(file), "--customers", "4990", "--terminals", "10000", "--days", "90")
    return file


def run(servers: dict[str, str], home: Path, file: Path, workers: int) -> dict[str, Any]:
    """Publish, score and verify with so many workers; what `verify` says."""
    names = ("TRANSACTIONS", "LABELS", "ALERTS", "SCORES", "TRANSACTIONS_DLQ", "LABELS_DLQ")
    env = {**servers, "CONSUMER_GROUP": f"parity-{workers}"} | {f"{n}_TOPIC": f"{n.lower()}-{workers}" for n in names}
    fraudstream(env, "topics", "--partitions", str(PARTITIONS))
    began = time.monotonic()
    with contextlib.ExitStack() as running:
        started = [running.enter_context(worker(env, PORT + n, home)) for n in range(workers)]
        until(lambda: held(started) == [PARTITIONS // workers] * workers, "every worker to hold its partitions", WAIT_S)
        pace = ("--rate", str(RATE)) if RATE else ()
        fraudstream(env, "produce", str(file), "--limit", str(TRANSACTIONS), "--label-delay-days", "7", *pace)
        until(lambda: scored(started) >= TRANSACTIONS, "every payment to be scored", WAIT_S)
        codes = [each.stop() for each in started]
    if any(codes):
        sys.exit(f"parity: workers ended with {codes}")
    replayed_s = time.monotonic() - began
    began = time.monotonic()
    found = json.loads(fraudstream(env, "verify").splitlines()[-1])
    return {"workers": workers, "replayed_s": round(replayed_s), "verified_s": round(time.monotonic() - began), **found}


def held(workers: list[Worker]) -> list[float]:
    """Partitions of each worker; fails where one ended."""
    return [each.metric("fraudstream_partitions_owned") if each.ready() else 0 for each in workers]


def scored(workers: list[Worker]) -> float:
    """Payments scored by all."""
    return sum(each.metric("fraudstream_transactions_scored_total") for each in workers)


def fraudstream(env: dict[str, str], *arguments: str) -> str:
    """What a command of ours printed; `verify` may end with 1, which its last line explains."""
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    ran = subprocess.run(
        [sys.executable, "-m", "stream_app.cli", *arguments],
        env=variables,
        check=arguments[0] != "verify",
        stdout=subprocess.PIPE,
        text=True,
    )
    say(ran.stdout.rstrip())
    return ran.stdout


def say(text: str) -> None:
    """Tell how far it is; the result alone goes to stdout."""
    if text:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - progress


if __name__ == "__main__":
    sys.exit(main())
