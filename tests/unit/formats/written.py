"""What this version writes from the inputs: values, cursor and notes as they stand in Redis, messages with their headers, a model's metadata.

`python -m tests.unit.formats.written` writes it into `golden/`: one more file, never in place of another. Its name is a hash of what is in it;
those of before are named by the commit that wrote them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import xxhash

import tests.conftest  # noqa: F401 - registers the profiles of Hypothesis that the worlds ask for
from stream_app.features.definitions import KERNEL_VERSION
from stream_app.features.plan import catalogue_plan
from tests.topics import Kept
from tests.unit.delivery.world import World
from tests.unit.formats.inputs import BEFORE, LABELS
from tests.unit.scoring.test_scorer import FakeModel

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden"


def written() -> dict[str, Any]:
    """All of it, as JSON has it; the owner's token, which is drawn, has a fixed name."""
    world = World()
    world.send(BEFORE, LABELS)
    assert world.run() == "done"
    kept = world.store.kept[0]
    assert kept.cursor is not None
    return {
        "kernel": KERNEL_VERSION,
        "schemas": sorted(file.name for file in (ROOT / "schemas").iterdir()),
        "cursor": msgspec.json.encode(msgspec.structs.replace(kept.cursor, owner="owner")).decode(),
        "values": {key: value.hex() for key, value in sorted(kept.values.items())},
        "notes": sorted([day, name, note.decode()] for (day, name), note in kept.notes.items()),
        "logs": {topic: [_told(record) for record in log] for (topic, _), log in world.topics.logs.items()},
        "series": {of.entity: [[hop, int(quantity)] for hop, quantity in of.layout.series] for of in catalogue_plan().entities},
        "model": msgspec.json.encode(FakeModel.metadata).decode(),
    }


def _told(record: Kept) -> list[Any]:
    return [
        (record.key or b"").decode(),
        (record.value or b"").decode(),
        [[name, (value or b"").decode()] for name, value in record.headers],
    ]


if __name__ == "__main__":
    text = msgspec.json.encode(written()).decode().replace('],["', '],\n["')
    (GOLDEN / f"{xxhash.xxh32_hexdigest(text.encode())}.json").write_text(text + "\n", encoding="utf-8")
