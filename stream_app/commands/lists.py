"""`fraudstream lists`: lists of cards, terminals, devices, merchants, addresses and countries, and what they hold."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.rule_writer import RuleWriter
from stream_app.commands.list_files import at_once, checked_file, entries_in, write_entries
from stream_app.commands.rule_json import entries_told, entry_told, list_told, print_json
from stream_app.commands.signing import TypedAuthor, TypedReason, made, signed
from stream_app.commands.times import moment_ms
from stream_app.errors import RuleError
from stream_app.features.aggregations import DAY_MS
from stream_app.rules.entries import FOREVER, Entry
from stream_app.rules.lists import MAX_AT_ONCE, CardList, ListEntries, ListRemoval
from stream_app.rules.lists_log import ListsLog
from stream_app.settings import Settings, load_settings

_SHOWN = 100
_SOON_MS = DAY_MS

app = typer.Typer(help="Lists: make them, add and remove values, import and export them.", no_args_is_help=True)

TypedName = Annotated[str, typer.Argument(help="Of the list.")]
TypedValues = Annotated[list[str], typer.Argument(help="Values.")]
Until = Annotated[str | None, typer.Option(help="End, in event time, not included: 2026-12-24, 2026-12-24T12:00:00 (UTC), or ms.")]


@app.callback()
def _lists() -> None:
    """Lists, and what they hold."""


def _empty(settings: Settings) -> partial[ListsLog]:
    return partial(ListsLog, refuse_card_numbers=settings.refuse_card_numbers)


@asynccontextmanager
async def _writing() -> AsyncIterator[RuleWriter[ListsLog]]:
    settings = load_settings()
    async with RuleWriter.open(client_options(settings), settings.lists_topic, _empty(settings)) as writer:
        yield writer


@asynccontextmanager
async def _read() -> AsyncIterator[ListsLog]:
    settings = load_settings()
    async with RuleTopic.open(client_options(settings), settings.lists_topic, _empty(settings)) as topic:
        yield topic.log


def _known(log: ListsLog, name: str) -> CardList:
    if name not in log.lists.known:
        raise RuleError(
            f"There is no list {name!r}; there are: {', '.join(log.lists.known) or 'none'}. Make it: fraudstream lists create {name} --of KIND."
        )
    return log.lists.known[name]


@app.command("create")
def create(
    name: TypedName,
    of: Annotated[str, typer.Option(help="What its values are: card, terminal, device, merchant, ip or country. It stays.")],
    author: TypedAuthor,
    why: TypedReason,
    power: Annotated[str, typer.Option(help="What it does by itself: final_block, allow, block, or ask: nothing, rules ask it.")] = "ask",
) -> None:
    """Make a list; of one that there is, change its power."""

    async def run() -> None:
        async with _writing() as writer:
            await writer.write([signed(CardList, name=name, of=of, power=power, author=author, why=why)])
            typer.echo(f"list {name} of kind {of}, power {power}: {writer.log.lists.count(name):,} entries")

    asyncio.run(run())


@app.command("add")
def add(name: TypedName, values: TypedValues, author: TypedAuthor, why: TypedReason, until: Until = None) -> None:
    """Put values on a list; one that is there already gets this end, reason and author."""
    until_ms = moment_ms(until, "--until")
    fields = {} if until_ms is None else {"until": until_ms}
    _change(
        name,
        [signed(ListEntries, name=name, entries=[{"value": v, **fields} for v in some], author=author, why=why) for some in _runs(values)],
    )


@app.command("remove")
def remove(name: TypedName, values: TypedValues, author: TypedAuthor, why: TypedReason) -> None:
    """Take values off a list; one that is not there is passed over."""
    _change(name, [signed(ListRemoval, name=name, values=list(some), author=author, why=why) for some in _runs(values)])


def _runs(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + MAX_AT_ONCE] for start in range(0, len(values), MAX_AT_ONCE))


def _change(name: str, records: list[bytes]) -> None:
    async def run() -> None:
        async with _writing() as writer:
            _known(writer.log, name)
            before = writer.log.lists.count(name)
            await writer.write(records)
            typer.echo(f"list {name}: {before:,} entries before, {writer.log.lists.count(name):,} now")

    asyncio.run(run())


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="Of a list; without one, all lists are shown.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Entries that are shown.")] = _SHOWN,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show all lists with how much they hold; or the entries of one, with their ends, reasons and authors."""

    async def run() -> None:
        async with _read() as log:
            if as_json:
                print_json(_shown(log, name, limit))
                return
            if name is not None:
                _known(log, name)
                for entry in islice(log.lists.of(name), limit):
                    typer.echo(_line(entry))
                if (more := log.lists.count(name) - limit) > 0:
                    typer.echo(f"… and {more:,} more: fraudstream lists export {name}")
                return
            for one, ending in _ending(log):
                told = f"; {ending:,} ended or end within a day" if ending else ""
                typer.echo(f"{one.name}: {one.of}, {one.power}, {log.lists.count(one.name):,} entries{told}; by {one.author}: {one.why}")
            if not log.lists.known:
                typer.echo("There is no list. Make one: fraudstream lists create NAME --of KIND --as PERSON --why WHY.")

    asyncio.run(run())


