"""The topics of rules and lists as state machines: what is in force is what the records say, whatever is torn, forged or sent again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.errors import RuleError
from stream_app.rules import checkpoint, entries, rules_log
from stream_app.rules.checkpoint import checkpoint_header, checkpoint_in, pieces_of
from stream_app.rules.lists import CardList, ListedValue, ListEntries, ListRemoval
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Approval, Release, ReleasePolicy, Rule, digest_of, release_name, release_of
from stream_app.rules.rules_log import RulesLog
from stream_app.rules.topic_log import ENDED_AGO_MS, MAX_RECORD_BYTES, Restoration, TopicLog
from tests.examples import examples
from tests.unit.rules.made import NOW_MS, rule

encode = msgspec.json.encode
FIRST, SECOND = rule("amount > 500", code="large"), rule("score > 0.9", code="sure")


def applied(log: TopicLog[Any], *records: Any) -> list[str]:
    """Take records one after the other; why some were refused."""
    refused = [log.apply(log.offset, encode(record), NOW_MS) for record in records]
    return [one.why for one in refused if one is not None]


def released(*rules: Rule, previous: str | None = None, **fields: Any) -> Release:
    """A release."""
    return release_of(rules, "ann", "for tests", previous, **fields)


def running(*rules: Rule) -> RulesLog:
    """A log with a release of these in force."""
    log = RulesLog()
    assert applied(log, *rules, released(*rules)) == []
    return log


def codes(log: RulesLog) -> list[tuple[str, int]]:
    """What is in force."""
    return [(one.rule.code, one.rule.version) for one in log.in_force.rules] if log.in_force else []


def test_a_release_is_in_force_from_behind_its_record_on() -> None:
    """Before, the one before; a decision says up to which offset it had read."""
    log = RulesLog(most_releases=10)
    one = released(FIRST)
    two = released(FIRST, SECOND, previous=one.name, policy=ReleasePolicy(0.3, 0.5, 0.9))
    assert applied(log, FIRST, SECOND, one, two) == []
    assert [getattr(log.in_force_at(offset), "name", None) for offset in range(6)] == [None, None, None, one.name, two.name, two.name]
    assert log.in_force is not None
    assert log.in_force.policy == ReleasePolicy(0.3, 0.5, 0.9)
    assert (log.in_force.author, log.in_force.why) == ("ann", "for tests")
    short = RulesLog()
    assert applied(short, FIRST, SECOND, one, two) == []
    with pytest.raises(RuleError, match="at offset 3 of the rules is not known: this reaches back to 4"):
        short.in_force_at(3)


def test_a_release_is_named_by_its_content() -> None:
    """The same rules and bands have one name, whoever releases them and why; going back is another release of what was there before."""
    one, again = released(FIRST), release_of([FIRST], "bob", "back again", "0" * 64)
    assert one.name == again.name == release_name(one.rules, None)
    assert len({released(*rules).name for rules in ((), (FIRST,), (FIRST, SECOND), (SECOND, FIRST))}) == 4
    assert released(FIRST, policy=ReleasePolicy(0.1, 0.2, 0.3)).name != one.name
    signed = msgspec.structs.replace(FIRST, approver="bob")
    assert digest_of(signed) == digest_of(FIRST)
    log = running(FIRST)
    two = rule("amount > 600", code="large", version=2)
    assert applied(log, two, released(two, previous=one.name), released(FIRST, previous=released(two).name)) == []
    assert log.in_force is not None
    assert (log.in_force.name, codes(log)) == (one.name, [("large", 1)])


BAD = rule("amount > 1", code="large", version=2)


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([rule("amont > 1", code="x")], "Rule 'x', version 1, expression, column 1: there is no 'amont'"),
        ([rule("amount > 1", code="large", version=3)], "the next version is 2. Somebody else may have put one"),
        ([rule("amount > 1", code="large")], "Rule 'large', version 1: the next version is 2"),
        ([rule("amount > 1", code="x", version=2)], "Rule 'x', version 2: the next version is 1"),
        ([rule("amount > 1", code="x", approver="bob")], "it comes with an approver"),
        ([Approval("large", 1, "0" * 64, "bob")], "there is none with this content"),
        ([Approval("x", 1, digest_of(FIRST), "bob")], "there is none with this content"),
        ([Approval("large", 1, digest_of(FIRST), "ann")], "its author cannot approve it"),
        ([released(SECOND)], "does not follow the one in force. Somebody else released"),
        ([released(SECOND, previous=released(FIRST).name)], "rule 'sure', version 1, is not there with this content. Put it first"),
        ([released(msgspec.structs.replace(FIRST, author="eve"), previous=released(FIRST).name)], "is not there with this content"),
        ([released(BAD, previous=released(FIRST).name)], "rule 'large', version 2, is not there"),
        ([msgspec.structs.replace(released(FIRST, previous=released(FIRST).name), rules=())], "its name is not the hash of what it holds"),
        ([released(FIRST, FIRST, previous=released(FIRST).name)], "rule 'large' stands in it twice"),
        (
            [released(FIRST, previous=released(FIRST).name, policy=ReleasePolicy(0.5, 0.4, 0.9))],
            "threshold, step_up and decline must not fall",
        ),
    ],
)
def test_a_record_that_cannot_be_taken_is_told_and_the_release_before_stays(records: list[Any], told: str) -> None:
    """Whatever it is; what is right and comes after it is taken."""
    log = running(FIRST)
    (why,) = applied(log, *records)
    assert told in why
    assert codes(log) == [("large", 1)]
    assert log.offset == 3
    assert applied(log, SECOND, released(FIRST, SECOND, previous=released(FIRST).name)) == []
    assert codes(log) == [("large", 1), ("sure", 1)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"null",
        b'{"kind":"other"}',
        encode(FIRST)[:-9],
        encode(FIRST) + b"}",
        encode(FIRST).replace(b'"amount', b'"more":1,"amount'),
        encode(FIRST).replace(b"{", b'{"more":1,', 1),
        encode(FIRST).replace(b'"version":1', b'"version":0'),
        encode(FIRST).replace(b'"live"', b'"on"'),
        encode(FIRST).replace(b"large", b"Large"),
        encode(FIRST).replace(b"ann", "\u0430nn".encode()),
        b"[" * 100_000,
        b" " * (MAX_RECORD_BYTES + 1),
        encode(CardList("watched", "card", "ask", "ann", "why")),
    ],
    ids=range(18),
)
def test_what_is_torn_or_foreign_is_told_and_changes_nothing(value: bytes | None) -> None:
    """In either topic; a record of the other one too."""
    for log in (running(FIRST), ListsLog()):
        if isinstance(log, ListsLog) and value is not None and b'"list"' in value:
            continue
        before = list(log.records(0))
        refused = log.apply(log.offset, value, NOW_MS)
        assert refused is not None
        assert refused.why.startswith("The record cannot be read: ")
        assert list(log.records(0)) == before


def test_a_record_that_is_sent_again_changes_nothing() -> None:
    """By a producer that tries again, or read twice."""
    log = running(FIRST)
    assert applied(log, FIRST, Approval("large", 1, digest_of(FIRST), "bob"), Approval("large", 1, digest_of(FIRST), "bob"), FIRST) == []
    assert log.rules["large"][1].approver == "bob"
    refused = log.apply(0, encode(SECOND), NOW_MS)
    assert refused is not None
    assert refused.why == "Offset 0 was read before: the next one is 6."
    assert "sure" not in log.rules


def test_who_releases_is_told_which_live_rules_nobody_approved() -> None:
    """Those in shadow need nobody."""
    log = RulesLog()
    quiet = rule("amount > 1", code="quiet", mode="shadow")
    assert applied(log, FIRST, SECOND, quiet, Approval("sure", 1, digest_of(SECOND), "bob")) == []
    assert log.unapproved(released(FIRST, SECOND, quiet)) == ("large",)


def test_rules_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes in number; of each the newest versions are kept, and the one in force."""
    monkeypatch.setattr(rules_log, "MAX_CODES", 2)
    log = running(FIRST)
    assert applied(log, *(rule(f"amount > {n}", code="large", version=n) for n in range(2, 40))) == []
    assert sorted(log.rules["large"]) == [1, *range(30, 40)]
    assert applied(log, SECOND) == []
    (why,) = applied(log, rule("amount > 1", code="third"))
    assert "there are 2 codes, no more are allowed" in why


