"""The simulator against the book: its populations, its three scenarios, its share of frauds; and that a seed decides everything."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stream_app.features.aggregations import DAY_MS
from stream_app.messages.iso import COUNTRIES
from stream_app.messages.transaction import Transaction
from tests.examples import examples
from training.data.dataset import check_for_training, read_transactions
from training.data.simulate import LABEL_COLUMNS, Simulation, simulate, write
from training.data.simulate_command import simulate_command

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = Simulation(customers=200, terminals=400, days=40, compromised_terminals=0.2, compromised_customers=0.5)


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    """Quick, with the book's share of frauds."""
    return simulate(SMALL)


@pytest.fixture(scope="module")
def book() -> pd.DataFrame:
    """The book's own size."""
    return simulate(Simulation())


def days(frame: pd.DataFrame) -> NDArray[np.int64]:
    """The day of each payment, from 0."""
    day: NDArray[np.int64] = frame["event_time"].to_numpy() // DAY_MS
    return day - day.min()


def test_the_same_seed_gives_the_same_frame_and_another_seed_another(small: pd.DataFrame) -> None:
    """Everything is drawn from the seed, nothing from the machine."""
    pd.testing.assert_frame_equal(small, simulate(SMALL))
    other = simulate(replace(SMALL, seed=1))
    assert not small["amount"].head(1000).equals(other["amount"].head(1000))


def test_the_books_size_gives_the_books_numbers(book: pd.DataFrame) -> None:
    """1,754,155 transactions, 14,681 frauds: 973, 9,077 and 4,631 of scenarios 1, 2 and 3. Ours is another draw of the same process."""
    assert len(book) == pytest.approx(1_754_155, rel=0.03)
    assert book["is_fraud"].mean() == pytest.approx(0.0084, abs=0.0008)
    counts = book["fraud_scenario"].value_counts()
    assert counts[1] == pytest.approx(973, rel=0.25)
    assert counts[2] == pytest.approx(9_077, rel=0.10)
    assert counts[3] == pytest.approx(4_631, rel=0.10)
    assert 4_970 <= book["card_id"].nunique() <= 5_000
    genuine = book.loc[~book["is_fraud"], "amount"]
    assert genuine.mean() == pytest.approx(53, abs=2)


def test_payments_follow_the_day_of_the_book(book: pd.DataFrame) -> None:
    """Time of day is N(12:00, 20,000 s) cut at the day's ends, 2.16 sd away: what remains has an sd of 18,190 s."""
    second = book["event_time"] // 1000 % 86_400
    assert second.mean() == pytest.approx(43_200, abs=100)
    assert second.std() == pytest.approx(18_190, abs=100)
    assert second.min() > 0


def test_scenario_1_is_exactly_an_amount_above_220(small: pd.DataFrame, book: pd.DataFrame) -> None:
    """Whatever is above 220 is fraud; scenario 1 is nothing else."""
    for frame in (small, book):
        assert frame.loc[frame["amount"] > 220, "is_fraud"].all()
        assert (frame.loc[frame["fraud_scenario"] == 1, "amount"] > 220).all()


def test_scenario_2_takes_every_payment_of_a_terminal_for_28_days() -> None:
    """Compromised terminals take nothing genuine for 28 days.

    day of draw    d ............ d+27 | d+28
    terminal       F F F F F F F F F F | .
    Every run of days on which all of a terminal's payments are fraud is 28 days long, or cut by the end.
    """
    only = Simulation(customers=300, terminals=40, days=60, radius=40, compromised_terminals=0.2, compromised_customers=0, seed=3)
    frame = simulate(only)
    frame = frame.assign(day=days(frame), fraud=frame["fraud_scenario"] == 2)
    runs = 0
    for _, own in frame.groupby("terminal_id", observed=True):
        by_day = own.groupby("day")["fraud"].agg(["min", "max"])
        assert (by_day["min"] == by_day["max"]).all(), "a compromised terminal has no genuine payment"
        fraud_days = by_day.index[by_day["max"]].to_numpy()
        for run in np.split(fraud_days, np.flatnonzero(np.diff(fraud_days) > 10) + 1):
            if len(run):
                runs += 1
                assert run[-1] - run[0] >= 20 or run[-1] >= 55
    assert 5 <= runs <= 20


