"""Simulated card payments with known frauds, after the generator of the Fraud Detection Handbook (chapter 3), in numpy.

1. Customers and terminals stand on a 100 x 100 grid; a customer pays at terminals within `radius`, each as likely as the other.
   Customers who reach no terminal pay nothing.
2. Every day a customer makes Poisson(mean daily count) payments, at N(12:00, 20,000 s) — a time outside the day is discarded, as in
   the book — of N(mean, mean / 2); a negative amount is drawn again from U(0, 2 x mean). Amounts are rounded to cents.
3. Frauds, in this order, the later scenario naming the transaction:
   1: the amount is above 220. 2: two terminals drawn each day are compromised for 28 days, everything they take is fraud.
   3: three customers drawn each day are compromised for 14 days, one third of their payments (together, drawn once) x 5 and fraud.

Beyond the book, each from a random stream of its own, so that none of it changes the payments: countries (the grid's quadrants, and
online shops anywhere), channels, and terminals whose clocks are wrong. Merchants, devices and frauds with names are `training.data.scenarios`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.spatial import KDTree  # type: ignore[import-untyped]  # scipy ships no types

from stream_app.features.aggregations import DAY_MS, DAY_S
from training.data.scenarios import SCENARIOS, with_scenarios

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray

    from stream_app.features.compute import Floats
    from stream_app.features.plan import Ints

GRID = 100.0
LARGE_AMOUNT = 220.0
TERMINAL_FRAUD_DAYS = 28
CUSTOMER_FRAUD_DAYS = 14
STOLEN_SHARE = 3  # one payment in three
STOLEN_FACTOR = 5
COUNTRIES = ("BE", "FR", "NL", "DE")  # the quadrants: south-west, south-east, north-west, north-east
CHANNELS = ("chip", "contactless", "magstripe", "online")
CONTACTLESS_LIMIT = 50.0
CONTACTLESS_SHARE = 0.80
MAGSTRIPE_SHARE = 0.02
LABEL_COLUMNS = ("transaction_id", "card_id", "terminal_id", "event_time", "amount", "is_fraud", "labelled_at", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What to simulate; the defaults are the book's.

    `compromised_terminals` and `compromised_customers` are drawn each day; a fraction is a chance (0.2: one in five days). The numbers do
    not grow with the population: to keep the book's share of frauds elsewhere, scale them with terminals / 10,000 and customers / 5,000.
    """

    customers: int = 5_000
    terminals: int = 10_000
    days: int = 183
    start: str = "2018-04-01"
    seed: int = 0
    radius: float = 5.0
    compromised_terminals: float = 2.0
    compromised_customers: float = 3.0
    label_delay_days: float = 7.0
    realism: bool = True
    """Add `country` and `channel`."""
    online_share: float = 0.15
    clock_skew_s: int = 0
    """Terminals with a wrong clock are off by up to so many seconds, either way; the frame then has `sent_at`, the true time."""
    skewed_share: float = 0.05
    scenarios: tuple[str, ...] = ()
    """Names of `training.data.scenarios`: with any, merchants, categories, devices and these frauds are added."""

    def __post_init__(self) -> None:
        date.fromisoformat(self.start)
        if min(self.customers, self.terminals, self.days) < 1:
            raise ValueError("customers, terminals and days must be at least 1")
        if min(self.clock_skew_s, self.label_delay_days, self.compromised_terminals, self.compromised_customers, self.radius) < 0:
            raise ValueError("clock_skew_s, label_delay_days, radius and what is compromised daily must not be negative")
        if unknown := [name for name in self.scenarios if name not in SCENARIOS]:
            raise ValueError(f"scenario {unknown[0]!r} is not known; there are {', '.join(SCENARIOS)}")
        if self.scenarios and (self.clock_skew_s or not self.realism):
            raise ValueError("scenarios need countries and channels, and clocks that are right")


@dataclass(frozen=True, slots=True)
class _Profiles:
    """One entry a customer, or a terminal."""

    customers: Floats
    terminals: Floats
    mean_amount: Floats
    daily_count: Floats

    @classmethod
    def draw(cls, simulation: Simulation, rng: Generator) -> _Profiles:
        return cls(
            customers=rng.uniform(0, GRID, (simulation.customers, 2)),
            terminals=rng.uniform(0, GRID, (simulation.terminals, 2)),
            mean_amount=rng.uniform(5, 100, simulation.customers),
            daily_count=rng.uniform(0, 4, simulation.customers),
        )


