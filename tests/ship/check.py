"""`make ship-check`: everything that ships, asked of the real tools; the last line is one JSON object.

    {"image": …, "compose": …, "helm": …, "terraform": …, "policies": …}

- `run`: built and run for real, and all checks passed;
- `checked`: looked at by its tools without being run, and all that could be asked passed;
- `skipped: why`: nothing of it could be asked;
- `failed: which test`: then the exit code is 1.

What else was skipped is told above, with the reason.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TOPICS = {"image": "run", "compose": "run", "helm": "checked", "terraform": "checked", "policies": "checked"}
"""What passing means. Neither a cluster nor an account of AWS is there: chart and Terraform are asked of their tools, not installed."""


@dataclass(slots=True)
class Outcomes:
    """A pytest plugin that keeps what became of each topic's tests."""

    passed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        topic = report.nodeid.partition("::")[0].rpartition("test_")[2].removesuffix(".py")
        if report.failed:
            self.failed.setdefault(topic, []).append(report.nodeid.rpartition("::")[2])
        elif report.skipped:
            self.skipped.setdefault(topic, []).append(_reason(report))
        elif report.when == "call":
            self.passed[topic] = self.passed.get(topic, 0) + 1

    def verdict(self, topic: str) -> str:
        """The topic's word in the last line."""
        if topic in self.failed:
            return f"failed: {self.failed[topic][0]}"
        if topic in self.passed:
            return TOPICS[topic]
        return f"skipped: {self.skipped.get(topic, ['no test of it was found'])[0]}"


def _reason(report: pytest.TestReport) -> str:
    where = report.longrepr
    return str(where[2]).removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)


def main(names: list[str]) -> int:
    """Ask all topics, or those that are named."""
    unknown = sorted(set(names) - TOPICS.keys())
    if unknown:
        sys.exit(f"ship-check: {unknown[0]!r} is none of {', '.join(TOPICS)}")
    os.environ["SHIP_CHECK"] = "1"
    wanted = names or list(TOPICS)
    outcomes = Outcomes()
    files = [str(ROOT / "tests" / "ship" / f"test_{topic}.py") for topic in wanted]
    pytest.main(["-v", "-rs", "--timeout=1800", "--override-ini=filterwarnings=error\ndefault::UserWarning", *files], plugins=[outcomes])
    verdicts = {topic: outcomes.verdict(topic) for topic in wanted}
    print(json.dumps(verdicts, ensure_ascii=False))  # noqa: T201 - the answer
    return int(any(v.startswith("failed") for v in verdicts.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