def test_two_terminals_are_drawn_each_day() -> None:
    """On one day alone, payments of two terminals are fraud, all of them."""
    frame = simulate(Simulation(customers=500, terminals=20, days=1, radius=200, compromised_customers=0))
    stolen = frame[frame["fraud_scenario"] == 2]
    assert stolen["terminal_id"].nunique() == 2
    assert frame.loc[frame["terminal_id"].isin(stolen["terminal_id"]), "is_fraud"].all()


def test_scenario_3_multiplies_one_third_of_the_payments_by_five() -> None:
    """Against the same seed without it: only amounts of scenario 3 differ, and by a factor of 5 to the cent."""
    with_it = simulate(Simulation(customers=500, terminals=1000, days=1, compromised_terminals=0, compromised_customers=100))
    without = simulate(Simulation(customers=500, terminals=1000, days=1, compromised_terminals=0, compromised_customers=0))
    stolen = (with_it["fraud_scenario"] == 3).to_numpy()
    assert with_it["transaction_id"].equals(without["transaction_id"])
    np.testing.assert_array_equal(with_it.loc[~stolen, "amount"], without.loc[~stolen, "amount"])
    np.testing.assert_allclose(with_it.loc[stolen, "amount"], 5 * without.loc[stolen, "amount"], atol=0.005)
    everyone = simulate(Simulation(customers=500, terminals=1000, days=1, compromised_terminals=0, compromised_customers=500))
    assert (everyone["fraud_scenario"] == 3).sum() == len(everyone) // 3


def test_scenario_3_lasts_14_days_a_customer() -> None:
    """Three customers a day for 14 days, as frauds spread over no more than that where one is drawn once."""
    frame = simulate(Simulation(customers=5_000, terminals=2_000, days=20, compromised_terminals=0))
    stolen = frame.assign(day=days(frame))[frame["fraud_scenario"] == 3]
    spread = stolen.groupby("card_id", observed=True)["day"].agg(lambda day: day.max() - day.min())
    assert (spread <= 13).mean() > 0.95
    assert 40 <= stolen["card_id"].nunique() <= 60


def test_amounts_are_cents_and_never_negative(small: pd.DataFrame) -> None:
    """Redrawn where negative, rounded to cents, also after x 5."""
    amount = small["amount"].to_numpy()
    assert (amount >= 0).all()
    np.testing.assert_array_equal(amount, amount.round(2))


def test_customers_pay_within_their_radius() -> None:
    """No terminal within reach: the customer pays nothing, and is not in the file."""
    assert simulate(Simulation(customers=50, terminals=1, days=5, radius=0)).empty
    one = simulate(Simulation(customers=50, terminals=1, days=5, radius=10))
    assert one["card_id"].nunique() < 20


def test_frauds_are_labelled_after_the_delay_and_genuine_payments_never(small: pd.DataFrame) -> None:
    """A label is a chargeback: it comes for frauds alone."""
    labelled = small["labelled_at"].notna()
    assert labelled.equals(small["is_fraud"].astype(bool))
    delays = (small["labelled_at"] - small["event_time"])[labelled]
    assert (delays == 7 * DAY_MS).all()


def test_rows_stand_in_order_and_in_the_contracts_terms(small: pd.DataFrame) -> None:
    """Order of (event_time, transaction_id), unique ids, columns of transaction.v1."""
    keys = small[["event_time", "transaction_id"]]
    assert keys.equals(keys.sort_values(["event_time", "transaction_id"]))
    check_for_training(small)
    assert set(small.columns) - {"is_fraud", "fraud_scenario", "labelled_at"} <= set(Transaction.__struct_fields__)
    assert set(small["country"].cat.categories) <= COUNTRIES
    homes = small.groupby("card_id", observed=True)["country"].agg(lambda country: country.value_counts(normalize=True).max())
    assert homes.median() > 0.8
    assert (homes < 1).any()


