"""`fraudstream rules` and `fraudstream lists` on a real Kafka: what their commands leave in force, and what they refuse."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from typer import Typer
from typer.testing import CliRunner

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.rule_topics import RuleTopic
from stream_app.adapters.kafka.topics import create_topics
from stream_app.commands import lists, rules
from stream_app.errors import FraudstreamError, RuleError
from stream_app.rules.rules_log import RulesLog
from stream_app.settings import PREFIX, load_settings
from tests.unit.rules.made import NOW_MS
from training.data.simulate import Simulation, simulate

if TYPE_CHECKING:
    from tests.servers import Servers

ANN, WHY = ("--as", "ann"), ("--why", "for tests")


@pytest.fixture(autouse=True)
def _topics(stack: Servers, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of nobody else, and the topics made."""
    names = ("RULES", "LISTS", "TRANSACTIONS", "LABELS", "ALERTS", "TRANSACTIONS_DLQ", "LABELS_DLQ")
    topics = {f"{PREFIX}{name}_TOPIC": f"{name.lower().replace('_', '-')}-{unique}" for name in names}
    for name, value in (stack.environment | topics).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    asyncio.run(create_topics(client_options(settings), settings, partitions=2))


def told(*arguments: str, app: Typer = rules.app) -> str:
    """What a command prints, once it ends well."""
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None, f"{arguments}: {done.exception!r}"
    return done.output


def refused(*arguments: str, app: Typer = rules.app) -> str:
    """Why a command is refused."""
    error = CliRunner().invoke(app, list(arguments)).exception
    assert isinstance(error, FraudstreamError), f"{arguments}: {error!r}"
    return str(error)


def in_force() -> dict[str, str]:
    """The expression of each rule in force."""

    async def read() -> RulesLog:
        settings = load_settings()
        async with RuleTopic.open(client_options(settings), settings.rules_topic, RulesLog) as topic:
            return topic.log

    release = asyncio.run(read()).in_force
    return {} if release is None else {one.rule.code: one.rule.expression for one in release.rules}


def a_rule(code: str, expression: str, mode: str = "live") -> str:
    """One in TOML."""
    return f'[[rule]]\ncode = "{code}"\nexpression = \'{expression}\'\nsentence = "{{amount}}"\neffect = "alert"\naction = "review"\nmode = "{mode}"\n'