def listed(log: ListsLog) -> dict[str, dict[str, tuple[int, str, str]]]:
    """What the lists hold."""
    return {name: {e.value: (e.until_ms, e.reason, e.author) for e in log.lists.of(name)} for name in log.lists.known}


def put(name: str, *values: str, until: int | None = None, why: str = "for tests") -> ListEntries:
    """Entries."""
    return ListEntries(name, tuple(ListedValue(value, until) for value in values), "ann", why)


WATCHED = CardList("watched", "terminal", "ask", "ann", "why")


def test_lists_are_what_their_records_come_to() -> None:
    """A record that is wrong in one entry is refused whole, by the time that it was written at."""
    log = ListsLog()
    (why,) = applied(
        log, WATCHED, put("watched", "a", "b"), put("watched", "c", "d", until=NOW_MS - 1), ListRemoval("watched", ("a",), "b", "w")
    )
    assert why.startswith("List 'watched', entry 1: its end")
    assert [*listed(log)["watched"]] == ["b"]


def whole(log: TopicLog[Any], first: int, checkpoint_id: str = "one", ended_ms: int = 0) -> Iterator[tuple[int, bytes]]:
    """A checkpoint of a log, standing in the topic from an offset on."""
    return enumerate(pieces_of(log.records(ended_ms), checkpoint_id, log.offset, ended_ms), first)


