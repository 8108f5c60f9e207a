"""`fraudstream rules list | show | diff | history`: which rules there are, which are in force, and how that came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import msgspec
import typer

from stream_app.adapters.kafka.log import KafkaLog
from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.commands.rule_changes import MOST_RELEASES
from stream_app.commands.rule_json import differences_told, print_json, record_told, rules_told, versions_told
from stream_app.messages.records import Record, decoded
from stream_app.rules.changes import described, differences, in_force, newest, released
from stream_app.rules.checkpoint import Checkpoint
from stream_app.rules.rule import Approval, Release, Rule, digest_of
from stream_app.rules.rules_log import RulesLog
from stream_app.settings import Settings, load_settings

TypedCode = Annotated[str, typer.Argument(help="Of a rule.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@asynccontextmanager
async def _read(settings: Settings, *, past: bool = False) -> AsyncIterator[RulesLog]:
    empty = partial(RulesLog, MOST_RELEASES)
    async with RuleTopic.open(client_options(settings), settings.rules_topic, empty, past=past) as topic:
        yield topic.log


def list_rules(*, as_json: AsJson = False) -> None:
    """Show all rules: which version is in force, and which is the newest."""

    async def run() -> None:
        async with _read(load_settings()) as log:
            if as_json:
                print_json(rules_told(log))
                return
            now = in_force(log)
            for code in sorted(log.rules):
                last = newest(log, code)
                if code not in now:
                    typer.echo(f"not in force: {described(last)}")
                    continue
                typer.echo(f"in force: {described(now[code])}")
                if last.version != now[code].version:
                    typer.echo(f"  newer: {described(last)}")
            if (release := log.in_force) is not None:
                typer.echo(f"release {release.name[:12]} by {release.author}: {release.why}")
                if (bands := release.policy) is not None:
                    typer.echo(f"bands of the model: threshold {bands.threshold:g}, step up {bands.step_up:g}, decline {bands.decline:g}")
            elif not log.rules:
                typer.echo("There is no rule. Put some: fraudstream rules put FILE --as PERSON.")

    asyncio.run(run())


def show(code: TypedCode, *, as_json: AsJson = False) -> None:
    """Show the versions of a rule that are kept, the newest first."""

    async def run() -> None:
        async with _read(load_settings()) as log:
            newest(log, code)
            if as_json:
                print_json(versions_told(log, code))
                return
            now = in_force(log).get(code)
            for _, rule in sorted(log.rules[code].items(), reverse=True):
                for line in _shown(rule, is_in_force=now is not None and now.version == rule.version):
                    typer.echo(line)

    asyncio.run(run())


def _shown(rule: Rule, *, is_in_force: bool) -> Iterator[str]:
    yield described(rule) + (", in force" if is_in_force else "")
    yield f"  sentence: {rule.sentence}"
    if rule.expected_share is not None:
        yield f"  expected to hit {rule.expected_share:.3g} of all payments"
    for name, at_ms in (("from", rule.valid_from), ("until", rule.valid_until)):
        if at_ms is not None:
            yield f"  valid {name} {_at(at_ms)}"
    yield f"  by {rule.author}, {f'approved by {rule.approver}' if rule.approver else 'not approved'}; {digest_of(rule)[:12]}"


def diff(
    to: Annotated[str | None, typer.Argument(metavar="[RELEASE]", help="Beginning of a release's name.")] = None, *, as_json: AsJson = False
) -> None:
    """Show what the newest versions would change of what is in force; or what going to a release of the past would."""

    async def run() -> None:
        async with _read(load_settings(), past=to is not None) as log:
            if to is None:
                wanted = {code: newest(log, code) for code in log.rules}
            else:
                wanted = {one.rule.code: one.rule for one in released(log, to).rules}
            if as_json:
                print_json(differences_told(in_force(log), wanted))
                return
            told = list(differences(in_force(log), wanted))
            for line in told or ["nothing differs"]:
                typer.echo(line)

    asyncio.run(run())


def history(*, as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line.")] = False) -> None:
    """Show all that the topic of rules holds, in order: what was put, approved and released, by whom and why; and what was refused."""

    async def run() -> None:
        settings = load_settings()
        log, place = KafkaLog(client_options(settings), settings.consumer_group, settings.rule_topics()), (settings.rules_topic, 0)
        begin = (await log.bounds([place]))[place].begin
        of = RulesLog()
        async for _, records in log.walk({place: begin}):
            for record in records:
                why = of.apply(record.offset, record.value, record.timestamp)
                refused = None if why is None or begin else why.why
                if as_json:
                    print_json(record_told(record, refused))
                    continue
                typer.echo(
                    f"{record.offset:>6}  {_at(record.timestamp)}  {_told(record)}{'' if refused is None else f'; refused: {refused}'}"
                )

    asyncio.run(run())


_DECODER: msgspec.json.Decoder[Rule | Approval | Release | Checkpoint] = msgspec.json.Decoder(Rule | Approval | Release | Checkpoint)


def _told(record: Record) -> str:
    """A record in one line."""
    match decoded(_DECODER, record.value):
        case Rule() as rule:
            return f"{rule.author} put {described(rule)}"
        case Approval() as one:
            return f"{one.approver} approved {one.code} {one.version}"
        case Release() as release:
            codes = ", ".join(f"{rule.code} {rule.version}" for rule in release.rules) or "no rule"
            return f"{release.author} released {release.name[:12]} ({codes}): {release.why}"
        case Checkpoint() as piece:
            return f"piece {piece.piece} of checkpoint {piece.id}"
        case _:
            return "what cannot be read"


def _at(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (("list", list_rules), ("show", show), ("diff", diff), ("history", history))
