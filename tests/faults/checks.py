"""What a lane must show in the end: outputs counted raw, before any reader keeps ids, and state compared with the brute force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream_app.delivery.dead_letter import MOST_VALUE_BYTES
from stream_app.errors import StateError
from stream_app.features.packing import Packer, is_newer
from stream_app.features.plan import Ints
from stream_app.scoring.provenance import SOURCE_STANDS
from tests.faults import model
from tests.faults.ledger import Record
from tests.faults.oracle import CARD_LAYOUT, LAYOUTS, Decision, Oracle, alert_id
from tests.faults.points import BY
from tests.faults.scene import MOST_RECORDS, PARTITIONS, Scene
from tests.later import of_today

OF_LATER = "a later version wrote state"
"""In `degraded`, of what this version cannot read."""


@dataclass(slots=True)
class Findings:
    """What is wrong, each with the names of what it is wrong about.

    Attributes:
        lost: decisions, alerts and dead letters that were never published.
        doubled: raw copies beyond the first that no stale owner explains.
        doubled_by_stale_owner: those that one does: published by a worker that was stopped, after another had published them, or made
            after it was resumed.
        unexpected: alerts and dead letters that should not be; decisions that are other than they must be.
        wrong_state: keys in Redis whose value is not the brute force's.
        unnamed: damaged values that no worker named.
        degraded: decisions made without state of another version, which say so.
        unbidden: workers that a fault ended which should stop nobody, and state that was rebuilt without need.
        stuck: what was awaited in vain.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    doubled_by_stale_owner: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_state: list[str] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    unbidden: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, int]:
        """How many of each, where there is any; what a stale owner doubled, and what is told to be degraded, is allowed."""
        counts = {f.name: len(getattr(self, f.name)) for f in fields(self)}
        return {name: n for name, n in counts.items() if n and name not in {"doubled_by_stale_owner", "degraded"}}


type Copies = dict[tuple[str, str], list[Any]]
"""Raw copies of each output, by topic and name, in the order of the log. A decision's name is its card and transaction."""


async def outputs(scene: Scene) -> Copies:
    """Everything in the output topics."""
    topics = {t: set(range(PARTITIONS)) for t in scene.settings.topics()}
    consumer = AIOKafkaConsumer(bootstrap_servers=scene.ground.addresses.kafka, max_poll_records=5000)
    await consumer.start()
    try:
        places = [TopicPartition(t, p) for t, parts in topics.items() for p in parts]
        ends = await consumer.end_offsets(places)
        _check_ledger(scene, ends)
        mine = [at for at in places if at.topic not in {scene.settings.transactions_topic, scene.settings.labels_topic}]
        consumer.assign(mine)
        await consumer.seek_to_beginning(*mine)
        found: Copies = {}
        while open_ := [at for at in mine if await consumer.position(at) < ends[at]]:
            for at, records in (await consumer.getmany(*open_, timeout_ms=500)).items():
                for record in records:
                    found.setdefault((at.topic, _id(scene, record)), []).append(record)
        return found
    finally:
        await consumer.stop()


def _check_ledger(scene: Scene, ends: Mapping[TopicPartition, int]) -> None:
    names = {"transactions": scene.settings.transactions_topic, "labels": scene.settings.labels_topic}
    for (kind, partition), end in scene.ledger.ends().items():
        if ends[TopicPartition(names[kind], partition)] != end:
            raise AssertionError(f"the ledger has {end} {kind} of partition {partition}, Kafka has another number: the suite is wrong")


def _id(scene: Scene, record: Any) -> str:
    if record.topic in {scene.settings.transactions_dlq_topic, scene.settings.labels_dlq_topic}:
        headers = {name: value.decode() for name, value in record.headers}
        return f"{headers['source.partition']}/{headers['source.offset']}"
    message = msgspec.json.decode(record.value)
    return _name(message["card_id"], message["transaction_id"])


def _name(card: str, transaction_id: str) -> str:
    return f"{card}/{transaction_id}"


async def check(scene: Scene, findings: Findings) -> None:
    """Compare everything that the lane left with what must be."""
    found = await outputs(scene)
    oracle = Oracle(scene.ledger, _stands(scene, found, findings))
    oracle.follow()
    _check_decisions(scene, oracle, found, findings)
    _check_dead_letters(scene, found, findings)
    _check_doubles(scene, found, findings)
    await _check_state(scene, oracle, findings)
    findings.unnamed += scene.unnamed
    findings.unbidden += scene.unbidden


