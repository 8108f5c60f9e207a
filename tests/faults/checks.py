"""What a lane must show in the end: outputs counted raw, before any reader keeps ids, and state compared with the brute force."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from stream_app.delivery.dead_letter import MOST_VALUE_BYTES
from stream_app.errors import StateError
from stream_app.features.entities import KINDS
from stream_app.features.packing import Packer, is_newer
from stream_app.features.plan import Ints
from tests.faults.decisions import check_decisions, recorded, stands
from tests.faults.findings import Findings
from tests.faults.ledger import Record
from tests.faults.oracle import LAYOUTS, Name, Oracle
from tests.faults.published import Copies, books, name_of, outputs, publisher
from tests.faults.rulings import Asked, Ruling
from tests.faults.scene import MOST_RECORDS, PARTITIONS, Scene
from tests.later import of_today


async def check(scene: Scene, findings: Findings) -> None:
    """Compare everything that the lane left with what must be."""
    found, of_then = await outputs(scene), await books(scene)
    read = recorded(scene, found)

    def rule(name: Name, asked: Asked) -> Ruling:
        return of_then.ruling(asked, read.get(name_of(*name)))

    oracle = Oracle(scene.ledger, stands(scene, found, findings), rule)
    oracle.follow()
    check_decisions(scene, oracle.decisions, found, of_then, findings)
    _check_dead_letters(scene, found, findings)
    _check_doubles(scene, found, findings)
    await _check_state(scene, oracle, findings)
    findings.unnamed += scene.unnamed
    findings.unbidden += scene.unbidden


def _check_dead_letters(scene: Scene, found: Copies, findings: Findings) -> None:
    topics = {"transactions": scene.settings.transactions_dlq_topic, "labels": scene.settings.labels_dlq_topic}
    due = {(topics[kind], f"{partition}/{offset}"): record for kind, partition, offset, record in scene.ledger.poison()}
    there = {place: copies for place, copies in found.items() if place[0] in topics.values()}
    findings.lost += [f"{topic}: {name}" for topic, name in due.keys() - there.keys()]
    findings.unexpected += [f"{topic}: {name}" for topic, name in there.keys() - due.keys()]
    findings.unexpected += [
        f"{place[0]}: {place[1]}, other bytes" for place in due.keys() & there.keys() if not _is_of(there[place][0], due[place])
    ]


def _is_of(letter: Any, record: Record) -> bool:
    """Whether a dead letter has the record's bytes, or the first of them and says how many there were."""
    told, value = dict(letter.headers).get("source.bytes"), record.value
    if value is None or len(value) <= MOST_VALUE_BYTES:
        return told is None and bool(letter.value == value)
    return int(told or -1) == len(value) and bool(letter.value == value[:MOST_VALUE_BYTES])


def _check_doubles(scene: Scene, found: Copies, findings: Findings) -> None:
    """A stale owner may have published once more what it held: one micro-batch of a partition, no more."""
    stale = scene.fleet.stale()
    by_stale: Counter[tuple[str, str, int]] = Counter()
    for (topic, name), copies in found.items():
        if len(copies) == 1:
            continue
        publishers = [publisher(copy) for copy in copies]
        late = [
            by
            for n, (by, copy) in enumerate(zip(publishers, copies, strict=True))
            if by in stale and set(publishers) != {by} and (n or copy.timestamp >= stale[by])
        ]
        allowed = min(len(late), len(copies) - 1)
        findings.doubled_by_stale_owner += [f"{topic}: {name}"] * allowed
        findings.doubled += [f"{topic}: {name}, by {publishers}"] * (len(copies) - 1 - allowed)
        by_stale.update((by, topic, copies[0].partition) for by in late[:allowed])
    findings.doubled += [
        f"{by} published {n} times again in {t} {p}: more than it held" for (by, t, p), n in by_stale.items() if n > MOST_RECORDS
    ]


def _of_today(value: bytes | None) -> bytes | None:
    """What the later version of the suite wrote says the same as ours."""
    return of_today(value) if value is not None and is_newer(value) else value


_KEYS: dict[str, str] = {entity: kind.key for entity, kind in KINDS.items()}
_PACKERS = {KINDS[entity].key: (Packer(layout), layout) for entity, layout in LAYOUTS.items()}


def _kind_of(key: str, prefix: str) -> str:
    """What a key's state is of: what stands before its colon."""
    return key.removeprefix(prefix).partition(":")[0]


async def _check_state(scene: Scene, oracle: Oracle, findings: Findings) -> None:
    for partition in range(PARTITIONS):
        prefix = f"{{{scene.name}:{partition}}}"
        found = [k.decode() async for k in scene.ground.redis.scan_iter(match=f"{prefix}*:*", count=5000) if isinstance(k, bytes)]
        keys = [key for key in found if _kind_of(key, prefix) in _PACKERS]
        values: dict[str, Any] = dict(zip(keys, await scene.ground.redis.mget(keys), strict=True)) if keys else {}
        of_card = {f"{prefix}c:{name}": (card.row(), card.case_id) for (p, name), card in oracle.cards.items() if p == partition}
        of_shared = {
            f"{prefix}{_KEYS[entity]}:{name}": (tally.row(), "") for (entity, p, name), tally in oracle.shared.items() if p == partition
        }
        expected = of_card | of_shared
        findings.wrong_state += [f"{key}: should not be" for key in values.keys() - expected.keys()]
        for key, (row, case_id) in expected.items():
            packer, layout = _PACKERS[_kind_of(key, prefix)]
            kept: Ints = np.zeros((1, layout.width), dtype=np.int64)
            try:
                (case,) = packer.unpack([_of_today(values.get(key))], [key], kept, np.array([0]))
            except StateError as error:
                findings.wrong_state.append(f"{key}: {error}")
                continue
            for ring in layout.table[np.isin(layout.table["quantity"], [*scene.not_kept.get(layout.entity, ())])]:
                columns = slice(ring["first"], ring["first"] + ring["tiles"] * ring["words"])
                kept[0, columns] = row[columns]
            if case != case_id or not np.array_equal(kept[0], row):
                wrong = np.flatnonzero(kept[0] != row)[:4].tolist()
                findings.wrong_state.append(f"{key}: case {case!r} {case_id!r}, columns {wrong}: {kept[0][wrong]} {row[wrong]}")
