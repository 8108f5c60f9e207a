"""`make bench-training`: what a large history costs to train on. Not a test: figures are of this machine, at rest.

1. simulate MILLIONS of transactions (10) over 183 days, in a process of its own;
2. `python -m training.train --no-register OPTIONS` on them, in another: seconds, and the most memory that it had.

The last line is one JSON object. It needs about 300 MB of disk for ten million.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EACH = 2 * 183
"""Payments of a customer over the whole time: two a day in the mean."""


def main() -> None:
    """Measure and print."""
    options = shlex.split(os.environ.get("OPTIONS") or "")
    customers = round(float(os.environ.get("MILLIONS") or 10) * 1e6 / EACH)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "history.parquet"
        size = ["--customers", str(customers), "--terminals", str(2 * customers)]
        _measured("stream_app.cli", "simulate", *size, "--out", str(data))
        print(json.dumps({"customers": customers, **_measured("training.train", "--data", str(data), "--no-register", *options)}))


def _measured(module: str, *arguments: str) -> dict[str, int]:
    """Run a module of ours to its end: seconds, and the most memory that its process had."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{module} ended with {os.waitstatus_to_exitcode(status)}; see above.")
    return {"seconds": round(time.perf_counter() - began), "peak_mb": used.ru_maxrss // 1024}


if __name__ == "__main__":
    main()
