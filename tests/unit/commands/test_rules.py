"""Rules in files: what is wrong is told by file and rule; a backtest says what brute force over the file says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from stream_app.commands.backtest import Backtested, backtested
from stream_app.commands.rule_files import RuleFile, read_rules
from stream_app.commands.rules import app, lines_of
from stream_app.errors import DataError, RuleError
from stream_app.messages.money import Money
from stream_app.messages.transaction import IntakeRules
from tests.unit.scoring.test_scorer import FakeModel
from training.data.backfill import backfill
from training.data.simulate import Simulation, simulate

HEAD = '[lists.watched]\nof = "terminal"\nvalues = ["{terminal}"]\n'
EUR = Money("EUR")


def a_rule(code: str, expression: str, more: str = 'effect = "alert"\naction = "review"') -> str:
    """One in TOML."""
    return f"[[rule]]\ncode = \"{code}\"\nexpression = '''{expression}'''\nsentence = \"{{amount}}\"\n{more}\n"


def a_file(text: str) -> RuleFile:
    """What a file of this text holds."""
    path = Path("rules.toml")
    path.write_text(text, encoding="utf-8")
    return read_rules(path)


def test_a_file_is_read_with_its_lists() -> None:
    """Rules may ask them; version and author come later."""
    found = a_file(HEAD.format(terminal="t-1") + a_rule("one", "terminal_id in @watched", 'effect = "suppress"\nmode = "live"'))
    (one,) = found.rules
    assert (one.rule.code, one.rule.mode, one.rule.version, one.rule.approver) == ("one", "live", 1, None)
    assert [entry.value for entry in found.lists.of("watched")] == ["t-1"]
    assert found.wrong == ()
    assert found.lists.known["watched"].power == "ask"
    powerful = a_file(HEAD.format(terminal="t-1").replace("values", 'power = "block"\nvalues'))
    assert [one.name for one in powerful.lists.of_power()] == ["watched"]


def test_a_date_of_a_file_is_a_moment_of_utc_unless_it_says_otherwise() -> None:
    """As people write one, or in ms as the records have it."""
    written = ["2026-12-01", "2026-12-01T00:00:00", "2026-12-01T01:00:00+01:00", "2026-12-01 00:00:00Z", "1796083200000"]
    for text in written:
        (one,) = a_file(a_rule("one", "amount > 1", f'effect = "suppress"\nvalid_from = {text}\nvalid_until = 2027-01-01')).rules
        assert (one.rule.valid_from, one.rule.valid_until) == (1_796_083_200_000, 1_798_761_600_000)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (a_rule("one", "amont > 1"), "rules.toml, rule 1: Rule 'one', version 1, expression, column 1: there is no 'amont'"),
        (a_rule("one", "amount > 1") + a_rule("one", "amount > 2"), "rules.toml, rule 2: there is a rule 'one' before it"),
        (a_rule("one", "card_id in @watched"), "there is no list @watched in this file. Say what its values are: [lists.watched]"),
        (a_rule("one", "amount > 1", 'effect = "suppress"\nvalid_until = 12:00:00'), "got `time` - at `$.valid_until`"),
        (a_rule("one", "amount > 1", 'effect = "suppress"\nvalid_until = 1979-05-27'), "- at `$.valid_until`"),
        (a_rule("One", "amount > 1"), "rules.toml, rule 1: Expected `str` matching regex"),
        (a_rule("one", "amount > 1", 'effect = "block"'), "Invalid enum value 'block' - at `$.effect`"),
        (a_rule("one", "amount > 1", 'effect = "suppress"\nmore = 1'), "Object contains unknown field `more`"),
        ('[[rule]]\ncode = "one"\n', "rule 1: Object missing required field `expression`"),
    ],
)
def test_a_rule_that_cannot_be_run_is_told_by_its_number(text: str, told: str) -> None:
    """The others are read."""
    found = a_file(a_rule("right", "amount > 1") + text if "rule 2" not in told else text)
    assert any(told.replace("rule 1", "rule 2") in line or told in line for line in found.wrong), found.wrong
    assert len(found.rules) == 1


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("x = ", DataError, "rules.toml is no TOML: Invalid value"),
        ("rule = 1", DataError, "is no file of rules: Expected `array`"),
        ("more = 1", DataError, "unknown field `more`"),
        ('[lists.watched]\nof = "cards"', DataError, "Invalid enum value 'cards'"),
        ('[lists.Watched]\nof = "card"', RuleError, "rules.toml, lists.Watched: Expected `str` matching regex"),
        ('[lists.watched]\nof = "card"\nvalues = ["4111111111111111"]', RuleError, "lists.watched: List 'watched', entry 1: this is a card number"),
        ("#" * 10_000_001, DataError, "10,000,001 bytes"),
        ("rule = [" + '{code = "a"}, ' * 1_001 + "]", DataError, "1,001 rules; 1,000 are allowed"),
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_file_of_rules_is_refused(text: str, kind: type[Exception], told: str) -> None:
    """In one line."""
    with pytest.raises(kind) as refused:
        a_file(text)
    assert told in str(refused.value)
    with pytest.raises(DataError, match=r"none\.toml cannot be read: No such file"):
        read_rules(Path("none.toml"))


@pytest.mark.parametrize("content", [b'code = "\xff"', b"x = " + b"[" * 100_000], ids=["no UTF-8", "nested"])
def test_a_file_that_breaks_the_reader_is_told_as_any_other(content: bytes) -> None:
    """Bytes that are no text, and nesting that no parser follows."""
    Path("rules.toml").write_bytes(content)
    with pytest.raises(DataError, match=r"rules\.toml is no TOML"):
        read_rules(Path("rules.toml"))


def run(*arguments: str) -> tuple[str, BaseException | None]:
    """What the command prints, and what ends it."""
    done = CliRunner().invoke(app, list(arguments))
    return done.output, done.exception


def test_check_says_what_each_rule_asks_for_and_what_is_wrong() -> None:
    """All of it; then the command fails."""
    a_file(HEAD.format(terminal="t") + a_rule("one", "amount > 1 and terminal_id in @watched"))
    output, error = run("check", "rules.toml")
    assert error is None
    assert output.startswith("one: alert review, shadow; asks for amount, terminal_id, @watched; ")
    a_file(a_rule("one", "amount > 1") + a_rule("two", "amont > 1") + a_rule("three", "approved > 1"))
    output, error = run("check", "rules.toml")
    assert [line.split(":")[0] for line in output.splitlines()] == ["one", "rules.toml, rule 2", "rules.toml, rule 3"]
    assert isinstance(error, RuleError)
    assert str(error) == "2 of 3 rules cannot be run: see above."
    a_file("")
    assert isinstance(run("check", "rules.toml")[1], RuleError)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Past payments, not in order, some of them refunds, some without a rate."""
    made = simulate(Simulation(customers=60, terminals=80, days=25, compromised_terminals=1, compromised_customers=1))
    rng = np.random.default_rng(3)
    made["type"] = pd.Categorical(rng.choice(["purchase", "refund"], len(made), p=[0.95, 0.05]))
    made["currency"] = pd.Categorical(rng.choice(["EUR", "USD"], len(made), p=[0.9, 0.1]))
    return made.sample(frac=1, random_state=4).reset_index(drop=True)