_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "remove", "rule", "release", "approve"]),
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from([None, NOW_MS + 5, NOW_MS + 10]),
    ),
    max_size=25,
)


def _records(changes: list[tuple[str, str, int | None]]) -> tuple[list[Any], list[Any]]:
    """Records of both topics."""
    of_rules, of_lists, versions, previous = list[Any](), list[Any]([WATCHED]), dict[str, Rule](), None
    for what, name, until in changes:
        if what == "put":
            of_lists.append(put("watched", f"{name}1", name, until=until, why=f"because {name}"))
        elif what == "remove":
            of_lists.append(ListRemoval("watched", (name,), "bob", "why"))
        elif what == "rule":
            one = rule(f"amount > {len(of_rules)}", code=name, version=versions[name].version + 1 if name in versions else 1)
            versions[name] = one
            of_rules.append(one)
        elif what == "approve" and name in versions:
            of_rules.append(Approval(name, versions[name].version, digest_of(versions[name]), "bob"))
        elif what == "release":
            of_rules.append(released(*versions.values(), previous=previous))
            previous = of_rules[-1].name
    return of_rules, of_lists


def _both_ways[L: TopicLog[Any]](empty: Callable[[], L], records: list[Any], data: st.DataObject) -> list[L]:
    """The state of who followed, and of who started from a checkpoint somewhere within."""
    values = [encode(record) for record in records]
    at = data.draw(st.integers(0, len(values)))
    behind = data.draw(st.integers(at, len(values)))
    written = empty()
    for offset, value in enumerate(values[:at]):
        written.apply(offset, value, NOW_MS)
    topic = [*values[:behind], *pieces_of(written.records(0), "one", written.offset, 0), *values[behind:]]
    follower = empty()
    refused = [follower.apply(offset, value, NOW_MS) for offset, value in enumerate(topic)]
    assert follower.checkpoint == behind
    restoration = Restoration(empty)
    (started,) = [log for offset, value in enumerate(topic[behind:], behind) if (log := restoration.read(offset, value)) is not None]
    assert started.offset == at
    assert [started.apply(offset, value, NOW_MS) for offset, value in enumerate(topic[at:], at)] == refused[at:]
    assert sorted(started.records(0)) == sorted(follower.records(0))
    assert started.tail_bytes == follower.tail_bytes == sum(map(len, values[behind:]))
    return [follower, started]