def test_a_rule_is_put_approved_released_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in force before its release; a live one is approved by another than its author, and looked at; each step is in the history."""
    monkeypatch.setenv(f"{PREFIX}RULES_NEED_APPROVAL", "true")
    file = Path("rules.toml")
    file.write_text(a_rule("large", "amount > 100") + a_rule("quiet", "amount > 1", "shadow"), encoding="utf-8")
    assert told("put", "rules.toml", *ANN).startswith("put: large 1 (live, review): amount > 100\nput: quiet 1 (shadow")
    assert told("put", "rules.toml", *ANN).startswith("unchanged: large 1")
    assert (in_force(), told("diff").splitlines()[0]) == ({}, "+ large 1 (live, review): amount > 100")

    assert "Nobody approved large" in refused("release", "large", "quiet", *ANN, *WHY)
    assert "its author cannot approve it" in refused("approve", "large", *ANN)
    assert told("approve", "large", "--as", "bob").startswith("approved by bob: large 1")
    assert "nothing says how many" in refused("release", "large", "quiet", *ANN, *WHY)
    simulate(Simulation(customers=40, terminals=40, days=5)).to_parquet("past.parquet")
    file.write_text(a_rule("wide", "amount > 1"), encoding="utf-8")
    told("put", "rules.toml", *ANN)
    told("approve", "wide", "--as", "bob")
    assert "these rules hit more than 5.0%" in refused("release", "wide", *ANN, *WHY, "--data", "past.parquet")
    assert in_force() == {}
    told("release", "large", "quiet", *ANN, *WHY, "--data", "past.parquet", "--confirm", "large")
    assert in_force() == {"large": "amount > 100", "quiet": "amount > 1"}

    assert "in force: large 1" in told("list")
    (large, *_) = json.loads(told("list", "--json"))["rules"]
    assert (large["code"], large["in_force"]["version"], large["newest"]["approver"]) == ("large", 1, "bob")
    assert json.loads(told("show", "large", "--json"))["in_force"] == 1
    assert [one["code"] for one in json.loads(told("diff", "--json"))["changes"]] == ["wide"]
    assert "approved by bob" in told("show", "large")
    assert "- quiet 1" in told("disable", "quiet", *ANN, *WHY)
    assert in_force() == {"large": "amount > 100"}
    assert "+ quiet 1" in told("rollback", *ANN, *WHY)
    assert in_force() == {"large": "amount > 100", "quiet": "amount > 1"}
    assert told("checkpoint").startswith("checkpoint of 1 pieces")
    assert in_force() == {"large": "amount > 100", "quiet": "amount > 1"}
    lines = told("history").splitlines()
    assert [json.loads(line)["offset"] for line in told("history", "--json").splitlines()] == [*range(len(lines))]
    assert [line.split(maxsplit=3)[3].partition(" (")[0] for line in lines[:3]] == [
        "ann put large 1",
        "ann put quiet 1",
        "bob approved large 1",
    ]
    assert "there are: large, quiet, wide" in refused("show", "none")


def test_a_folder_of_git_is_what_is_in_force() -> None:
    """A dry run shows the difference, and ends with 2 while there is one; what left the folder leaves force."""
    folder = Path("rules")
    folder.mkdir()
    folder.joinpath("one.toml").write_text(a_rule("large", "amount > 100", "shadow"), encoding="utf-8")
    folder.joinpath("two.toml").write_text(a_rule("small", "amount < 1", "shadow"), encoding="utf-8")
    dry = ("apply", "rules", *ANN, *WHY, "--dry-run")
    done = CliRunner().invoke(rules.app, list(dry))
    assert (done.exit_code, done.output.count("+ "), in_force()) == (2, 2, {})
    told("apply", "rules", *ANN, *WHY)
    assert told(*dry) == ""
    folder.joinpath("one.toml").write_text(a_rule("large", "amount > 200", "shadow"), encoding="utf-8")
    folder.joinpath("two.toml").unlink()
    output = told("apply", "rules", *ANN, *WHY)
    assert "~ large 1 → 2: expression amount > 100 → amount > 200" in output
    assert "- small 1" in output
    assert in_force() == {"large": "amount > 200"}
    told("release", "large", *ANN, *WHY, "--bands", "0.3,0.5,0.9")
    folder.joinpath("three.toml").write_text(a_rule("asks", "terminal_id in @none"), encoding="utf-8")
    error = CliRunner().invoke(rules.app, list(dry)).exception
    assert isinstance(error, RuleError)
    assert "there is no list @none" in str(error)
    assert "threshold 0.3, step up 0.5, decline 0.9" in told("list")


def test_a_list_is_filled_by_hand_and_from_a_file() -> None:
    """Nothing of a wrong file is written; an export of one list fills another; a rule may ask it once it is there."""
    signature = (*ANN, *WHY)
    assert "no list 'watched'; there are: none" in refused("add", "watched", "t-1", *signature, app=lists.app)
    told("create", "watched", "--of", "terminal", *signature, app=lists.app)
    assert "0 entries before, 1 now" in told("add", "watched", "t-1", "--until", "2100-01-01", *signature, app=lists.app)
    many = [f"t-{n}" for n in range(2, 2_502)]
    Path("many.csv").write_text("\n".join([*many, "t-2"]), encoding="utf-8")
    assert "line 2501: the value of line 1 stands there again" in refused("import", "watched", "many.csv", *signature, app=lists.app)
    assert told("show", "watched", app=lists.app) == "t-1, until 2100-01-01 00:00:00; by ann: for tests\n"
    (entry,) = json.loads(told("show", "watched", "--json", app=lists.app))["entries"]
    assert json.loads(told("export", "watched", "--json", app=lists.app)) == entry
    assert entry == {"value": "t-1", "until": 4_102_444_800_000, "reason": "for tests", "author": "ann"}
    assert [one["name"] for one in json.loads(told("show", "--json", app=lists.app))["lists"]] == ["watched"]
    Path("many.csv").write_text("\n".join(many), encoding="utf-8")
    assert "2,501 entries now" in told("import", "watched", "many.csv", *signature, app=lists.app)
    told("remove", "watched", "t-2", "t-3", "t-none", *signature, app=lists.app)
    assert "watched: terminal, ask, 2,499 entries" in told("show", app=lists.app)

    told("create", "copy", "--of", "terminal", "--power", "block", *signature, app=lists.app)
    told("export", "watched", "copy.csv", app=lists.app)
    told("import", "copy", "copy.csv", *signature, app=lists.app)
    told("checkpoint", app=lists.app)
    assert told("export", "copy", app=lists.app) == told("export", "watched", app=lists.app)
    assert "copy: terminal, block, 2,499 entries" in told("show", app=lists.app)

    file = Path("asks.toml")
    file.write_text('[lists.none]\nof = "terminal"\n' + a_rule("asks", "terminal_id in @none"), encoding="utf-8")
    assert "Make it: fraudstream lists create none --of KIND" in refused("put", "asks.toml", *ANN)
    file.write_text('[lists.watched]\nof = "terminal"\n' + a_rule("asks", "terminal_id in @watched"), encoding="utf-8")
    assert told("put", "asks.toml", *ANN).startswith("put: asks 1")


def test_payments_and_labels_of_the_topics_are_tried_on() -> None:
    """As those of a file are; what cannot be read is counted, and frauds are those that labels say."""
    settings = load_settings()

    async def send() -> None:
        async with AIOKafkaProducer(**client_options(settings)) as producer:
            for n in range(30):
                card, at = f"c-{n % 3}", n % 3 % 2
                fields = {"transaction_id": f"tx-{n}", "card_id": card, "terminal_id": "t-1", "event_time": NOW_MS + n * 1_000}
                sent = fields | {"amount": n + 1.0, "currency": "EUR", "attributes": {"v1": n / 2}}
                await producer.send(settings.transactions_topic, msgspec.json.encode(sent), card.encode(), at)
                if n >= 20:
                    label = fields | {"amount": n + 1.0, "is_fraud": n % 2 == 0, "labelled_at": NOW_MS + 60_000}
                    await producer.send(settings.labels_topic, msgspec.json.encode(label), card.encode(), at)
            await producer.send_and_wait(settings.transactions_topic, b"torn", b"c-1", 1)

    asyncio.run(send())
    Path("rules.toml").write_text(a_rule("large", "amount > 25") + a_rule("own", "attributes.v1 >= 14"), encoding="utf-8")
    done = json.loads(told("backtest", "rules.toml", "--topics", "--json").splitlines()[-1])
    large, own = done["rules"]
    assert (done["payments"], done["frauds"]) == (30, 5)
    assert (large["hits"], large["precision"], own["hits"]) == (5, 2 / 5, 2)
    assert "give --data or --topics" in CliRunner().invoke(rules.app, ["backtest", "rules.toml", "--topics", "--data", "x.csv"]).output
    assert "1 records of the topics cannot be read" in CliRunner().invoke(rules.app, ["backtest", "rules.toml", "--topics"]).output