@dataclass(slots=True)
class _Payments:
    """One entry a payment, customer by customer, each customer's by day."""

    customer: Ints
    terminal: Ints
    day: Ints
    second: Ints
    amount: Floats
    scenario: NDArray[np.int8]


def simulate(simulation: Simulation) -> pd.DataFrame:
    """Simulate payments; equal simulations give equal frames.

    Returns:
        Columns of `transaction.v1` (see `training.data.dataset` for the dtypes), `sent_at` where clocks are skewed, `is_fraud`, `fraud_scenario`
        (0: genuine) and `labelled_at` (frauds alone), in the order of (event_time, transaction_id). Ids count in order of true time.
    """
    profile_rng, payment_rng, terminal_rng, customer_rng, realism_rng, clock_rng = np.random.default_rng(simulation.seed).spawn(6)
    profiles = _Profiles.draw(simulation, profile_rng)
    payments = _payments(simulation, profiles, payment_rng)
    _mark_large_amounts(payments)
    _mark_compromised_terminals(payments, simulation, terminal_rng)
    _mark_compromised_customers(payments, simulation, customer_rng)
    order = np.lexsort((payments.customer, payments.day * DAY_S + payments.second))
    payments = _Payments(*(getattr(payments, name)[order] for name in _Payments.__slots__))
    extra = _realism(payments, profiles.terminals, simulation, realism_rng) if simulation.realism else {}
    frame = _frame(payments, simulation, extra, clock_rng)
    if simulation.clock_skew_s:
        frame = frame.sort_values(["event_time", "transaction_id"], kind="stable", ignore_index=True)
    if simulation.scenarios and len(frame):
        return with_scenarios(frame, simulation.scenarios, simulation.seed, round(simulation.label_delay_days * DAY_MS))
    return frame


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write the transactions to `path` (Parquet) and, beside them, the labels of `label.v1` to `<stem>.labels.parquet`.

    Returns:
        The path of the labels. They stand in the order of `labelled_at`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, compression="zstd")
    labels = frame[frame["labelled_at"].notna()].assign(source="simulation")
    beside = path.with_name(f"{path.stem}.labels.parquet")
    labels.sort_values(["labelled_at", "transaction_id"])[list(LABEL_COLUMNS)].to_parquet(beside, index=False, compression="zstd")
    return beside


def _payments(simulation: Simulation, profiles: _Profiles, rng: Generator) -> _Payments:
    near = KDTree(profiles.terminals).query_ball_point(profiles.customers, simulation.radius, return_sorted=True)
    counts = np.fromiter(map(len, near), np.int64, len(near))
    flat = np.fromiter((terminal for reached in near for terminal in reached), np.int64, int(counts.sum()))
    first = np.cumsum(counts) - counts
    numbers = rng.poisson(np.where(counts > 0, profiles.daily_count, 0.0)[:, None], (simulation.customers, simulation.days))
    customer, day = (np.repeat(index, numbers.ravel()) for index in np.indices(numbers.shape).reshape(2, -1))
    second = rng.normal(DAY_S / 2, 20_000, len(customer)).astype(np.int64)
    within = (second > 0) & (second < DAY_S)
    customer, day, second = customer[within], day[within], second[within]
    mean = profiles.mean_amount[customer]
    amount = rng.normal(mean, mean / 2)
    amount = np.where(amount < 0, rng.uniform(0, 2 * mean), amount).round(2)
    terminal = flat[first[customer] + rng.integers(0, counts[customer])]
    return _Payments(customer, terminal, day, second, amount, np.zeros(len(customer), np.int8))


def _mark_large_amounts(payments: _Payments) -> None:
    payments.scenario[payments.amount > LARGE_AMOUNT] = 1


def _mark_compromised_terminals(payments: _Payments, simulation: Simulation, rng: Generator) -> None:
    compromised = np.zeros((simulation.terminals, simulation.days), np.bool_)
    for day in range(simulation.days):
        drawn = _draw(rng, simulation.terminals, simulation.compromised_terminals)
        compromised[drawn, day : day + TERMINAL_FRAUD_DAYS] = True
    payments.scenario[compromised[payments.terminal, payments.day]] = 2


