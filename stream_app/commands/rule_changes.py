"""`fraudstream rules put | approve | release | disable | rollback | apply | checkpoint`: what changes the rules in force."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.rule_writer import RuleWriter
from stream_app.commands.past_payments import DataFile, FromTopics, PastPayments
from stream_app.commands.rule_files import read_rules
from stream_app.commands.signing import Signature, TypedAuthor, TypedReason, made, signed
from stream_app.commands.wide_rules import Confirmed, WideRules
from stream_app.errors import RuleError
from stream_app.rules.authoring import approval_of, check_lists, next_release, without
from stream_app.rules.changes import acting, before, described, differences, in_force, is_known, newest, released, version_of
from stream_app.rules.lists import Lists
from stream_app.rules.lists_log import ListsLog
from stream_app.rules.rule import Approval, CheckedRule, Release, ReleasePolicy, Rule, checked_rule
from stream_app.rules.rules_log import RulesLog
from stream_app.settings import Settings, load_settings

MOST_RELEASES = 10_000
DIFFERENT = 2
"""How a dry run ends that found a difference."""

ModelFile = Annotated[Path | None, typer.Option("--model", help="An ONNX file of `train`, for rules that ask for the score.")]
Files = Annotated[list[Path], typer.Argument(help="Files of rules, TOML.")]
Codes = Annotated[list[str] | None, typer.Argument(help="Codes of rules.")]


@asynccontextmanager
async def _writing(settings: Settings, *, past: bool = False) -> AsyncIterator[RuleWriter[RulesLog]]:
    empty = partial(RulesLog, MOST_RELEASES) if past else RulesLog
    async with RuleWriter.open(client_options(settings), settings.rules_topic, empty, past=past) as writer:
        yield writer


async def lists_for(settings: Settings, rules: Iterable[CheckedRule]) -> Lists:
    """The lists in force; none where no rule asks one: reading a million entries takes seconds.

    Raises:
        RuleError: a rule asks a list that there is not, or of values of another kind.
    """
    asking = [one for one in rules if one.expression.lists]
    if not asking:
        return Lists()
    async with RuleTopic.open(client_options(settings), settings.lists_topic, _lists_log(settings)) as topic:
        lists = topic.log.lists
    check_lists(asking, lists)
    return lists


def _lists_log(settings: Settings) -> Callable[[], ListsLog]:
    return partial(ListsLog, refuse_card_numbers=settings.refuse_card_numbers)


def rules_in(files: Sequence[Path]) -> list[CheckedRule]:
    """The rules of some files.

    Raises:
        DataError, RuleError: one cannot be read or run, or two have one code.
    """
    found: dict[str, CheckedRule] = {}
    for file in files:
        of = read_rules(file)
        if of.wrong:
            raise RuleError(f"{of.wrong[0]} `fraudstream rules check {file}` shows all that is wrong.")
        for one in of.rules:
            if one.rule.code in found:
                raise RuleError(f"{file}: rule {one.rule.code!r} stands in a file before it too. Take one of them out.")
            found[one.rule.code] = one
    if not found:
        raise RuleError(f"There is no rule in {', '.join(map(str, files)) or 'no file'}. A rule is a table [[rule]]; see docs/rules.md.")
    return [*found.values()]


def put(files: Files, author: TypedAuthor) -> None:
    """Put new versions of rules that differ from those there are. Nothing comes into force by it: `release` does that."""
    settings, checked = load_settings(), rules_in(files)

    async def run() -> None:
        await lists_for(settings, checked)
        async with _writing(settings) as writer:
            versions = [version_of(writer.log, one.rule, author) for one in checked]
            await _put(writer, versions)

    asyncio.run(run())


async def _put(writer: RuleWriter[RulesLog], versions: Sequence[Rule]) -> None:
    """Those that are new."""
    new = [rule for rule in versions if not is_known(writer.log, rule)]
    await writer.write([signed(Rule, **_fields(rule)) for rule in new])
    for rule in versions:
        typer.echo(f"{'put' if rule in new else 'unchanged'}: {described(rule)}")


def _fields(record: Rule | Approval | Release) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    return fields


def approve(
    code: Annotated[str, typer.Argument(help="Of the rule.")],
    approver: TypedAuthor,
    version: Annotated[int | None, typer.Argument(help="Of the rule; without one, the newest.")] = None,
) -> None:
    """Approve a version of a rule, as it is written now. Its author cannot."""

    async def run() -> None:
        async with _writing(load_settings()) as writer:
            rule, approval = approval_of(writer.log, code, version, approver)
            await writer.write([signed(Approval, **_fields(approval))])
            typer.echo(f"approved by {approver}: {described(rule)}")

    asyncio.run(run())


def release(  # noqa: PLR0913 - the command's options
    author: TypedAuthor,
    why: TypedReason,
    codes: Codes = None,
    bands: Annotated[
        str | None, typer.Option(help="Of the model: threshold,step_up,decline, as 0.3,0.5,0.9; or `model`: its own again.")
    ] = None,
    data: DataFile = None,
    *,
    topics: FromTopics = False,
    model: ModelFile = None,
    confirm: Confirmed = None,
) -> None:
    """Bring the newest versions of some rules into force; the others stay. A live one is tried on the last day's payments first."""
    if not codes and bands is None:
        raise typer.BadParameter("name rules, or give --bands", param_hint="CODES")
    settings = load_settings()
    wide = WideRules(PastPayments.given(settings, data, topics=topics), model, confirm or ())

    async def run() -> None:
        async with _writing(settings) as writer:
            wanted = in_force(writer.log) | {code: newest(writer.log, code) for code in codes or ()}
            await _release(writer, wanted, Signature(author, why), settings, wide, _policy(writer.log, bands))

    asyncio.run(run())


