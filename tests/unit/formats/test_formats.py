"""What earlier versions wrote is read, and what this one writes is kept for later ones.

`golden/` has a file for each version that wrote a format otherwise: made by the code of then, from `inputs`, and never changed since. This version
takes over from each of them. A format that is written otherwise than in any of them fails here, whether its number was raised or not.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from stream_app.adapters.redis.stored_cursor import read_cursor
from stream_app.errors import ModelError
from stream_app.features.aggregations import Quantity
from stream_app.features.definitions import KERNEL_VERSION
from stream_app.features.entities import KINDS
from stream_app.features.model_metadata import METADATA_KEY, read_metadata
from stream_app.features.packed_rows import FORMAT
from stream_app.features.packing import Packer
from stream_app.features.plan import PLACED, EntityPlan, Ints, catalogue_plan
from stream_app.messages.alert import alert_id_of
from stream_app.scoring.already_published import read_decision, source_offset, surely_decided
from stream_app.scoring.positions import Cursor, Position
from tests.unit.delivery.world import TOPICS, World
from tests.unit.formats.inputs import AFTER, BEFORE, LABELS, START, label
from tests.unit.formats.written import GOLDEN, written

FILES: dict[str, Any] = {file.stem: msgspec.json.decode(file.read_bytes()) for file in sorted(GOLDEN.iterdir())}
WHOLE = {name: golden for name, golden in FILES.items() if "values" in golden}
QUANTITIES = {int(quantity): quantity for quantity in Quantity}
wholes = pytest.mark.parametrize("golden", WHOLE.values(), ids=WHOLE)
cursors, models = (
    pytest.mark.parametrize("golden", [pytest.param(g, id=name) for name, g in FILES.items() if part in g]) for part in ("cursor", "model")
)
DAY = START // 86_400_000
COUNTED = len(BEFORE)


def taken_over(golden: Any) -> World:
    """The topics and the state that a version left."""
    world = World()
    for topic, records in golden["logs"].items():
        for key, value, headers in records:
            world.topics.append((topic, 0), key.encode(), value.encode(), tuple((name, told.encode()) for name, told in headers))
    world.store.hold([0], 1)
    kept = world.store.kept[0]
    kept.cursor = read_cursor(golden["cursor"].encode(), "{g:0}cursor")
    kept.values = {key: bytes.fromhex(value) for key, value in golden["values"].items()}
    kept.notes = {(day, name): note.encode() for day, name, note in golden["notes"]}
    return world


def known(golden: Any, plan: EntityPlan, key: str, value: bytes) -> Ints:
    """A row, of what the version knew: its series, and before places were kept, the header without them."""
    row: Ints = np.zeros((1, plan.layout.width), dtype=np.int64)
    Packer(plan.layout).unpack([value], [key], row, np.arange(1))
    kept = np.zeros(plan.layout.width, dtype=bool)
    of_packed_1 = bytes.fromhex(golden["values"][key])[4] == 1
    kept[: PLACED if of_packed_1 and plan.entity == "card" else plan.layout.header] = True
    for hop, quantity in golden["series"][plan.entity]:
        first, tiles = plan.layout.series[hop, QUANTITIES[quantity]]
        kept[first : first + tiles * max(1, QUANTITIES[quantity].words)] = True
    return np.where(kept, row[0], 0)


@cursors
def test_the_cursor_of_every_version_is_read(golden: Any) -> None:
    """Where it stood, whatever its format; what it did not know yet is as where nothing is known."""
    cursor = read_cursor(golden["cursor"].encode(), "{g:0}cursor")
    told = msgspec.json.decode(golden["cursor"])
    assert (cursor.owner, cursor.position, cursor.begun) == ("owner", Position(COUNTED, len(LABELS)), True)
    assert cursor.format == Cursor("").format
    assert {"outputs": dict(cursor.outputs), "partitions": cursor.partitions} == {
        "outputs": told.get("outputs", {}),
        "partitions": told.get("partitions", 0),
    }


@wholes
def test_the_state_of_every_version_is_taken_over_and_gone_on_with(golden: Any) -> None:
    """Nothing is decided twice; later payments are counted on top: each row is, in what that version knew, as if this one had done it all."""
    world, alone = taken_over(golden), World()
    before = {topic: len(world.topics.logs[topic, 0]) for topic in TOPICS.written}
    assert world.run() == "done"
    assert {topic: len(world.topics.logs[topic, 0]) for topic in TOPICS.written} == before
    world.send(AFTER)
    assert world.run() == "done"
    alone.send(BEFORE, LABELS)
    assert alone.run() == "done"
    alone.send(AFTER)
    assert alone.run() == "done"
    for topic in ("scores", "alerts"):
        assert [(m.offset, m.score, m.action) for m in world.published(topic)] == [
            (m.offset, m.score, m.action) for m in alone.published(topic)
        ]
    found, expected = world.state(), alone.state()
    plans = {KINDS[plan.entity].key: plan for plan in catalogue_plan().entities if plan.entity in golden["series"]}
    for key in golden["values"]:
        plan = plans[key.partition(":")[0]]
        assert found[key][4] == FORMAT
        assert np.array_equal(known(golden, plan, key, found[key]), known(golden, plan, key, expected[key])), key
    assert golden["values"].keys() == {key for key in alone.past[0][0].values if key.partition(":")[0] in plans}


@wholes
def test_the_messages_of_every_version_are_read_for_what_stands(golden: Any) -> None:
    """Decisions, which record each was made from, and below which position everything was decided: of the same meaning as ours."""
    today = written()["logs"]
    for topic in ("scores", "alerts"):
        pairs = list(zip(golden["logs"][topic], today[topic], strict=True))
        for (_, then, headers), (_, now, headers_now) in pairs:
            one, other = read_decision(then.encode()), read_decision(now.encode())
            assert one is not None
            assert other is not None
            assert (one.score, one.threshold, one.action) == (other.score, other.threshold, other.action)
            assert other.case_id in {one.case_id, one.case_id and alert_id_of(msgspec.json.decode(then)["card_id"], one.case_id)}
            told, told_now = ([(name, text.encode()) for name, text in each] for each in (headers, headers_now))
            assert source_offset(told) == source_offset(told_now)
    world = taken_over(golden)
    ends = surely_decided(world.topics.logs["dlq", 0], TOPICS.ids_of_read({"transactions": "id-of-transactions", "labels": "id-of-labels"}))
    assert ends == Position(9, 2)


@wholes
def test_the_notes_of_every_version_are_what_labels_are_held_against(golden: Any) -> None:
    """A payment that was alerted before, and named by a label now, is caught, as far as that version noted its alerts."""
    world = taken_over(golden)
    world.send([], [label(6)])
    assert world.run() == "done"
    assert world.seen.outcomes == ({"caught": 1} if golden["notes"] else {})


@models
def test_the_model_of_every_version_is_read(golden: Any) -> None:
    """Its features are this version's where its kernel is; else it is refused by that, and by nothing else."""
    metadata = read_metadata({METADATA_KEY: golden["model"]})
    if golden["kernel"] == KERNEL_VERSION:
        assert [feature.name for feature in metadata.resolved()] == ["amount", "card_count_1d", "card_mean_amount_1d"]
    else:
        with pytest.raises(ModelError, match="was trained on another definition of 'amount'"):
            metadata.resolved()
    assert (metadata.threshold, metadata.bands.step_up, metadata.base_currency) == (0.25, 0.5, "EUR")


