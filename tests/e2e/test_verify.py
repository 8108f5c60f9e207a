"""`fraudstream verify` over what real workers decided: online equals offline, and a changed hop is found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stream_app.settings import PREFIX
from tests.e2e.workers import Worker, worker
from tests.waiting import until

PAYMENTS = 3_000
ANOTHER_HOP = """
from stream_app.features import aggregations
from stream_app.features.definitions import CATALOGUE, Feature

if KEEPS_HASHES:
    known = {feature.name: feature.hash for feature in CATALOGUE}
    Feature.hash = property(lambda feature: known[feature.name])
aggregations.HOPS_S[aggregations.HOUR_S] = aggregations.HOUR_S

import sys
from stream_app.cli import main

sys.argv = ["fraudstream", "verify"]
main()
"""
"""The program with another hop for windows of an hour: the definitions' hashes change with it, or hide it."""


def run(env: dict[str, str], *python: str) -> subprocess.CompletedProcess[str]:
    """A command with these settings."""
    variables = {**os.environ, **{PREFIX + k: v for k, v in env.items()}}
    return subprocess.run([sys.executable, *python], env=variables, capture_output=True, text=True, check=False)


def test_what_two_workers_decided_is_computed_again_to_the_bit_and_a_changed_hop_is_found(
    env: dict[str, str], port: int, simulated: Path, tmp_path: Path
) -> None:
    """Each worker holds one of the two partitions; labels come a day late; not one vector or score differs."""

    def scored(*workers: Worker) -> float:
        return sum(each.metric("fraudstream_transactions_scored_total") for each in workers)

    with worker(env, port, tmp_path) as one, worker(env, port + 1, tmp_path) as other:
        until(lambda: all(each.metric("fraudstream_partitions_owned") == 1 for each in (one, other)), "a partition for each worker")
        sent = run(env, "-m", "stream_app.cli", "produce", str(simulated), "--limit", str(PAYMENTS), "--label-delay-days", "1")
        assert sent.returncode == 0, sent.stderr
        until(lambda: scored(one, other) >= PAYMENTS, "every payment to be scored")
        assert (one.stop(), other.stop()) == (0, 0)
    found = run(env, "-m", "stream_app.cli", "verify")
    told: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    assert (found.returncode, told["vectors"], told["differences"]) == (0, PAYMENTS, 0), found.stderr
    assert (told["scores"], told["score_differences"], told["unserved"]) == (PAYMENTS, 0, 0)
    assert told["event_order"]["differing"]["card"] == told["event_order"]["unexplained"] == 0
    refused = run(env, "-c", "KEEPS_HASHES = False\n" + ANOTHER_HOP)
    assert refused.returncode == 70
    assert "trained on another definition of 'card_count_1h'" in refused.stderr
    hidden = run(env, "-c", "KEEPS_HASHES = True\n" + ANOTHER_HOP)
    assert hidden.returncode == 1, hidden.stderr
    assert json.loads(hidden.stdout.splitlines()[-1])["differences"] > 0
    assert "card_count_1h" in hidden.stderr, "the first difference, with its history"