@pytest.mark.parametrize("piece_bytes", [1, 300, 500_000])
def test_a_start_from_a_checkpoint_and_the_tail_is_as_one_from_the_beginning(piece_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was taken, however far behind its pieces stand, in however many: state, release and refusals are the same, at every bound too."""
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(rules_log, "KEPT_VERSIONS", 2)
    monkeypatch.setattr(entries, "MAX_VALUE_BYTES", 10)
    monkeypatch.setattr(entries, "MAX_NOTES", 4)

    @examples(80)
    @given(_CHANGES, st.data())
    def same(changes: list[tuple[str, str, int | None]], data: st.DataObject) -> None:
        of_rules, of_lists = _records(changes)
        rules = _both_ways(RulesLog, of_rules, data)
        assert [codes(log) for log in rules] == [codes(rules[0])] * 2
        assert len({getattr(log.in_force, "name", None) for log in rules}) == 1
        _both_ways(ListsLog, of_lists, data)

    same()


type Pieces = list[dict[str, Any]]

BROKEN: dict[str, Callable[[Pieces], Any]] = {
    "no first piece": lambda told: told.pop(0),
    "a piece is missing": lambda told: told.pop(1),
    "two pieces change places": lambda told: told.insert(1, told.pop(2)),
    "no last piece": lambda told: told.pop(),
    "another record": lambda told: told[1]["records"][0]["entries"][0].update(value="forged"),
    "another hash": lambda told: told[-1].update(sha256="0" * 64),
    "another offset": lambda told: told[1].update(at=told[1]["at"] - 1),
    "beyond itself": lambda told: [piece.update(at=10_000) for piece in told],
    "a piece of another": lambda told: told[1].update(id="two"),
    "a record of another topic": lambda told: told[0]["records"].append(json.loads(encode(FIRST))),
    "a checkpoint in it": lambda told: told[0].update(records=[dict(told[0])]),
}


def _broken(pieces: list[bytes], how: Callable[[Pieces], Any]) -> list[bytes]:
    """A checkpoint that is torn, or forged."""
    told = [json.loads(piece) for piece in pieces]
    how(told)
    return [json.dumps(piece, separators=(",", ":")).encode() for piece in told]


@pytest.mark.parametrize("how", BROKEN)
def test_a_checkpoint_that_is_torn_or_forged_is_taken_for_none(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who starts from it, and by who follows: what was there before stays, and the whole one after it is taken."""
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 100)
    log = ListsLog()
    assert applied(log, WATCHED, put("watched", "a", why="one"), put("watched", "b", why="two"), put("watched", "c", why="three")) == []
    good = [value for _, value in whole(log, log.offset)]
    assert len(good) >= 4
    bad = _broken(good, BROKEN[how])
    assert _broken(good, lambda _: None) == good
    before = listed(log)
    restoration = Restoration(ListsLog)
    assert [restoration.read(offset, value) for offset, value in enumerate(bad, log.offset)] == [None] * len(bad)
    refused = [log.apply(log.offset, value, NOW_MS) for value in bad]
    assert any(refused) is (how != "no last piece")
    assert (listed(log), log.checkpoint) == (before, None)
    start = log.offset
    found = [one for offset, value in enumerate(good, start) if (one := restoration.read(offset, value)) is not None]
    assert [listed(one) for one in found] == [before]
    assert [log.apply(log.offset, value, NOW_MS) for value in good] == [None] * len(good)
    assert log.checkpoint == start


@pytest.mark.parametrize("record", [encode(FIRST), b'{"kind":"checkpoint"}', encode(put("other", "a"))], ids=["foreign", "torn", "no list"])
def test_a_checkpoint_whose_hash_is_right_and_whose_records_are_not_is_taken_for_none(record: bytes) -> None:
    """A start reads on, and takes the next one."""
    restoration = Restoration(ListsLog)
    (piece,) = pieces_of([encode(WATCHED), record], "one", 0, 0)
    (nested,) = pieces_of([encode(WATCHED), piece], "two", 0, 0)
    assert (restoration.read(0, piece), restoration.read(1, nested)) == (None, None)
    (good,) = pieces_of([encode(WATCHED)], "three", 0, 0)
    found = restoration.read(2, good)
    assert found is not None
    assert [*found.lists.known] == ["watched"]