def _stands(scene: Scene, found: Copies, findings: Findings) -> dict[tuple[str, str], Decision]:
    """The decisions of scenes with another version that were made without its state: they say so, and stand."""
    stands: dict[tuple[str, str], Decision] = {}
    if scene.whole_from_ms is None:
        return stands
    for (topic, name), copies in found.items():
        if topic != scene.settings.scores_topic:
            continue
        message = msgspec.json.decode(copies[0].value)
        if OF_LATER not in (message["degraded"] or ""):
            continue
        stands[message["card_id"], message["transaction_id"]] = Decision(message["action"] is not None, None, message["case_id"])
        findings.degraded.append(name)
        if message["scored_at"] > scene.whole_from_ms:
            findings.unexpected.append(f"{name} is degraded still: {message['degraded']}")
    if not findings.degraded:
        findings.unexpected.append("no decision was made without the state of another version: the scene shows nothing")
    return stands


def _check_decisions(scene: Scene, oracle: Oracle, found: Copies, findings: Findings) -> None:
    scores, alerts = scene.settings.scores_topic, scene.settings.alerts_topic
    decisions = {_name(*of): decision for of, decision in oracle.decisions.items()}
    for name, decision in decisions.items():
        due = [(scores, name)] + ([(alerts, name)] if decision.alerted else [])
        findings.lost += [f"{topic}: {n}" for topic, n in due if (topic, n) not in found]
    for (topic, name), copies in found.items():
        if topic not in {scores, alerts}:
            continue
        expected = decisions.get(name)
        if expected is None or (topic == alerts and not expected.alerted):
            findings.unexpected.append(f"{topic}: {name}")
            continue
        for copy in copies:
            message, headers = msgspec.json.decode(copy.value), dict(copy.headers)
            by = headers.get(BY, b"").decode()
            untold = by in scene.fleet.earlier and SOURCE_STANDS in headers  # before, such a score did not say that its features lack state
            right = [
                message["case_id"] == expected.case_id,
                message.get("alert_id") in {None, alert_id(message["card_id"], message["transaction_id"])},
                (message["action"] is not None) == expected.alerted,
                expected.count_of_day is None
                or untold
                or message.get("features", {}).get(model.FEATURES[1].name, expected.count_of_day) == expected.count_of_day,
                message["source"]["partition"] == copy.partition == scene.sender.partition_of(message["card_id"]),
            ]
            if not all(right):
                found_count = message.get("features", {}).get(model.FEATURES[1].name)
                findings.unexpected.append(
                    f"{topic}: {name} by {by} at {message['source']}, {message['scored_at']}: case {message['case_id']} ({expected.case_id}), "
                    f"action {message['action']} ({expected.alerted}), count {found_count} ({expected.count_of_day}), {message['degraded']}"
                )


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
        publishers = [dict(copy.headers).get(BY, b"").decode() for copy in copies]
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


async def _check_state(scene: Scene, oracle: Oracle, findings: Findings) -> None:
    for partition in range(PARTITIONS):
        prefix = f"{{{scene.name}:{partition}}}"
        keys = [k.decode() async for k in scene.ground.redis.scan_iter(match=f"{prefix}[ctd]:*", count=5000) if isinstance(k, bytes)]
        values: dict[str, Any] = dict(zip(keys, await scene.ground.redis.mget(keys), strict=True)) if keys else {}
        of_card = {f"{prefix}c:{name}": (card.row(), card.case_id) for (p, name), card in oracle.cards.items() if p == partition}
        of_shared = {
            f"{prefix}{entity[0]}:{name}": (tally.row(), "") for (entity, p, name), tally in oracle.shared.items() if p == partition
        }
        expected = of_card | of_shared
        findings.wrong_state += [f"{key}: should not be" for key in values.keys() - expected.keys()]
        packers = {entity[0]: (Packer(layout), layout) for entity, layout in LAYOUTS.items()}
        for key, (row, case_id) in expected.items():
            packer, layout = packers[key[len(prefix)]]
            stands: Ints = np.zeros((1, layout.width), dtype=np.int64)
            try:
                (case,) = packer.unpack([_of_today(values.get(key))], [key], stands, np.array([0]))
            except StateError as error:
                findings.wrong_state.append(f"{key}: {error}")
                continue
            if layout is CARD_LAYOUT:
                for first, tiles in (layout.series[series] for series in scene.not_kept):
                    stands[0, first : first + tiles] = row[first : first + tiles]
            if case != case_id or not np.array_equal(stands[0], row):
                columns = np.flatnonzero(stands[0] != row)[:4].tolist()
                findings.wrong_state.append(f"{key}: case {case!r} {case_id!r}, columns {columns}: {stands[0][columns]} {row[columns]}")