def _mark_compromised_customers(payments: _Payments, simulation: Simulation, rng: Generator) -> None:
    """A customer compromised again within the 14 days can lose the same payment again (x 25), as in the book."""
    ends = np.searchsorted(payments.customer, np.arange(simulation.customers + 1))
    for day in range(simulation.days):
        theirs = [np.zeros(0, np.int64)]
        for customer in _draw(rng, simulation.customers, simulation.compromised_customers):
            own = slice(int(ends[customer]), int(ends[customer + 1]))
            from_, to = np.searchsorted(payments.day[own], (day, day + CUSTOMER_FRAUD_DAYS))
            theirs.append(np.arange(own.start + from_, own.start + to))
        pool = np.concatenate(theirs)
        stolen = rng.choice(pool, len(pool) // STOLEN_SHARE, replace=False)
        payments.amount[stolen] = (payments.amount[stolen] * STOLEN_FACTOR).round(2)
        payments.scenario[stolen] = 3


def _draw(rng: Generator, population: int, number: float) -> Ints:
    """`number` different members of the population; what is after the decimal point is the chance of one more."""
    whole = int(number) + int(rng.random() < number % 1)
    return rng.choice(population, min(whole, population), replace=False)


def _frame(payments: _Payments, simulation: Simulation, extra: dict[str, pd.Categorical[str]], rng: Generator) -> pd.DataFrame:
    start_ms = int(datetime.combine(date.fromisoformat(simulation.start), datetime.min.time(), UTC).timestamp()) * 1000
    sent_at = start_ms + payments.day * DAY_MS + payments.second * 1000
    event_time = sent_at + _clock_errors_ms(simulation, rng)[payments.terminal]
    is_fraud = payments.scenario > 0
    labelled_at = event_time + round(simulation.label_delay_days * DAY_MS)
    columns = {
        "transaction_id": _transaction_ids(len(event_time)),
        "event_time": event_time,
        "card_id": _named("C", payments.customer, simulation.customers),
        "terminal_id": _named("T", payments.terminal, simulation.terminals),
        "amount": payments.amount,
        "currency": pd.Categorical.from_codes(np.zeros(len(event_time), np.int8), pd.Index(["EUR"])),
        **extra,
        **({"sent_at": sent_at} if simulation.clock_skew_s else {}),
        "is_fraud": is_fraud,
        "fraud_scenario": payments.scenario,
        "labelled_at": pd.arrays.IntegerArray(labelled_at, ~is_fraud),
    }
    return pd.DataFrame(columns)


def _clock_errors_ms(simulation: Simulation, rng: Generator) -> Ints:
    """How far each terminal's clock is ahead, ms."""
    limit_ms = simulation.clock_skew_s * 1000
    wrong = rng.random(simulation.terminals) < simulation.skewed_share
    return np.where(wrong, rng.integers(-limit_ms, limit_ms, simulation.terminals, endpoint=True), 0)


def _transaction_ids(number: int) -> pd.Series[str]:
    digits = pc.utf8_lpad(pc.cast(pa.array(np.arange(number)), pa.string()), 9, "0")
    return pd.Series(pc.binary_join_element_wise("TX", digits, ""), dtype="str")


def _named(prefix: str, codes: Ints, number: int) -> pd.Categorical[str]:
    used, dense = np.unique(codes, return_inverse=True)
    width = max(6, len(str(number - 1)))
    return pd.Categorical.from_codes(dense, pd.Index([f"{prefix}{code:0{width}d}" for code in used.tolist()]))


def _realism(payments: _Payments, terminals: Floats, simulation: Simulation, rng: Generator) -> dict[str, pd.Categorical[str]]:
    """Shops stand in the country of their quadrant, online shops in any: who lives near a border, or buys online, pays abroad."""
    online = rng.random(simulation.terminals) < simulation.online_share
    quadrant = (terminals[:, 0] >= GRID / 2) + 2 * (terminals[:, 1] >= GRID / 2)
    country = np.where(online, rng.integers(0, len(COUNTRIES), simulation.terminals), quadrant)
    chance = rng.random(len(payments.amount))
    small = payments.amount <= CONTACTLESS_LIMIT
    present = np.where(chance < MAGSTRIPE_SHARE, 2, np.where(small & (chance < CONTACTLESS_SHARE), 1, 0))
    return {
        "country": pd.Categorical.from_codes(country[payments.terminal], pd.Index(COUNTRIES)),
        "channel": pd.Categorical.from_codes(np.where(online[payments.terminal], 3, present), pd.Index(CHANNELS)),
    }