def test_realism_changes_no_payment(small: pd.DataFrame) -> None:
    """Countries and channels are drawn from a stream of their own."""
    plain = simulate(replace(SMALL, realism=False))
    pd.testing.assert_frame_equal(plain, small.drop(columns=["country", "channel"]))


def test_wrong_clocks_move_event_time_and_keep_the_true_time(small: pd.DataFrame) -> None:
    """One terminal in twenty is off by at most the limit, always by the same; the frame stays in order of event_time."""
    skewed = simulate(replace(SMALL, clock_skew_s=90))
    error = skewed["event_time"] - skewed["sent_at"]
    assert error.abs().max() <= 90_000
    assert 0.01 < (error != 0).mean() < 0.12
    each = error.groupby(skewed["terminal_id"], observed=True).agg(["min", "max"])
    assert (each["min"] == each["max"]).all()
    assert skewed["event_time"].is_monotonic_increasing
    assert not skewed["sent_at"].is_monotonic_increasing
    assert skewed.sort_values("transaction_id")["amount"].tolist() == small["amount"].tolist()


def test_what_is_written_is_read_again(small: pd.DataFrame, tmp_path: Path) -> None:
    """Parquet and back: the same values under the same dtypes; labels beside, in label.v1's columns, by labelled_at."""
    path = tmp_path / "new" / "transactions.parquet"
    beside = write(small, path)
    again = read_transactions(path)
    assert list(again.columns) == list(small.columns)
    pd.testing.assert_frame_equal(again, small, check_categorical=False)
    labels = pd.read_parquet(beside)
    assert beside.name == "transactions.labels.parquet"
    assert tuple(labels.columns) == LABEL_COLUMNS
    assert len(labels) == small["is_fraud"].sum()
    assert labels["labelled_at"].is_monotonic_increasing


@pytest.mark.parametrize(("wrong", "says"), [({"days": 0}, "at least"), ({"clock_skew_s": -1}, "negative"), ({"start": "May"}, "May")])
def test_impossible_simulations_are_refused(wrong: dict[str, int], says: str) -> None:
    """A size of nothing, a negative skew, a start that is no date."""
    with pytest.raises(ValueError, match=says):
        Simulation(**wrong)  # type: ignore[arg-type]


@examples(30)
@given(
    customers=st.integers(1, 40),
    terminals=st.integers(1, 60),
    days_=st.integers(1, 45),
    seed=st.integers(0, 2**32),
    radius=st.floats(0, 150),
    skew=st.integers(0, 300),
)
def test_any_size_holds_the_invariants(customers: int, terminals: int, days_: int, seed: int, radius: float, skew: int) -> None:
    """Ids unique, order kept, frauds labelled, above 220 always fraud: for every size and seed, tiny ones too."""
    frame = simulate(Simulation(customers=customers, terminals=terminals, days=days_, seed=seed, radius=radius, clock_skew_s=skew))
    assert frame["transaction_id"].is_unique
    assert frame["event_time"].is_monotonic_increasing
    assert (frame["is_fraud"] == (frame["fraud_scenario"] > 0)).all()
    assert (frame["labelled_at"].notna() == frame["is_fraud"]).all()
    assert frame.loc[frame["amount"] > 220, "is_fraud"].all()
    assert (frame["amount"] >= 0).all()


@pytest.mark.parametrize(("customers", "terminals"), [(500, 1000), (2000, 4000)])
def test_the_command_keeps_the_books_share_of_frauds_at_any_size(customers: int, terminals: int) -> None:
    """Below 1 %, as in the field; what is compromised can still be said."""
    out = Path("p.parquet")
    app = typer.Typer()
    app.command()(simulate_command)
    size = ["--out", str(out), "--customers", str(customers), "--terminals", str(terminals), "--days", "60"]
    assert CliRunner().invoke(app, size).exit_code == 0
    assert 0.003 < pd.read_parquet(out)["is_fraud"].mean() < 0.01
    none = ["--compromised-terminals", "0", "--compromised-customers", "0"]
    assert CliRunner().invoke(app, [*size, *none]).exit_code == 0
    assert set(pd.read_parquet(out)["fraud_scenario"]) <= {0, 1}
