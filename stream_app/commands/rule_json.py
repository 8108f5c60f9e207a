"""Rules, releases, lists and their history as JSON, for programs: the fields stand in docs/how-to/rules.md, are always there, and stay."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stream_app.messages.records import Record, decoded
from stream_app.rules.changes import changed, in_force, newest
from stream_app.rules.checkpoint import Checkpoint
from stream_app.rules.entries import FOREVER, Entry
from stream_app.rules.lists import CardList
from stream_app.rules.rule import Approval, Release, Rule, digest_of
from stream_app.rules.rules_log import RulesLog

type JsonFields = dict[str, Any]

_DECODER: msgspec.json.Decoder[Rule | Approval | Release | Checkpoint] = msgspec.json.Decoder(Rule | Approval | Release | Checkpoint)


def print_json(told: JsonFields) -> None:
    """One line on the standard output."""
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")


def rule_told(rule: Rule) -> JsonFields:
    """A version of a rule, and its hash."""
    return _fields(rule) | {"sha256": digest_of(rule)}


def rules_told(log: RulesLog) -> JsonFields:
    """The release in force, and of each rule the version in force and the newest."""
    now, release = in_force(log), log.in_force
    return {
        "release": None
        if release is None
        else {
            "name": release.name,
            "author": release.author,
            "why": release.why,
            "policy": None if release.policy is None else _fields(release.policy),
        },
        "rules": [
            {"code": code, "in_force": rule_told(now[code]) if code in now else None, "newest": rule_told(newest(log, code))}
            for code in sorted(log.rules)
        ],
    }


def versions_told(log: RulesLog, code: str) -> JsonFields:
    """The versions of a rule that are kept, the newest first."""
    now = in_force(log).get(code)
    versions = [rule_told(rule) for _, rule in sorted(log.rules[code].items(), reverse=True)]
    return {"code": code, "in_force": None if now is None else now.version, "versions": versions}


def differences_told(of: Mapping[str, Rule], to: Mapping[str, Rule]) -> JsonFields:
    """What changes from some rules to others."""
    changes = [
        {
            "code": code,
            "from": None if was is None else rule_told(was),
            "to": None if wanted is None else rule_told(wanted),
            "changed": [] if was is None or wanted is None else list(changed(was, wanted)),
        }
        for code in sorted(of.keys() | to.keys())
        if (was := of.get(code)) is not (wanted := to.get(code)) and (was is None or wanted is None or digest_of(was) != digest_of(wanted))
    ]
    return {"different": bool(changes), "changes": changes}


def record_told(record: Record, refused: str | None) -> JsonFields:
    """A record of the topic of rules; a piece of a checkpoint without the records in it."""
    found = decoded(_DECODER, record.value)
    told: JsonFields | None
    match found:
        case None:
            told = None
        case Rule():
            told = rule_told(found)
        case Checkpoint():
            told = {"id": found.id, "at": found.at, "piece": found.piece}
        case _:
            told = _fields(found)
    kind = None if found is None else found.__struct_config__.tag
    return {"offset": record.offset, "at_ms": record.timestamp, "kind": kind, "record": told, "refused": refused}


def list_told(one: CardList, count: int, ending: int) -> JsonFields:
    """A list, how many entries it has, and how many of them ended or end within a day."""
    return _fields(one) | {"count": count, "ending": ending}


def entry_told(entry: Entry) -> JsonFields:
    """An entry of a list."""
    until = None if entry.until_ms == FOREVER else entry.until_ms
    return {"value": entry.value, "until": until, "reason": entry.reason, "author": entry.author}


def entries_told(one: CardList, count: int, entries: Sequence[Entry]) -> JsonFields:
    """A list with entries of it: some, or all."""
    return _fields(one) | {"count": count, "entries": list(map(entry_told, entries))}


def _fields(record: msgspec.Struct) -> JsonFields:
    """All fields of a record, those that have their default too."""
    return {name: msgspec.to_builtins(getattr(record, name)) for name in record.__struct_fields__}
