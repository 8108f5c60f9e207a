"""A cursor in Redis is read by the version before and the version after: its bytes are a contract."""

from __future__ import annotations

import msgspec
import pytest

from stream_app.adapters.redis.stored_cursor import NewerCursor, decoded_cursor, read_cursor
from stream_app.errors import NewerState
from stream_app.features.definitions import LAYOUT_VERSION
from stream_app.features.entities import ALL
from stream_app.scoring.positions import Cursor, Fingerprint, Position
from tests.later import later_cursor

CURSOR = Cursor(
    owner="a1",
    transactions=1203,
    labels=17,
    outputs={"alerts": 40, "scores": 1188},
    decided=Position(900, 12),
    full_from_ms=1_535_760_000_000,
    topic_ids={"transactions": "id-t", "labels": "id-l"},
    partitions=4,
    noted_from_ms=1_535_670_000_000,
    last={"transactions": Fingerprint(1202, "a06fcc1f3ae2b9d4")},
    kept="card 300 12 0 27",
    layout=1,
    entities=("terminal", "device", "merchant"),
)
WRITTEN = (
    b'{"owner":"a1","transactions":1203,"labels":17,"outputs":{"alerts":40,"scores":1188},"decided":[900,12],"full_from_ms":1535760000000,'
    b'"topic_ids":{"transactions":"id-t","labels":"id-l"},"partitions":4,"begun":true,"noted_from_ms":1535670000000,'
    b'"last":{"transactions":[1202,"a06fcc1f3ae2b9d4"]},"kept":"card 300 12 0 27","layout":1,"entities":["terminal","device","merchant"],"format":2}'
)
"""As it stands in the Redis of every worker that runs."""
_SINCE = (
    b'"last":{"transactions":[1202,"a06fcc1f3ae2b9d4"]},"kept":"card 300 12 0 27","layout":1,"entities":["terminal","device","merchant"],'
)
BEFORE = WRITTEN.replace(_SINCE, b"")
"""As versions wrote it that knew no last record, nor what rows keep, nor that a later one may keep more, nor state of other entities than terminals
and devices.
"""


class CursorOfBefore(msgspec.Struct, frozen=True):
    """As those versions read it, and write it again."""

    owner: str
    transactions: int = 0
    labels: int = 0
    outputs: dict[str, int] = {}
    decided: Position = Position(0, 0)
    full_from_ms: int = 0
    topic_ids: dict[str, str] = {}
    partitions: int = 0
    begun: bool = True
    noted_from_ms: int | None = None
    format: int = 2


def test_a_cursor_is_written_to_the_byte_as_the_version_before_wrote_it() -> None:
    """While a new version is rolled out, workers of both take partitions over from one another."""
    assert msgspec.json.encode(CURSOR) == WRITTEN


def test_a_cursor_of_before_is_read_and_the_version_before_reads_ours() -> None:
    """A rollback goes on from where we stood. It drops the last record with its first write, so none stands that it did not take.

    One that says no list of features is none of a later one: that is all that is asked of it, and its next write says ours. It counted nothing for
    merchants: its state has none.
    """
    before = read_cursor(BEFORE, "{g:0}cursor")
    assert before == msgspec.structs.replace(CURSOR, last={}, kept="", layout=LAYOUT_VERSION, entities=("terminal", "device"))
    assert before.lacks(ALL) == ("merchant", "mcc", "country", "ip")
    assert msgspec.json.encode(msgspec.json.decode(WRITTEN, type=CursorOfBefore)) == BEFORE


def test_a_cursor_that_stands_in_redis_is_read_whole() -> None:
    """With its positions as such."""
    cursor = read_cursor(WRITTEN, "{g:0}cursor")
    assert cursor == CURSOR
    assert cursor.decided.transactions == 900
    assert cursor.decided.labels == 12
    assert cursor.rebuilding is False


def test_a_cursor_of_a_later_format_is_no_damage() -> None:
    """Format, owner and partitions are those of every format; what else it says is not guessed at. Taken over it is not."""
    newer = later_cursor(WRITTEN)
    assert decoded_cursor(newer) == NewerCursor(format=3, owner="a1", partitions=4)
    assert decoded_cursor(WRITTEN.replace(b'"format":2', b'"format":3')) == NewerCursor(format=3, owner="a1", partitions=4)
    with pytest.raises(NewerState, match=r"'\{g:0\}cursor' has format 3; this version reads up to 2. Deploy the version that wrote it"):
        read_cursor(newer, "{g:0}cursor")


@pytest.mark.parametrize("decided", [b"[900]", b"[900,12,1]", b'{"transactions":900,"labels":12}', b"[900,null]"])
def test_a_cursor_whose_position_is_none_cannot_be_read(decided: bytes) -> None:
    """Half a position is no position: the partition is rebuilt."""
    assert decoded_cursor(WRITTEN.replace(b"[900,12]", decided)) is None