def test_entries_that_ended_long_ago_go_with_a_checkpoint() -> None:
    """From its readers too; no sooner than a payment could still be counted, whatever a checkpoint says."""
    log = ListsLog()
    long_ago, late = NOW_MS + 10, NOW_MS + ENDED_AGO_MS + 10
    assert applied(log, WATCHED, put("watched", "a", until=long_ago), put("watched", "b", until=late), put("watched", "c")) == []
    pieces = list(whole(log, log.offset, ended_ms=long_ago))
    refused = log.apply(log.offset, pieces[0][1], NOW_MS + ENDED_AGO_MS)
    assert refused is not None
    assert "leaves out entries that ended less than 38 days ago" in refused.why
    assert len(listed(log)["watched"]) == 3
    assert log.apply(log.offset, pieces[0][1], long_ago + ENDED_AGO_MS) is None
    assert [*listed(log)["watched"]] == ["b", "c"]
    (started,) = [one for offset, value in pieces if (one := Restoration(ListsLog).read(offset, value))]
    assert listed(started) == listed(log)


def test_a_start_has_the_version_in_force_however_many_came_after_it() -> None:
    """More of them than are kept: a checkpoint holds the one in force beside the newest ones."""
    log = running(FIRST)
    assert applied(log, *(rule(f"amount > {n}", code="large", version=n) for n in range(2, 40))) == []
    restoration = Restoration(RulesLog)
    (started,) = [found for offset, value in whole(log, log.offset) if (found := restoration.read(offset, value))]
    assert started.in_force is not None
    assert [one.rule.version for one in started.in_force.rules] == [1]
    assert started.rules == log.rules


def test_what_was_in_force_before_a_checkpoint_is_not_known() -> None:
    """From its offset on it is."""
    log = running(FIRST)
    (started,) = [one for offset, value in whole(log, 7) if (one := Restoration(RulesLog).read(offset, value))]
    assert codes(started) == [("large", 1)]
    assert started.in_force_at(2) == started.in_force
    with pytest.raises(RuleError, match="at offset 1 of the rules is not known: this reaches back to 2"):
        started.in_force_at(1)


def test_the_last_record_says_where_a_start_begins() -> None:
    """By a header, which anybody may have written: what is no offset says nothing."""
    assert checkpoint_in(20, None, checkpoint_header(17)) == 17
    assert checkpoint_header(None) == []
    for headers in ([], [("checkpoint", b"x")], [("checkpoint", None)], [("checkpoint", b"-1")], [("checkpoint", b"9" * 30)]):
        assert checkpoint_in(20, encode(WATCHED), headers) is None


def test_a_checkpoint_in_one_piece_is_where_a_start_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header names the one before it. A piece of several says where its first one stands."""
    (piece,) = pieces_of([encode(WATCHED)], "one", 0, 0)
    assert checkpoint_in(20, piece, checkpoint_header(17)) == 20
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 1)
    for one in pieces_of([encode(WATCHED), encode(put("watched", "a"))], "two", 0, 0):
        assert checkpoint_in(20, one, checkpoint_header(17)) == 17


def test_what_would_be_refused_is_known_before_it_is_written() -> None:
    """For the same reason; asked, neither log changes."""
    first = released(FIRST)
    of_rules: list[Any] = [
        FIRST,
        first,
        released(FIRST),
        Approval("large", 1, digest_of(FIRST), "ann"),
        rule("amount > 5", code="large"),
        SECOND,
    ]
    of_lists: list[Any] = [
        WATCHED,
        put("watched", "a"),
        put("none", "a"),
        put("watched", "a", until=NOW_MS),
        ListRemoval("none", ("a",), "ann", "why"),
    ]
    for log, records in ((RulesLog(), of_rules), (ListsLog(), of_lists)):
        for record in records:
            before = [*log.records(0)]
            told: str | None = None
            try:
                log.check(encode(record), NOW_MS)
            except RuleError as error:
                told = str(error)
            assert [*log.records(0)] == before
            refused = log.apply(log.offset, encode(record), NOW_MS)
            assert told == (refused.why if refused else None)
        with pytest.raises(RuleError, match="cannot be read"):
            log.check(b"torn", NOW_MS)
