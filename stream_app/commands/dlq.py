"""`fraudstream dlq show|replay`: dead letters looked at, mended, and sent back once."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from stream_app.commands.letter_lines import MOST_LETTERS, LetterLine, letters_in, line_of
from stream_app.commands.returning import LetterFate, give_back
from stream_app.commands.times import moment_ms
from stream_app.commands.topic_records import read_topic
from stream_app.delivery.sent_back import DeadLetter, LetterPlace, letter_of, mark_in
from stream_app.messages.refusals import shown
from stream_app.settings import Settings, load_settings

app = typer.Typer(help="Dead letters: look at them, and send mended ones back.", no_args_is_help=True)
DEFAULT_LIMIT = 100
_MOST_CODES = 64
_FOREIGN = "of other programs"


@app.command()
def show(
    *,
    code: Annotated[str, typer.Option(help="Only those with this code, as wrong_type.")] = "",
    since: Annotated[
        str | None, typer.Option(help="Only those written from this time on: 2018-07-01, 2018-07-01T12:00:00 (UTC), or ms.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_LETTERS, help="So many, the newest.")] = DEFAULT_LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: what `dlq replay` takes, after you mended it.")] = False,
) -> None:
    """Show dead letters, the newest first: why, from where, what stood there, and whether they can go back."""
    found = asyncio.run(newest_letters(load_settings(), limit, code, moment_ms(since, "--since") or 0))
    if as_json:
        for line in found.lines():
            sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        return
    console = Console(highlight=False)
    for text in told(found):
        console.print(text, soft_wrap=True)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Letters as `dlq show --json` prints them, mended; - for standard input.", allow_dash=True)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
) -> None:
    """Send records back to the topic that they came from, each letter's once; what workers would refuse again is not sent. Exit code 1: some were not."""
    outcomes = asyncio.run(give_back(load_settings(), letters_in(file), dry_run=dry_run))
    counts = Counter(outcome for outcome, _ in outcomes)
    for outcome, text in outcomes:
        if outcome is not LetterFate.SENT:
            typer.echo(text, err=True)
    sent = counts.pop(LetterFate.SENT, 0)
    rest = "".join(f", {count:,} {outcome}" for outcome, count in sorted(counts.items()))
    typer.echo(f"{sent:,} {'would be sent' if dry_run else 'sent'} back{rest}.")
    raise typer.Exit(1 if counts else 0)


@dataclass(slots=True)
class NewestLetters:
    """The newest dead letters of both topics. Memory: `most` of them, each below 80 kB, and a count of each code.

    Attributes:
        counts: letters by topic and code, those that are not kept among them.
    """

    most: int
    code: str = ""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _heap: list[tuple[int, LetterPlace, DeadLetter]] = field(default_factory=list)
    _kept: set[LetterPlace] = field(default_factory=set)
    _gone_back: set[LetterPlace] = field(default_factory=set)

    def add(self, letter: DeadLetter) -> None:
        """Count it, and keep it if it is of the code that is asked for, and among the newest."""
        named = (letter.place.topic, letter.code)
        self.counts[named if named in self.counts or len(self.counts) < _MOST_CODES else (letter.place.topic, _FOREIGN)] += 1
        if self.code in {"", letter.code}:
            self._kept.add(letter.place)
            if len(self._heap) < self.most:
                heappush(self._heap, (letter.at_ms, letter.place, letter))
            else:
                _, gone, _ = heappushpop(self._heap, (letter.at_ms, letter.place, letter))
                self._kept.discard(gone)
                self._gone_back.discard(gone)

    def mark(self, place: LetterPlace) -> None:
        """It went back. Its letter was read before, for it stands before the mark; one that is not kept is nobody's matter."""
        if place in self._kept:
            self._gone_back.add(place)

    def lines(self) -> list[LetterLine]:
        """Those that are kept, the newest first."""
        return [line_of(letter, went_back=place in self._gone_back) for _, place, letter in sorted(self._heap, reverse=True)]


async def newest_letters(settings: Settings, most: int, code: str = "", since_ms: int = 0) -> NewestLetters:
    """The newest dead letters of both topics.

    Raises:
        TopologyError, Unavailable, UnpackError: as `read_topic`.
    """
    found = NewestLetters(most, code)
    for topic in (settings.transactions_dlq_topic, settings.labels_dlq_topic):
        async with aclosing(read_topic(settings, topic, since_ms=since_ms, committed=True)) as read:
            async for records in read:
                for record in records:
                    if letter := letter_of(topic, record.partition, record):
                        found.add(letter)
                    elif place := mark_in(record):
                        found.mark(place)
    return found


def told(found: NewestLetters) -> Iterator[str]:
    """For a person: letter by letter, then how many there are of each code."""
    lines = found.lines()
    for line in lines:
        key = "none" if line.key is None else escape(shown(line.key))
        yield (
            f"{datetime.fromtimestamp(line.at / 1000, UTC):%Y-%m-%d %H:%M:%S}  [bold]{escape(line.code)}[/]  {line.letter}  "
            f"from {escape(line.source)}  key {key}"
        )
        yield f"        {escape(line.message)}"
        yield f"        [dim]{escape(shown(line.value)) if line.value is not None else 'no text: --json has its bytes in base64'}[/]"
        if line.went_back:
            yield "        [green]went back[/]"
        elif line.needs:
            yield f"        [yellow]cannot go back as it is: {escape(line.needs)}[/]"
    if not found.counts:
        yield "No dead letters."
    for (topic, code), count in sorted(found.counts.items()):
        yield f"{topic}: {count:,} {code}"
    if len(lines) < sum(found.counts.values()):
        yield f"[dim]{len(lines):,} of them are shown. --limit shows more, --since and --code fewer.[/]"
