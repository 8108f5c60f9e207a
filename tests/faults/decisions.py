"""Scores and alerts as they were published, held against what must have been decided: upon the whole state, by the rules and lists of their moment.

A decision says up to where it had read both topics. What stands after a takeover copies that, so every copy of it says the same; a stale owner's
copies are its own decisions, and are held against what it says by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stream_app.scoring.provenance import SOURCE_RULES, SOURCE_STANDS
from tests.faults import model
from tests.faults.findings import Findings
from tests.faults.oracle import Decision, Name, alert_id
from tests.faults.published import Copies, headers_of, is_late, name_of, publisher
from tests.faults.rulings import Books, Read, Ruling, read_of, ruling_of
from tests.faults.scene import Scene

OF_LATER = "a later version wrote state"
"""In `degraded`, of what this version cannot read."""
MANY = 1_000
"""Of so many decisions rules and lists have taken some; else the lane shows nothing of them."""


def stands(scene: Scene, found: Copies, findings: Findings) -> dict[Name, Decision]:
    """The decisions of scenes with another version that were made without its state: they say so, and stand."""
    standing: dict[Name, Decision] = {}
    if scene.whole_from_ms is None:
        return standing
    for (topic, name), copies in found.items():
        if topic != scene.settings.scores_topic:
            continue
        message = msgspec.json.decode(copies[0].value)
        if OF_LATER not in (message["degraded"] or ""):
            continue
        standing[message["card_id"], message["transaction_id"]] = Decision(message["action"] is not None, None, message["case_id"])
        findings.degraded.append(name)
        if message["scored_at"] > scene.whole_from_ms:
            findings.unexpected.append(f"{name} is degraded still: {message['degraded']}")
    if not findings.degraded:
        findings.unexpected.append("no decision was made without the state of another version: the scene shows nothing")
    return standing


def recorded(scene: Scene, found: Copies) -> dict[str, Read | None]:
    """Up to where the decision that stands of each payment had read rules and lists. A score that stands copies its alert, which says so first."""
    read: dict[str, Read | None] = {}
    for topic in (scene.settings.alerts_topic, scene.settings.scores_topic):
        for (of, name), copies in found.items():
            if of == topic:
                headers = headers_of(next((copy for copy in copies if not is_late(scene, copy, copies)), copies[0]))
                if name not in read or SOURCE_STANDS not in headers:
                    read[name] = read_of(headers.get(SOURCE_RULES))
    return read


@dataclass(frozen=True, slots=True)
class _Copy:
    """A raw copy of a score or an alert.

    Attributes:
        late: a stale owner's, who had been stopped while another went on.
        earlier: an earlier version's: nothing of rules is in it, and of a score that stands it does not say that its features lack state.
    """

    message: Mapping[str, Any]
    partition: int
    by: str
    read: Read | None
    stands: bool
    late: bool
    earlier: bool

    def ruling(self, expected: Decision, books: Books) -> Ruling | None:
        """What it must say by rules and lists."""
        return books.ruling(expected.asked, self.read) if self.late and expected.asked else expected.ruling


def check_decisions(scene: Scene, of: Mapping[Name, Decision], found: Copies, books: Books, findings: Findings) -> None:
    """Compare every copy with the decision that must be; count who decided."""
    scores, alerts = scene.settings.scores_topic, scene.settings.alerts_topic
    decisions = {name_of(*name): decision for name, decision in of.items()}
    for name, decision in decisions.items():
        due = [(scores, name)] + ([(alerts, name)] if decision.alerted else [])
        findings.lost += [f"{topic}: {n}" for topic, n in due if (topic, n) not in found]
    read = recorded(scene, found)
    for (topic, name), copies in found.items():
        if topic not in {scores, alerts}:
            continue
        if (expected := decisions.get(name)) is None:
            findings.unexpected.append(f"{topic}: {name}")
            continue
        for copy in [_copy(scene, raw, copies, read[name]) for raw in copies]:
            ruling = copy.ruling(expected, books)
            alerted = expected.alerted if ruling is None else ruling.action is not None
            if topic == alerts and copy.late and alerted and not expected.alerted:
                findings.doubled_by_stale_owner.append(f"{topic}: {name}, by {copy.by} alone")
                continue
            wrong = [] if topic == scores or alerted else ["it is no alert"]
            wrong += _wrong_with(copy, expected, alerted=alerted) + _wrong_ruling(copy, ruling, read[name])
            if copy.partition != scene.sender.partition_of(copy.message["card_id"]):
                wrong.append(f"it lies in partition {copy.partition}")
            if wrong:
                findings.unexpected.append(f"{topic}: {name} by {copy.by} at {copy.message['source']}: {'; '.join(wrong)}")
    scene.decided_by += Counter(decision.ruling.decided_by for decision in decisions.values() if decision.ruling)
    if len(decisions) > MANY and not scene.decided_by.keys() - {"model"}:
        findings.stuck.append(f"of {len(decisions)} decisions rules and lists took none: the lane shows nothing of them")


def _copy(scene: Scene, raw: Any, copies: Sequence[Any], standing: Read | None) -> _Copy:
    """Args: `copies`: all of its topic; `standing`: what the decision that stands had read: of an alert alone that tells whether it is a stale owner's."""
    headers, by = headers_of(raw), publisher(raw)
    read = read_of(headers.get(SOURCE_RULES))
    return _Copy(
        msgspec.json.decode(raw.value),
        raw.partition,
        by,
        read,
        SOURCE_STANDS in headers,
        is_late(scene, raw, copies) or (by in scene.fleet.stale() and read != standing),
        by in scene.fleet.earlier,
    )


def _wrong_with(copy: _Copy, expected: Decision, *, alerted: bool) -> list[str]:
    """What state and model must have made of it."""
    message, counted = copy.message, expected.count_of_day
    count = message.get("features", {}).get(model.FEATURES[1].name, counted)
    right = {
        f"case {message['case_id']} ({expected.case_id})": copy.late or message["case_id"] == expected.case_id,
        f"alert {message.get('alert_id')}": message.get("alert_id") in {None, alert_id(message["card_id"], message["transaction_id"])},
        f"action {message['action']} (alerted: {alerted})": (message["action"] is not None) == alerted,
        f"count {count} ({counted})": counted is None or (copy.earlier and copy.stands) or count == counted,
        f"source {message['source']}": message["source"]["partition"] == copy.partition,
    }
    return [what for what, is_so in right.items() if not is_so]


def _wrong_ruling(copy: _Copy, ruling: Ruling | None, read: Read | None) -> list[str]:
    """What rules and lists must have made of it."""
    if ruling is None or (copy.earlier and copy.read != read):
        return []
    said = ruling_of(copy.message)
    wrong = [f"{said} by {copy.read} ({ruling})"] if said != ruling else []
    return wrong if copy.late or copy.read == read else [*wrong, f"it says that it had read {copy.read}, what stands says {read}"]
