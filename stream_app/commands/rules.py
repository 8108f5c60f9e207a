"""`fraudstream rules`: rules that stand in files, checked, and tried on past transactions; those in force are of `rule_changes` and `rule_views`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from stream_app.commands import rule_changes, rule_views
from stream_app.commands.backtest import Backtested, backtested
from stream_app.commands.past_payments import DataFile, FromTopics, PastPayments
from stream_app.commands.rule_files import read_rules
from stream_app.commands.wide_rules import model_in
from stream_app.errors import RuleError
from stream_app.messages.iso import in_currency
from stream_app.messages.money import Money, read_rates
from stream_app.messages.transaction import IntakeRules
from stream_app.rules.rule import CheckedRule, digest_of
from stream_app.settings import load_settings

app = typer.Typer(help="Rules: check and backtest them in files; put, approve, release and take them back.", no_args_is_help=True)


@app.callback()
def _rules() -> None:
    """Rules, in files and in force."""


@app.command("check")
def check(files: Annotated[list[Path], typer.Argument(help="Files of rules, TOML.")]) -> None:
    """Say of each rule whether it can be run, what it asks for, and its hash; of one that cannot, where and why."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    found = [read_rules(file) for file in files]
    for checked in (rule for one in found for rule in one.rules):
        console.print(_line(checked))
    wrong = [line for one in found for line in one.wrong]
    for line in wrong:
        console.print(line)
    total = sum(len(one.rules) for one in found) + len(wrong)
    if wrong:
        raise RuleError(f"{len(wrong)} of {total} rules cannot be run: see above.")
    if not total:
        raise RuleError(f"There is no rule in {', '.join(map(str, files))}. A rule is a table [[rule]]; see docs/rules.md.")


@app.command("backtest")
def backtest(
    file: Annotated[Path, typer.Argument(help="A file of rules, TOML.")],
    data: DataFile = None,
    *,
    topics: FromTopics = False,
    model: Annotated[Path | None, typer.Option(help="An ONNX file of `train`: its score, and what it alerts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what each rule would have done to past payments: alerts a day, money, precision, recall, overlap, examples, what was skipped."""
    rules = read_rules(file)
    if rules.wrong:
        raise RuleError(f"{rules.wrong[0]} `fraudstream rules check {file}` shows all that is wrong.")
    settings = load_settings()
    past = PastPayments.given(settings, data, topics=topics)
    if past is None:
        raise typer.BadParameter("give past payments: a file, or --topics", param_hint="--data")
    money = Money(settings.base_currency, read_rates(settings.rates_file))
    intake = IntakeRules(settings.refuse_card_numbers)
    done = backtested(rules.rules, rules.lists, past.frame(), money, intake, model_in(model))
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(_told(done)) + b"\n")
        return
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for line in lines_of(done, money.currency):
        console.print(line)


def _told(done: Backtested) -> dict[str, Any]:
    of = done.backtest
    return {
        "payments": of.payments,
        "days": of.days,
        "frauds": of.frauds if of.labelled else None,
        "passed_over": done.passed_over,
        "skipped": done.skipped | of.failed,
        "rules": of.results(),
    }


def lines_of(done: Backtested, currency: str) -> Iterator[str]:
    """A backtest in words."""
    of = done.backtest
    frauds = f"{of.frauds:,} frauds" if of.labelled else "without labels"
    yield f"{of.payments:,} payments in {of.days:.1f} days, {frauds}"
    for why, count in done.passed_over.items():
        yield f"  {count:,} payments passed over: {why}"
    for one in of.results():
        yield f"{one.code}: {one.hits:,} hits, {one.hits_a_day:.1f} a day, {one.share:.2%} of the payments (expected_share = {one.share:.3g}); {one.flips:,} decided otherwise without it; {in_currency(one.money, currency, ',')} {currency}"
        if one.precision is not None:
            recall = "" if one.recall is None else f", recall {one.recall:.1%}"
            yield f"  precision {one.precision:.1%}{recall}; money of frauds {in_currency(one.money_caught or 0, currency, ',')} {currency}"
        if one.with_model:
            yield f"  {one.with_model:,} also alerted by the model"
        for code, count in sorted(one.overlap.items(), key=lambda pair: -pair[1])[:_MOST_SHOWN]:
            yield f"  {count:,} also by {code}"
        for shown in one.examples:
            label = {True: "fraud", False: "genuine", None: "no label"}[shown.is_fraud]
            yield f"  e.g. {shown.transaction_id} of {shown.card_id} ({label}): {shown.text}"
    for code, why in (done.skipped | of.failed).items():
        yield f"{code}: skipped: {why}"


_MOST_SHOWN = 5

for _name, _command in (*rule_changes.COMMANDS, *rule_views.COMMANDS):
    app.command(_name)(_command)


def _line(checked: CheckedRule) -> str:
    rule = checked.rule
    asks = ", ".join([*(name.name for name in checked.names), *(f"@{name}" for name in checked.expression.lists)])
    return f"{rule.code}: {rule.effect} {rule.action or ''}".rstrip() + f", {rule.mode}; asks for {asks}; {digest_of(rule)[:12]}"