@pytest.fixture(scope="module")
def done(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Backtested:
    """The backtest of some rules."""
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_text(
        HEAD.format(terminal=frame["terminal_id"].iloc[0])
        + a_rule("large", "amount > 60")
        + a_rule("busy", "card_count_1d >= 4 and amount > 0")
        + a_rule("watched", "terminal_id in @watched")
        + a_rule("small", "amount < 15")
        + a_rule("scored", "score > 0.5")
        + a_rule("later", "terminal_prior_count_1d >= 2 and amount <= 1e9", 'effect = "suppress"'),
        encoding="utf-8",
    )
    of = read_rules(path)
    return backtested(of.rules, of.lists, frame, EUR, IntakeRules())


def expected(frame: pd.DataFrame) -> dict[str, Any]:
    """Which payments each rule hits, by the features of training and by hand; of those that get a decision."""
    computed = backfill(frame)
    names = [feature.name for feature in computed.features]
    priced = frame["currency"].to_numpy() == "EUR"
    return {
        "decided": computed.scored,
        "large": (frame["amount"].to_numpy() > 60) & priced & computed.scored,
        "busy": (computed.vectors[:, names.index("card_count_1d")] >= 4) & (frame["amount"].to_numpy() > 0) & priced & computed.scored,
        "small": (frame["amount"].to_numpy() < 15) & priced & computed.scored,
        "watched": (frame["terminal_id"] == frame["terminal_id"].iloc[0]).to_numpy() & computed.scored,
    }


def test_a_backtest_says_what_brute_force_says(frame: pd.DataFrame, done: Backtested) -> None:
    """Hits, frauds among them, money, overlap; whatever the order of the file."""
    by_hand, of = expected(frame), done.backtest
    frauds, amounts = frame["is_fraud"].to_numpy(), frame["amount"].to_numpy()
    assert (of.payments, of.frauds) == (by_hand["decided"].sum(), (frauds & by_hand["decided"]).sum())
    assert of.frauds > 0
    results = {result.code: result for result in of.results()}
    assert [*results] == ["large", "busy", "watched", "small", "later"]
    for code in ("large", "busy", "watched", "small"):
        hits, result = by_hand[code], results[code]
        assert 0 < result.hits == hits.sum()
        assert result.share == hits.sum() / of.payments
        assert result.precision == (hits & frauds).sum() / hits.sum()
        assert result.recall == (hits & frauds).sum() / of.frauds
        priced = hits & (frame["currency"].to_numpy() == "EUR")
        assert result.money == pytest.approx(amounts[priced].sum())
        assert result.money_caught == pytest.approx(amounts[priced & frauds].sum())
        for other in {"large", "busy", "watched", "small"} - {code}:
            assert result.overlap.get(other, 0) == (hits & by_hand[other]).sum()
    assert results["later"].hits > 0


ACTIONS = (None, "review", "step_up", "decline")


def test_a_model_decides_beside_the_rules(frame: pd.DataFrame) -> None:
    """Its score may be asked for, its alerts are held against each rule's hits; a flip is a payment that is decided otherwise without the rule."""
    rules = {"any": ("amount > 20", 1), "large": ("amount > 60", 2), "sure": ("score > 0.3", 3), "quiet": ("hour(event_time) < 9", None)}
    effects = {code: 'effect = "suppress"' if n is None else f'effect = "alert"\naction = "{ACTIONS[n]}"' for code, (_, n) in rules.items()}
    blocked = frame["terminal_id"].value_counts().index[0]
    listed = f'[lists.blocked]\nof = "terminal"\npower = "block"\nvalues = ["{blocked}"]\n'
    of = a_file(listed + "".join(a_rule(code, text, effects[code]) for code, (text, _) in rules.items()))
    results = {one.code: one for one in backtested(of.rules, of.lists, frame, EUR, IntakeRules(), FakeModel()).backtest.results()}
    by_hand: dict[str, list[int]] = {code: [0, 0, 0] for code in rules}
    for row in frame[expected(frame)["decided"]].itertuples():
        one: Any = row
        money = one.amount if one.currency == "EUR" else None
        score = float(np.float32(min(1.0, (money or 0.0) / 1_000)))
        model = 0 if score < 0.25 else 1 if score < 0.5 else 2 if score < 0.9 else 3
        hits = {"any": (money or 0) > 20, "large": (money or 0) > 60, "sure": score > 0.3, "quiet": one.event_time // 3_600_000 % 24 < 9}
        for code in rules:
            others = {other for other, hit in hits.items() if hit and other != code}
            both = (
                [3, 3]
                if one.terminal_id == blocked
                else [_decided(others | ({code} if hits[code] else set()), rules, model), _decided(others, rules, model)]
            )
            by_hand[code] = [
                n + more for n, more in zip(by_hand[code], (hits[code], hits[code] and model > 0, both[0] != both[1]), strict=True)
            ]
    assert {code: [one.hits, one.with_model, one.flips] for code, one in results.items()} == by_hand
    assert all(flips for _, _, flips in by_hand.values())
    assert [len(one.examples) for one in results.values()] == [3] * 4


def _decided(hit: set[str], rules: dict[str, tuple[str, int | None]], model: int) -> int:
    """The action on a payment, by the order of power."""
    actions = [rules[code][1] for code in hit]
    return 0 if None in actions else max((n for n in actions if n is not None), default=model)


def test_examples_are_payments_that_the_rule_alone_decides(frame: pd.DataFrame, done: Backtested) -> None:
    """The first ones in time, with their label and the rule's sentence."""
    (large,) = [result for result in done.backtest.results() if result.code == "large"]
    assert len(large.examples) == 3
    for example in large.examples:
        row: Any
        (row,) = frame.loc[(frame["transaction_id"] == example.transaction_id)].itertuples()
        assert row.amount > 60
        assert (row.card_id, row.is_fraud) == (example.card_id, example.is_fraud)
        assert example.text == f"{row.amount:,.2f}".rstrip("0").rstrip(".")


def test_what_was_left_out_is_told(frame: pd.DataFrame, done: Backtested) -> None:
    """Rules that ask for a score, payments without a decision."""
    assert done.skipped == {"scored": "it asks for the score, and no model was given: --model FILE.onnx"}
    assert done.passed_over == {"no decision": int((~expected(frame)["decided"]).sum())}
    told = "\n".join(lines_of(done, "EUR"))
    assert "scored: skipped: it asks for the score" in told
    assert "payments passed over: no decision" in told


def test_the_command_reads_the_file_and_prints_json(frame: pd.DataFrame) -> None:
    """Without labels there is no precision."""
    frame.head(500).drop(columns=["is_fraud", "fraud_scenario", "labelled_at"]).to_parquet("data.parquet")
    a_file(a_rule("large", "amount > 60"))
    output, error = run("backtest", "rules.toml", "--data", "data.parquet", "--json")
    assert error is None
    told = json.loads(output)
    assert (told["frauds"], told["rules"][0]["precision"], told["rules"][0]["examples"][0]["is_fraud"]) == (None, None, None)
    output, error = run("backtest", "rules.toml", "--data", "data.parquet", "--model", "none.onnx")
    assert str(error) == "none.onnx cannot be read: No such file or directory. Name a model's ONNX file."
    a_file(a_rule("large", "amont > 60"))
    assert "shows all that is wrong" in str(run("backtest", "rules.toml", "--data", "data.parquet")[1])


def test_a_file_of_refunds_alone_cannot_be_tried_on(frame: pd.DataFrame) -> None:
    """Nothing would be decided."""
    of = a_file(a_rule("large", "amount > 60"))
    with pytest.raises(DataError, match="No payment of the file can be decided"):
        backtested(of.rules, of.lists, frame[frame["type"] == "refund"].reset_index(drop=True), EUR, IntakeRules())
