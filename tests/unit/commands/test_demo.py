"""The demo's figures, and what it refuses before it starts anything."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer
from rich.console import Console

from stream_app.commands.demo import DemoPart, DemoPlan, Played, _plan, _refuse_refusals, demo_command, summary
from stream_app.commands.demo_sandbox import HOME
from stream_app.commands.demo_worker import Counts, DemoWorker
from stream_app.errors import DataError, Stop
from stream_app.messages.transaction import PaymentKey

PAGE = """\
# HELP fraudstream_transactions_scored_total Payments that got a decision
fraudstream_transactions_scored_total 30.0
fraudstream_transactions_duplicate_total 2.0
fraudstream_transactions_credit_total 1.0
fraudstream_dead_letters_total{code="future"} 4.0
fraudstream_dead_letters_total{code="card_number"} 40.0
fraudstream_labels_total 5.0
fraudstream_alerts_total 3.0
"""
NOTHING = Counts(0, 0, 0, 0, 0, 0)


class Ended:
    """A worker's process that is gone."""

    returncode = 70

    def poll(self) -> int:
        """Its exit code."""
        return self.returncode


def lines(plan: DemoPlan, history: Played, live: Played) -> str:
    """The summary as it is shown."""
    console = Console(width=120)
    with console.capture() as shown:
        console.print(summary(plan, history, live))
    return shown.get()


def test_a_workers_page_is_read_by_what_became_of_each_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scored, repeated, credits and refused are counted apart; refusals are told by code, the most frequent first."""
    monkeypatch.setattr(httpx, "get", lambda _url: httpx.Response(200, text=PAGE))
    worker = DemoWorker(Any, "http://worker", Path("log"))  # type: ignore[arg-type]
    counts = worker.counts()
    assert counts == Counts(scored=30, repeated=2, credits=1, refused=44, labels=5, alerts=3)
    assert counts.decided == 77
    assert counts.since(Counts(10, 1, 0, 4, 0, 0)) == Counts(20, 1, 1, 40, 5, 3)
    assert worker.refusals() == "card_number 40, future 4"
    with pytest.raises(Stop, match=r"refused 44 of 77 records \(card_number 40, future 4\)"):
        _refuse_refusals(worker, counts)
    _refuse_refusals(worker, counts._replace(refused=33))


def test_a_worker_that_ended_is_told_with_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with a traceback of the HTTP client."""

    def refused(_url: str) -> httpx.Response:
        raise httpx.ConnectError("refused")

    monkeypatch.setattr(httpx, "get", refused)
    log = tmp_path / "worker.log"
    log.write_text("starting\nModel m version 1 is damaged.\n")
    worker = DemoWorker(Ended(), "http://worker", log)  # type: ignore[arg-type]
    for ask in (worker.counts, worker.ready):
        with pytest.raises(Stop, match=r"ended with 70: Model m version 1 is damaged\."):
            ask()


def test_the_summary_keeps_apart_what_became_of_the_payments() -> None:
    """Refused, repeated and refunds have rows of their own where there are any; recall is over what was sent, in the order sent."""
    part = DemoPart([PaymentKey("c", name) for name in "abcd"], np.array([True, False, True, True]))
    plan = DemoPlan(Path("file"), None, 0, 0, 100, part)
    history = Played(100, Counts(90, 4, 3, 3, 0, 0), 2.0, {})
    live = Played(
        3, Counts(3, 0, 0, 0, 0, 0), 1.5, {PaymentKey("c", "a"): 0.01, PaymentKey("c", "b"): 0.02, PaymentKey("another", "c"): 0.02}
    )
    told = " ".join(lines(plan, history, live).replace("│", " ").split())
    for row in (
        "history: scored 90 in 2.0 s: 50 transactions/s",
        "history: refused, in the dead letters 3",
        "history: repeated, not scored 4",
        "history: refunds, not scored 3",
        "live: scored 3 of 3 sent, in 1.5 s",
        "frauds among the sent 2",
        "33.3% of the alerts are frauds",
        "50.0% of the frauds are alerted",
    ):
        assert row in told
    assert "live: refused" not in told
    assert "alerted" not in lines(plan, history, Played(3, NOTHING._replace(scored=3), 1.5, {})).replace("are alerted", "")


def test_a_file_that_cannot_be_used_is_told_before_anything_is_started() -> None:
    """Not after the servers; what the demo before left is still there, and the user's environment is as it was."""
    environment = dict(os.environ)
    (HOME / "logs").mkdir(parents=True)
    with pytest.raises(DataError, match=r"missing\.csv is not there"):
        demo_command(data=Path("missing.csv"), rate=1500, most=100)
    assert [f.name for f in HOME.iterdir()] == ["logs"]
    assert dict(os.environ) == environment


def test_a_file_of_other_names_is_planned_by_its_mapping(tmp_path: Path) -> None:
    """Which train and produce are given too; without a file there is nothing to map."""
    path, mapping = tmp_path / "own.csv", tmp_path / "own.yml"
    rows = [f"{i},{1_514_764_800 + i * 7_200},c{i % 9},t,5.5,EUR,{int(i % 50 == 7)}\n" for i in range(12 * 80)]
    path.write_text("id,paid_at,pan,shop,value,cur,bad\n" + "".join(rows))
    columns = {"transaction_id": "id", "card_id": "pan", "terminal_id": "shop", "amount": "value", "currency": "cur", "is_fraud": "bad"}
    mapping.write_text(json.dumps({"columns": columns | {"event_time": {"path": "paid_at", "unit": "s"}}}))
    plan = _plan(path, mapping)
    assert (plan.history, len(plan.live.payments), plan.read_by) == (38 * 12, 7 * 12, ("--mapping", str(mapping)))
    with pytest.raises(typer.BadParameter, match="give that as --data"):
        demo_command(data=None, mapping=mapping, rate=1500, most=100)


def test_a_file_in_the_demos_own_folder_is_refused() -> None:
    """It would be deleted."""
    HOME.mkdir(parents=True)
    (HOME / "transactions.parquet").write_bytes(b"x")
    with pytest.raises(Stop, match="which every demo empties"):
        demo_command(data=HOME / "transactions.parquet", rate=1500, most=100)
    assert (HOME / "transactions.parquet").exists()


def test_a_second_demo_of_a_folder_is_refused() -> None:
    """It would end the servers of the first."""
    HOME.parent.mkdir(parents=True)
    with (HOME.parent / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Stop, match="Another demo runs"):
            demo_command(data=None, rate=1500, most=100)