def _ending(log: ListsLog) -> Iterator[tuple[CardList, int]]:
    """The lists, and how many entries of each ended or end within a day."""
    soon_ms = _now_ms() + _SOON_MS
    return ((one, log.lists.entries.ending(number, soon_ms)) for number, one in enumerate(log.lists.known.values()))


def _shown(log: ListsLog, name: str | None, limit: int) -> dict[str, Any]:
    """All lists, or entries of one, as JSON has them."""
    if name is None:
        return {"lists": [list_told(one, log.lists.count(one.name), ending) for one, ending in _ending(log)]}
    return entries_told(_known(log, name), log.lists.count(name), list(islice(log.lists.of(name), limit)))


def _line(entry: Entry) -> str:
    until = "" if entry.until_ms == FOREVER else f", until {datetime.fromtimestamp(entry.until_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    return f"{entry.value}{until}; by {entry.author}: {entry.reason}"


@app.command("import")
def import_(
    name: TypedName,
    file: Annotated[Path, typer.Argument(help="CSV: a value a line, or columns value,until.")],
    author: TypedAuthor,
    why: TypedReason,
    until: Until = None,
) -> None:
    """Put the values of a file on a list, a thousand in a record. All of the file is checked first; nothing of one that is wrong is written."""
    settings, until_ms = load_settings(), moment_ms(until, "--until")

    async def run() -> None:
        async with _writing() as writer:
            one = _known(writer.log, name)
            count = checked_file(file, one, writer.log.lists, until_ms, _now_ms(), refuse_card_numbers=settings.refuse_card_numbers)
            typer.echo(f"{file}: {count:,} entries, all right")
            made(ListRemoval, name=name, values=["any"], author=author, why=why)
            entries = (entry for _, entry in entries_in(file, until_ms))
            records = (ListEntries(name, some, author, why) for some in at_once(entries))
            await writer.write(map(msgspec.json.encode, records), lambda done: _progress(done, count))
            typer.echo(f"list {name}: {writer.log.lists.count(name):,} entries now")

    asyncio.run(run())


@app.command("export")
def export(
    name: TypedName,
    file: Annotated[Path | None, typer.Argument(help="To write, CSV; without one, to the standard output.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, to the standard output.")] = False,
) -> None:
    """Write the entries of a list, with ends, reasons and authors: as CSV, which `import` reads."""
    if as_json and file is not None:
        raise typer.BadParameter("it writes to the standard output: name no file", param_hint="--json")

    async def run() -> None:
        async with _read() as log:
            _known(log, name)
            if as_json:
                for entry in log.lists.of(name):
                    print_json(entry_told(entry))
                return
            if file is None:
                write_entries(log.lists.of(name), sys.stdout)
                return
            with file.open("w", encoding="utf-8", newline="") as opened:
                typer.echo(f"{file}: {write_entries(log.lists.of(name), opened):,} entries")

    asyncio.run(run())


@app.command("checkpoint")
def checkpoint() -> None:
    """Write a checkpoint of all lists, without what ended 38 days ago. Whoever writes much does it by itself."""

    async def run() -> None:
        async with _writing() as writer:
            typer.echo(f"checkpoint of {await writer.checkpoint()} pieces at offset {writer.log.checkpoint}")

    asyncio.run(run())


def _progress(records: int, of: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{min(records * MAX_AT_ONCE, of):,} of {of:,}", err=True, nl=False)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