def _policy(log: RulesLog, bands: str | None) -> ReleasePolicy | None:
    if bands is None:
        return log.in_force.policy if log.in_force else None
    if bands == "model":
        return None
    try:
        threshold, step_up, decline = map(float, bands.split(","))
    except ValueError:
        raise typer.BadParameter(f"{bands!r} is not three numbers, as 0.3,0.5,0.9, nor `model`", param_hint="--bands") from None
    return made(ReleasePolicy, threshold=threshold, step_up=step_up, decline=decline)


async def _release(
    writer: RuleWriter[RulesLog],
    wanted: Mapping[str, Rule],
    signature: Signature,
    settings: Settings,
    wide: WideRules | None,
    policy: ReleasePolicy | None,
) -> None:
    """Bring rules into force: those that are there, whose lists are there, that somebody approved, and that do not hit too much."""
    rules = [wanted[code] for code in sorted(wanted)]
    one = next_release(writer.log, wanted, signature, policy, needs_approval=settings.rules_need_approval)
    if one is None:
        now = writer.log.in_force
        typer.echo(f"nothing changes: release {now.name[:12] if now else ''} is in force")
        return
    lists = await lists_for(settings, [checked_rule(rule) for rule in rules])
    if wide is not None:
        await wide.refuse(acting(rules, writer.log), lists, settings)
    told = list(differences(in_force(writer.log), wanted))
    await writer.write([signed(Release, **_fields(one))])
    for line in told:
        typer.echo(line)
    typer.echo(f"release {one.name[:12]} is in force: {len(rules)} rules")


def disable(author: TypedAuthor, why: TypedReason, codes: Annotated[list[str], typer.Argument(help="Codes of rules.")]) -> None:
    """Take rules out of force at once. Their versions stay, and come back by `release`."""

    async def run() -> None:
        settings = load_settings()
        async with _writing(settings) as writer:
            await _release(writer, without(writer.log, codes), Signature(author, why), settings, None, _policy(writer.log, None))

    asyncio.run(run())


def rollback(
    author: TypedAuthor,
    why: TypedReason,
    to: Annotated[
        str | None, typer.Argument(metavar="[RELEASE]", help="Beginning of a release's name; without one, the one before.")
    ] = None,
) -> None:
    """Bring a release of the past into force again, with its bands: the one before, or one that is named. Nothing is tried again."""

    async def run() -> None:
        settings = load_settings()
        async with _writing(settings, past=True) as writer:
            past = before(writer.log) if to is None else released(writer.log, to)
            wanted = {one.rule.code: writer.log.rules.get(one.rule.code, {}).get(one.rule.version, one.rule) for one in past.rules}
            await _release(writer, wanted, Signature(author, why), settings, None, past.policy)

    asyncio.run(run())


def apply(  # noqa: PLR0913 - the command's options
    folder: Annotated[Path, typer.Argument(help="Folder of files of rules, *.toml: these rules are to be in force, and no others.")],
    author: TypedAuthor,
    why: TypedReason,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change: code 0 where nothing would, else 2.")] = False,
    data: DataFile = None,
    topics: FromTopics = False,
    model: ModelFile = None,
    confirm: Confirmed = None,
) -> None:
    """Have the rules of a folder in force, as they stand in Git: new versions are put, and released together."""
    settings, checked = load_settings(), rules_in(sorted(folder.glob("*.toml")))
    wide = WideRules(PastPayments.given(settings, data, topics=topics), model, confirm or ())

    async def run() -> bool:
        lists = await lists_for(settings, checked)
        async with _writing(settings) as writer:
            wanted = {one.rule.code: version_of(writer.log, one.rule, author) for one in checked}
            told = list(differences(in_force(writer.log), wanted))
            if dry_run:
                for line in told:
                    typer.echo(line)
                return bool(told)
            await wide.refuse(acting([*wanted.values()], writer.log), lists, settings)
            await _put(writer, [rule for rule in wanted.values() if not is_known(writer.log, rule)])
            await _release(writer, wanted, Signature(author, why), settings, None, _policy(writer.log, None))
            return False

    if asyncio.run(run()):
        sys.exit(DIFFERENT)


def checkpoint() -> None:
    """Write a checkpoint of all rules and the release in force. Whoever writes much does it by itself."""

    async def run() -> None:
        async with _writing(load_settings()) as writer:
            typer.echo(f"checkpoint of {await writer.checkpoint()} pieces at offset {writer.log.checkpoint}")

    asyncio.run(run())


COMMANDS: tuple[tuple[str, Callable[..., None]], ...] = (
    ("put", put),
    ("approve", approve),
    ("release", release),
    ("disable", disable),
    ("rollback", rollback),
    ("apply", apply),
    ("checkpoint", checkpoint),
)
