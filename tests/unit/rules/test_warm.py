"""Compiling ahead of the first payment."""

from __future__ import annotations

from stream_app.rules import machine, probing
from stream_app.rules.warm import warm
from tests.unit.rules.made import batch, lists, payment, rule, verdicts

KERNELS = (machine._run, probing.find, probing.place)


def _signatures() -> list[int]:
    return [len(compiled.signatures) for compiled in KERNELS]


def test_a_worker_compiles_nothing_after_warm() -> None:
    """Rules of every kind, lists that grow and shrink: not one signature is new."""
    warm()
    compiled = _signatures()
    assert all(compiled)
    beside = lists(many=("card", "block", [f"card-{n}" for n in range(1_000)]))
    beside.entries.drop(0, [f"card-{n}" for n in range(900)])
    some = [payment(card_id=f"card-{n}", amount=float(n)) for n in range(600)]
    found = verdicts(batch(some), rule("amount / 3 > 9 or not (missing(ip) and hour(event_time) in (1, 2))"), beside=beside)
    assert found.hits.any()
    assert _signatures() == compiled