def shapes(logs: Any) -> Any:
    """Of each topic that is written, the fields of its messages and the headers."""
    return {
        topic: sorted({(tuple(sorted(_fields(value))), tuple(name for name, _ in headers)) for _, value, headers in logs[topic]})
        for topic in TOPICS.written
    }


def _fields(value: str) -> list[str]:
    return [*msgspec.json.decode(value)] if value.startswith("{") else []


@pytest.mark.parametrize("part", [part for part in written() if part != "logs"])
def test_what_this_version_writes_has_a_golden_file(part: str) -> None:
    """Else a later version is never tried on it. Raise the format's number if an earlier version cannot read it, then
    `python -m tests.unit.formats.written`; docs/how-to/roll-out.md and CHANGELOG say what the change needs.
    """
    now = msgspec.json.decode(msgspec.json.encode(written()[part]))
    assert any(golden.get(part) == now for golden in FILES.values()), (
        f"{part} is written otherwise than in any file of {GOLDEN.name}/. If that is meant: `python -m tests.unit.formats.written`"
    )


def test_the_messages_of_this_version_have_a_golden_file() -> None:
    """Their fields and headers; words may change."""
    now = shapes(written()["logs"])
    assert any(shapes(golden["logs"]) == now for golden in WHOLE.values()), (
        f"messages have other fields than in any file of {GOLDEN.name}/. If that is meant: `python -m tests.unit.formats.written`"
    )
