"""Every score says what it had seen."""

from __future__ import annotations

from stream_app.scoring.positions import Position
from stream_app.scoring.provenance import Provenance, read_provenance
from tests.unit.delivery.world import World, payment

HOUR = 3_600_000


def found(world: World) -> list[Provenance | None]:
    """What the scores say, in the order of the log."""
    return [read_provenance(r.headers) for r in world.topics.logs["scores", 0]]


def label(of: str, labelled_ms: int) -> dict[str, object]:
    """A fraud label of a payment at the beginning."""
    base = {k: v for k, v in payment(of, 20.0).items() if k != "currency"}
    return {**base, "is_fraud": True, "labelled_at": base["event_time"] + labelled_ms}


def test_a_score_names_where_its_batch_began_and_the_labels_counted_before_it() -> None:
    """Batches of three; one label comes due within the first, one within the second."""
    world = World()
    world.send([payment(f"T{n}", 20.0, n * HOUR) for n in range(5)], [label("T0", HOUR), label("T1", 4 * HOUR)])
    assert world.run() == "done"
    one, two = Position(0, 0), Position(3, 1)
    assert found(world) == [
        Provenance(one, 0, (one,)),
        Provenance(one, 1, (one,)),
        Provenance(one, 1, (one,)),
        Provenance(two, 1, (two,)),
        Provenance(two, 2, (two,)),
    ]


def test_a_score_whose_alert_stands_says_that_its_vector_is_of_later() -> None:
    """The worker was killed between the alert and the score of the first payment."""
    world = World(threshold=0.0)
    world.send([payment("T0", 20.0), payment("T1", 20.0)])
    assert world.run(kill_after=4) == "killed"
    assert (len(world.topics.logs["alerts", 0]), len(world.topics.logs["scores", 0])) == (1, 0)
    assert world.run() == "done"
    assert [of.stands for of in found(world) if of] == [True, False]


def test_headers_that_say_less_say_nothing() -> None:
    """A score of an earlier version, or of another program."""
    whole = {"source.cursor": b"a:1,b:2", "source.labels": b"2", "source.seen": b"1:2,3:4"}
    assert read_provenance(tuple(whole.items())) == Provenance(Position(1, 2), 2, (Position(1, 2), Position(3, 4)))
    assert all(read_provenance([(k, v) for k, v in whole.items() if k != name]) is None for name in whole)
    for said in (("source.seen", b"1"), ("source.seen", b"1:2,-3:4"), ("source.cursor", b"a:1"), ("source.labels", None)):
        assert read_provenance([*whole.items(), said]) is None
