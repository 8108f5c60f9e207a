"""Frauds that have names, in a simulated history: each is what it says, beside what looks alike, and nothing that was there is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from stream_app.features.aggregations import DAY_MS, HOUR_MS
from stream_app.features.entities import ip_prefix
from training.data.dataset import check_for_training, read_transactions
from training.data.scenarios import SCENARIOS, SOLD_AGAIN
from training.data.simulate import Simulation, simulate
from training.data.simulate_command import simulate_command

BOOK = Simulation(customers=300, terminals=300, days=30, radius=15, compromised_terminals=0.1, compromised_customers=0.1)
ALL = replace(BOOK, scenarios=tuple(SCENARIOS))
PAID = ["card_id", "terminal_id", "event_time", "amount", "country", "channel", "fraud_scenario"]


@pytest.fixture(scope="module")
def every() -> pd.DataFrame:
    """A month of three hundred cards, with all scenarios."""
    return simulate(ALL)


def network_of(addresses: pd.Series[str]) -> pd.Series[str]:
    """Of each address, as the product tells it."""
    return addresses.astype(str).map(ip_prefix)


def of(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The frauds of a scenario."""
    found = frame[frame["fraud_scenario"] == SCENARIOS[name]]
    assert len(found) > 10, name
    return found


def paid(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    """What does not hang on how payments are numbered."""
    return sorted(
        frame[PAID].astype(dict.fromkeys(("card_id", "terminal_id", "country", "channel"), str)).itertuples(index=False, name=None)
    )


def test_what_is_added_changes_nothing_that_is_there(every: pd.DataFrame) -> None:
    """Each payment of the book's stands in it, in order of time, numbered anew; all others are the scenarios' and what looks alike."""
    before, after = paid(simulate(BOOK)), paid(every)
    assert len(after) > len(before)
    assert set(before) <= set(after)
    assert every["event_time"].is_monotonic_increasing
    assert every["transaction_id"].is_unique
    assert every["labelled_at"].isna().equals(~every["is_fraud"])
    assert ((every["labelled_at"] - every["event_time"]).dropna() == 7 * DAY_MS).all()


def test_card_testing_is_many_cards_at_one_terminal_within_minutes(every: pd.DataFrame) -> None:
    """A trifle each; as many trifles of two cards are genuine."""
    tests = of(every, "card-testing")
    assert tests["amount"].between(0.01, 3).all()
    scene = tests[tests["terminal_id"] == tests["terminal_id"].iloc[0]]
    scene = scene[scene["event_time"] < scene["event_time"].min() + HOUR_MS / 3]
    assert scene["card_id"].nunique() == len(scene) >= 30
    trifles = every[~every["is_fraud"] & (every["amount"] <= 3)].groupby(["terminal_id", "card_id"], observed=True).size()
    assert trifles.max() >= 20


def test_an_account_is_taken_over_at_night_online_from_a_device_of_its_own(every: pd.DataFrame) -> None:
    """What can be sold again is bought, by one card on each of these devices."""
    taken = of(every, "account-takeover")
    assert (taken["event_time"] // HOUR_MS % 24).between(1, 5).all()
    assert (taken["channel"] == "online").all()
    assert taken["mcc"].isin(SOLD_AGAIN).all()
    assert taken.groupby("device_id", observed=True)["card_id"].nunique().max() == 1
    assert not set(taken["device_id"]) & set(every.loc[~every["is_fraud"], "device_id"].dropna())


def test_a_compromised_merchant_takes_a_second_payment_of_whoever_paid_there(every: pd.DataFrame) -> None:
    """Each fraud follows one of the same card at the same terminal within half a day."""
    frauds = of(every, "compromised-merchant")
    for card, terminal, at in zip(frauds["card_id"], frauds["terminal_id"], frauds["event_time"].tolist(), strict=True):
        same = every[(every["card_id"] == card) & (every["terminal_id"] == terminal)]
        assert same["event_time"].between(at - 12 * HOUR_MS, at - 1).any()
    assert every.groupby("terminal_id", observed=True)["merchant_id"].nunique().max() == 1
    assert every.groupby("merchant_id", observed=True)["terminal_id"].nunique().max() > 1


def test_a_device_is_shared_by_many_stolen_cards_and_by_a_few_of_a_firm(every: pd.DataFrame) -> None:
    """So the number of payments alone does not tell them apart."""
    shared = of(every, "shared-device").groupby("device_id", observed=True)
    assert shared["card_id"].nunique().min() >= 18
    assert shared["event_time"].agg(lambda times: times.max() - times.min()).max() < 12 * HOUR_MS
    genuine = every[~every["is_fraud"]].groupby("device_id", observed=True)
    assert (genuine.size()[genuine["card_id"].nunique() == 3] >= 40).any()


def test_one_network_is_where_many_cards_pay_a_trifle_online_within_minutes(every: pd.DataFrame) -> None:
    """From their devices, at many terminals; as many trifles of two cards from one network are genuine."""
    tests = of(every, "one-network").assign(network=lambda rows: network_of(rows["ip"]))
    assert tests["amount"].between(0.01, 3).all()
    scenes = tests.groupby("network")
    assert scenes["card_id"].nunique().min() >= 30
    assert scenes["terminal_id"].nunique().min() > 10
    assert scenes["event_time"].agg(lambda times: times.max() - times.min()).max() < HOUR_MS / 3
    genuine = every[~every["is_fraud"] & every["ip"].notna()].assign(network=lambda rows: network_of(rows["ip"])).groupby("network")
    assert (genuine.size()[genuine["card_id"].nunique() == 2] >= 40).any()
    assert not set(tests["network"]) & set(genuine.groups)


def test_payments_online_have_an_address_and_no_others(every: pd.DataFrame) -> None:
    """One that can be read, in a network of few cards, but for what a scenario says."""
    online = every["terminal_id"].isin(set(every.loc[every["channel"] == "online", "terminal_id"]))
    assert every["ip"].notna().equals(online)
    assert network_of(every["ip"].dropna()).notna().all()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_the_same_whichever_others_there_are(name: str, every: pd.DataFrame) -> None:
    """So what one family of features finds can be told scenario by scenario."""
    assert paid(of(simulate(replace(BOOK, scenarios=(name,))), name)) == paid(of(every, name))


def test_what_is_written_is_read_for_training(tmp_path: Path) -> None:
    """By the command; merchants, categories and devices come back, labels beside it."""
    out = tmp_path / "all.parquet"
    app = typer.Typer()
    app.command()(simulate_command)
    options = "--customers 300 --terminals 300 --days 20 --scenarios all --out".split()
    ran = CliRunner().invoke(app, [*options, str(out)])
    assert ran.exit_code == 0, ran.output
    frame = read_transactions(out)
    check_for_training(frame, "it")
    assert {"merchant_id", "mcc", "device_id", "ip"} <= set(frame.columns)
    assert set(SCENARIOS.values()) <= set(pd.read_parquet(out)["fraud_scenario"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scenarios": ("card-testing", "arson")}, "'arson' is not known; there are card-testing, account-takeover, compromised-merchant, shared-device, one-network"),
        ({"scenarios": ("card-testing",), "clock_skew_s": 60}, "clocks that are right"),
        ({"scenarios": ("card-testing",), "realism": False}, "countries and channels"),
    ],
    ids=["unknown", "wrong clocks", "no countries"],
)  # fmt: skip
def test_what_cannot_be_played_is_refused(wrong: dict[str, object], says: str) -> None:
    """Naming what there is."""
    with pytest.raises(ValueError, match=says):
        replace(BOOK, **wrong)  # type: ignore[arg-type]
