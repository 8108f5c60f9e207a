"""What a takeover reads from the outputs: records that are nearly an alert, a score or a dead letter of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stream_app.delivery.outputs import Outputs
from stream_app.scoring.already_published import read_decision, source_offset, surely_decided
from tests.examples import examples
from tests.fuzz.mangled import mangled_bytes, mangled_message
from tests.topics import MemoryTopics
from tests.unit.delivery.test_delivery import EXPECTED
from tests.unit.delivery.world import TOPICS

OURS = [record for place, log in EXPECTED.topics.logs.items() if place[0] in TOPICS.written for record in log]
DECISIONS = [record for place, log in EXPECTED.topics.logs.items() if place[0] in TOPICS.decisions for record in log]
IDS = ("id-of-transactions", "id-of-labels")


@examples(100)
@given(data=st.data())
def test_a_decision_is_read_within_its_bounds_or_passed_over(data: st.DataObject) -> None:
    """A score of 2, a time of a million years, a case id of a megabyte are nobody's decision."""
    message = msgspec.json.decode(data.draw(st.sampled_from(DECISIONS)).value or b"")
    found = read_decision(data.draw(mangled_message(message)))
    if found is not None:
        assert 0 <= found.score <= 1
        assert 0 <= found.threshold <= 1
        assert 0 <= found.scored_at < 2**53
        assert found.case_id is None or 0 < len(found.case_id) <= 64


@examples(40)
@given(data=st.data())
def test_outputs_with_mangled_headers_and_values_are_read_to_the_end(data: st.DataObject) -> None:
    """Whoever wrote them: every offset is one that Kafka can have, and nothing is raised."""
    topics, begins = MemoryTopics(now_ms=0), dict.fromkeys(((topic, 0) for topic in TOPICS.written), 0)
    for record in data.draw(st.lists(st.sampled_from(OURS), max_size=6)):
        headers = [(name, data.draw(mangled_bytes(value or b""))) for name, value in record.headers]
        value = data.draw(st.none() | mangled_bytes(record.value or b""))
        topics.append((data.draw(st.sampled_from(TOPICS.written)), 0), b"k", value, headers)
        source = source_offset(headers)
        assert source is None or 0 <= source < 2**63

    async def read() -> list[Any]:
        outputs = Outputs(topics)
        return [*await outputs.surely_decided(begins, IDS), *[made async for made in outputs.made(begins, IDS, TOPICS.decisions)]]

    transactions, labels, *made = asyncio.run(read())
    assert 0 <= transactions < 2**63
    assert 0 <= labels < 2**63
    assert all(0 <= output.offset < 2**63 for output in made)


def test_what_is_mangled_here_is_read_where_it_is_not() -> None:
    """Else nothing but foreign records would be tried."""
    assert all(read_decision(record.value) for record in DECISIONS)
    assert surely_decided(OURS, IDS) != (0, 0)
