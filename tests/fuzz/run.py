"""`make fuzz`: the tests of this folder again and again, with other examples each time, ten minutes each.

    MINUTES=N       for each file, 10 by default
    FUZZ_ONLY=a,b   these alone: decoder, packed_state, published, requests, rule_requests

What fails is shown by Hypothesis, shrunk; put it into the test as an `@example`. Ends with one JSON object; the exit code is 0 where nothing failed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TARGETS = tuple(sorted(file.stem.removeprefix("test_") for file in HERE.glob("test_*.py")))
LONGEST_S = 1_800
_PASSING = re.compile(r"(\d+) passing, ")


def fuzz(target: str, seconds: float) -> dict[str, Any]:
    """Run one file until its time is over, or it fails: how many examples it took."""
    began, examples, failed = time.monotonic(), 0, False
    while not failed and time.monotonic() - began < seconds:
        options = [f"--hypothesis-seed={secrets.randbelow(2**32)}", "--hypothesis-show-statistics", f"--timeout={LONGEST_S}"]
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", f"tests/fuzz/test_{target}.py", *options],
            cwd=ROOT, env=os.environ | {"HYPOTHESIS_PROFILE": "thorough"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        examples += sum(int(count) for count in _PASSING.findall(ran.stdout))
        failed = ran.returncode != 0
        if failed:
            print(ran.stdout + ran.stderr, flush=True)  # noqa: T201 - what was found
    return {"examples": examples, "minutes": round((time.monotonic() - began) / 60, 1), "failed": failed}


def main() -> int:
    """Every target; the exit code."""
    only = [name for name in os.environ.get("FUZZ_ONLY", "").split(",") if name]
    if unknown := [name for name in only if name not in TARGETS]:
        sys.exit(f"FUZZ_ONLY = {unknown[0]!r} is nothing to fuzz; there are {', '.join(TARGETS)}")
    results = {target: fuzz(target, 60 * float(os.environ.get("MINUTES") or 10)) for target in only or TARGETS}
    print(json.dumps(results), flush=True)  # noqa: T201 - the result
    return 1 if any(result["failed"] for result in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
