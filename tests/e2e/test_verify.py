"""`fraudstream verify` against what a real worker decided."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stream_app.adapters.kafka_options import client_options
from stream_app.audit.verification import Report, Verification
from stream_app.cli_produce import replay_of
from stream_app.cli_verify_read import Evidence, gathered
from stream_app.features import definitions
from stream_app.features.aggregations import HOUR_S
from stream_app.features.definitions import CATALOGUE
from stream_app.money import Money
from stream_app.produce import Pace, Tally, Topics, produce_to_kafka
from stream_app.settings import load_settings
from tests.e2e.workers import until, worker
from training.dataset import read_transactions

PAYMENTS = 3000


def verify(env: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, last line and what it told of a run of the command."""
    variables = {**os.environ, **{f"FRAUDSTREAM_{k}": v for k, v in env.items()}}
    command = [sys.executable, "-m", "stream_app.cli", "verify", *arguments]
    ran = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
    return ran.returncode, json.loads(ran.stdout.splitlines()[-1]) if ran.stdout else {}, ran.stderr


def vectors_again(evidence: Evidence) -> Report:
    """The vectors alone, with the features as they are defined now, whatever the hash that the model names them by."""
    defined = {f.name: f for f in CATALOGUE}
    features = {(d.model.name, d.model.version): [defined[name] for name in d.features] for d in evidence.decisions}
    return Verification(evidence.histories, {}, features, 100).run(evidence.decisions)


def test_a_real_worker_decides_as_the_kernel_does_offline(
    env: dict[str, str], port: int, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every vector and score of a replay with labels; then a changed hop makes the same comparison fail."""
    settings = load_settings(**{k.lower(): v for k, v in env.items()})
    replay = replay_of(read_transactions(simulated), limit=PAYMENTS)
    assert len(replay.label_times_ms) > 0
    topics = Topics(settings.transactions_topic, settings.labels_topic)
    with worker(env, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        asyncio.run(produce_to_kafka(replay, client_options(settings), topics, Pace(), Tally(), lambda _tally: None))
        until(lambda: running.metric("fraudstream_transactions_scored_total") == PAYMENTS, "every payment to be scored")
        assert running.stop() == 0, running.log.read_text()
    code, found, told = verify(env)
    assert code == 0, told
    assert (found["vectors"], found["differences"], found["scores"], found["score_differences"]) == (PAYMENTS, 0, PAYMENTS, 0)
    assert (found["apart"], found["unserved"], found["event_order"]["unexplained"]) == ({}, 0, 0)
    assert found["event_order"]["differing"]["card"] == 0

    evidence = asyncio.run(gathered(settings, Money("EUR"), (None, None)))
    assert vectors_again(evidence).differences == 0
    monkeypatch.setitem(definitions.HOPS_S, HOUR_S, 1800)
    assert vectors_again(evidence).differences > 0


def test_where_nothing_was_decided_it_says_so(env: dict[str, str]) -> None:
    """An empty topic of scores, or none at all, is no proof of anything."""
    code, found, told = verify(env)
    assert (code, found) == (65, {})
    assert "has no decision" in told
    code, found, told = verify({**env, "SCORES_TOPIC": ""})
    assert (code, found) == (78, {})
    assert "FRAUDSTREAM_SCORES_TOPIC" in told
