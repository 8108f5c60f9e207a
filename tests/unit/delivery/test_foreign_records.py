"""Records of others in the output topics: whatever they hold, they end nothing and change nothing."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loguru import logger

from stream_app.audit.decisions import DecisionReader
from stream_app.commands.alerts import _seconds
from stream_app.delivery.outputs import Outputs
from stream_app.messages.alert import Reason
from stream_app.messages.headers import Headers, header, number
from stream_app.messages.records import Outgoing
from stream_app.scoring.already_published import AlreadyPublished, PublishedDecision, read_decision
from stream_app.scoring.positions import Cursor, Position
from stream_app.scoring.provenance import read_provenance
from tests.examples import examples
from tests.topics import MemoryTopics
from tests.unit.delivery.test_delivery import EXPECTED, FAULT, LABELS, PAYMENTS, assert_as_undisturbed
from tests.unit.delivery.test_repartition import CARDS, grown, payments
from tests.unit.delivery.world import TOPICS, World

NAMES = ("source.cursor", "source.offset", "source.labels", "source.seen", "source.stands", "source.timestamp", "x")
HONEST = b"id-of-transactions:0,id-of-labels:0"
NASTY = [
    b"",
    b"3",
    "²".encode(),
    "a:²,b:5".encode(),
    "id-of-transactions:²,id-of-labels:5".encode(),
    HONEST + b",c:1",
    b"9" * 20,
    b"-1",
    b"1_0",
]
NASTY += [
    b"9" * 5_000,
    b"id-of-transactions:" + b"9" * 5_000 + b",id-of-labels:1",
    HONEST + b"9" * 19,
    b"id-of-transactions:0",
    b"another:0,topic:0",
]
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | st.sampled_from(NASTY) | st.binary(max_size=12)), max_size=8)
DECISION = EXPECTED.topics.logs["alerts", 0][0].value or b""
BROKEN = [
    None,
    b"",
    b"{}",
    b"[]",
    DECISION[:-1],
    b"\xff",
    b'{"x":' + b"[" * 100_000,
    DECISION.replace(b'"action":"', b'"action":"x'),
    b'{"score":1e999}',
]
BROKEN += [
    re.sub(rb'"scored_at":\d+', rb'"scored_at":' + b"9" * 400, DECISION),
    re.sub(rb'"case_id":"', b'"case_id":"' + b"c" * 65, DECISION),
]
VALUES = st.sampled_from([*BROKEN, DECISION]) | st.binary(max_size=8)


def is_ours(headers: Headers) -> bool:
    """Whether the last `source.cursor` names the topics and two offsets that Kafka can have."""
    last = [value for name, value in headers if name == "source.cursor"][-1:]
    found = re.fullmatch(rb"id-of-transactions:([0-9]{1,19}),id-of-labels:([0-9]{1,19})", (last or [b""])[0] or b"")
    return found is not None and all(int(text) < 2**63 for text in found.groups())


OF_OTHERS = st.tuples(st.sampled_from(TOPICS.written), HEADERS.filter(lambda headers: not is_ours(headers)), VALUES)
"""Any headers but ours, around anything."""
HOLLOW = st.tuples(
    st.sampled_from(TOPICS.decisions),
    st.integers(0, 20).map(lambda offset: [("source.offset", str(offset).encode()), ("source.cursor", HONEST)]),
    st.sampled_from(BROKEN),
)
"""The headers of an alert or score, kept around something that is none, as of a tombstone."""
FOREIGN = OF_OTHERS | HOLLOW


@examples(200)
@given(st.lists(FAULT | st.tuples(st.just("foreign"), FOREIGN), max_size=14))
def test_a_worker_decides_as_if_they_were_not_there(steps: list[tuple[str, Any]]) -> None:
    """Rule 7 of `already_published`: among kills, losses of all state and rollbacks, which each end in a takeover that reads them."""
    world, sent, foreign = World(), 0, set[int]()
    for step, what in steps:
        if step == "foreign":
            topic, headers, value = what
            world.topics.append((topic, 0), b"k", value, headers)
            foreign.add(id(world.topics.logs[topic, 0][-1]))
        elif step == "send":
            world.send(PAYMENTS[sent : sent + what], LABELS if not sent else ())
            sent += what
            world.run()
        elif step == "kill":
            world.run(kill_after=what)
        elif step == "flush":
            world.lose_all()
        elif step == "back":
            world.go_back(what)
        elif 0 in world.store.kept and world.store.kept[0].cursor:
            world.commit()
    world.send(PAYMENTS[sent:], () if sent else LABELS)
    assert world.run() == "done"
    for place, log in world.topics.logs.items():
        world.topics.logs[place] = [r for r in log if id(r) not in foreign]
    assert_as_undisturbed(world)


@given(st.lists(FOREIGN, max_size=8))
def test_none_of_them_is_taken_for_a_message_of_unknown_end(foreign: list[tuple[str, Any, Any]]) -> None:
    """What is missing is published, though a hollow record stands under its offset."""
    topics = MemoryTopics()
    for topic, headers, value in foreign:
        topics.append((topic, 0), b"k", value, headers)
    messages = [Outgoing(topic, b"k", b"v", (("source.offset", str(n).encode()),)) for topic in TOPICS.written for n in range(20)]
    cursor = Cursor("", topic_ids={t: f"id-of-{t}" for t in TOPICS.read})
    assert asyncio.run(Outputs(topics).missing(0, cursor, TOPICS, messages)) == messages


def test_a_repartition_passes_them_over() -> None:
    """Every nasty header and every broken value, in every partition of every output."""
    bank, unchanged = grown(0.01), grown(0.01)
    records: list[tuple[str, Headers, bytes | None]] = [
        (topic, headers, DECISION)
        for topic in TOPICS.written
        for nasty in (None, *(n for n in NASTY if n != b"3"))
        for headers in ([("source.offset", b"3"), ("source.cursor", nasty)], [("source.offset", nasty), ("source.cursor", HONEST)])
    ]
    records += [(t, [("source.offset", b"1"), ("source.cursor", HONEST)], value) for t in TOPICS.decisions for value in BROKEN]
    foreign = set[int]()
    for topic, headers, value in records:
        for n in range(4):
            bank.topics.append((topic, n), b"k", value, headers)
            foreign.add(id(bank.topics.logs[topic, n][-1]))
    for each in (bank, unchanged):
        each.repartition("old", "new")
        each.send("transactions", payments([(n % 6, 0, 0) for n in range(6)], 12))
        each.work("new")
    for place, log in bank.topics.logs.items():
        bank.topics.logs[place] = [r for r in log if id(r) not in foreign]
    assert bank.decisions() == unchanged.decisions()
    assert {c: bank.card("new", c) for c in CARDS} == {c: unchanged.card("new", c) for c in CARDS}


def test_what_is_hollow_is_told_once_a_topic_with_its_place() -> None:
    """Three in one topic, one in another, none of other programs: two lines."""
    world, lines = World(), list[str]()
    headers = [("source.offset", b"1"), ("source.cursor", HONEST)]
    for topic, value in (("alerts", None), ("alerts", b"{}"), ("alerts", b""), ("scores", b"{}")):
        world.topics.append((topic, 0), b"k", value, headers)
    world.topics.append(("scores", 0), b"k", b"of another program")
    handler = logger.add(lambda line: lines.append(str(line)), format="{message}", level="WARNING")
    try:
        assert world.run() == "done"
    finally:
        logger.remove(handler)
    told = [re.search(r"Topic '(\w+)', partition 0: (\d) records .* offset (\d)", line) for line in lines]
    assert sorted(found.groups() for found in told if found) == [("alerts", "3", "0"), ("scores", "1", "0")]


@given(HEADERS)
def test_any_headers_say_positions_or_nothing(headers: Headers) -> None:
    """Of provenance, of the time on the way of an alert, of a score that is verified."""
    record = SimpleNamespace(headers=headers, value=EXPECTED.topics.logs["scores", 0][0].value)
    decision = DecisionReader().read(record)
    provenance = read_provenance(headers)
    assert decision is not None
    assert decision.provenance == provenance
    if provenance is not None:
        assert all(0 <= n < 2**63 for n in (*provenance.start, provenance.labels, *sum(provenance.seen, ())))
    sent = header(headers, "source.timestamp")
    assert _seconds(record, 5.0) == (5.0 - int(sent) / 1000 if re.fullmatch(rb"[0-9]{1,19}", sent) and int(sent) < 2**63 else 0.0)


@example(b"9223372036854775807")
@example(b"9223372036854775808")
@example("²".encode())
@given(st.binary(max_size=25) | st.integers(0, 2**70).map(lambda n: str(n).encode()) | st.sampled_from(NASTY))
def test_a_number_is_ascii_digits_that_fit_eight_bytes(text: bytes) -> None:
    """Or none."""
    assert number(text) == (int(text) if re.fullmatch(rb"[0-9]{1,19}", text) and int(text) < 2**63 else None)


def test_of_several_headers_of_a_name_the_last_one_counts_and_one_without_value_is_empty() -> None:
    """As a mapping of them has it."""
    assert [header(headers, "a") for headers in ([("a", b"1"), ("b", b"2"), ("a", b"3")], [("a", b"1"), ("a", None)], [])] == [
        b"3",
        b"",
        b"",
    ]


REASON = Reason("code", "amount", 1.0, None, 1.0, "text")
VERDICT = msgspec.structs.replace(read_decision(DECISION) or pytest.fail("an alert holds a verdict"), reasons=(REASON,) * 6)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 9)), max_size=12), st.randoms())
def test_what_stands_does_not_depend_on_which_topic_is_read_first(made: list[tuple[bool, int, int]], random: Any) -> None:
    """Rule 4 of `already_published`: alerts and scores are read side by side; the order within each is the log's."""

    def learnt(records: list[tuple[bool, int, int]]) -> dict[int, PublishedDecision]:
        published = AlreadyPublished()
        for is_score, offset, n in records:
            (published.add_score if is_score else published.add_alert)(offset, msgspec.structs.replace(VERDICT, raw_score=float(n)))
        return published.decisions

    scores_first = sorted(made, key=lambda record: not record[0])
    mixed = [m[:1] for m in made]
    random.shuffle(mixed)
    sides = {side: iter([m for m in made if m[0] is side]) for side in (True, False)}
    assert learnt([next(sides[side]) for (side,) in mixed]) == learnt(scores_first)


def test_of_a_decision_that_is_only_counted_again_no_reasons_are_kept() -> None:
    """Of a day's alerts they would be most of what a rebuild holds in memory; a decision that is published again has its own."""
    published = AlreadyPublished(decided=Position(5, 0))
    published.add_alert(4, VERDICT)
    published.add_alert(5, VERDICT)
    assert published.decisions == {4: msgspec.structs.replace(VERDICT, reasons=()), 5: VERDICT}
