"""A champion trained by the real pipeline, topics, and the settings of a worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stream_app.adapters.kafka.options import client_options
from stream_app.adapters.kafka.topics import create_topics
from stream_app.local.record import locked
from stream_app.local.stack import free_ports
from stream_app.settings import load_settings
from tests.servers import Servers
from training.data.dataset import read_transactions
from training.data.simulate import Simulation, simulate, write
from training.train import main


@pytest.fixture(scope="session")
def simulated(run_folder: Path) -> Path:
    """A small simulated history with labels."""
    file = run_folder / "transactions.parquet"
    with locked(run_folder / "simulated.lock"):
        if not file.exists():
            write(simulate(Simulation(customers=400, terminals=200, days=70, compromised_terminals=0.5, compromised_customers=1.0)), file)
            assert len(read_transactions(file)) > 10_000
    return file


@pytest.fixture(scope="session")
def champion(stack: Servers, simulated: Path, run_folder: Path) -> str:
    """Name of a model that was trained on `simulated` and registered as champion. All tests share it: none may move its alias."""
    trained, name = run_folder / "champion", f"fraud-{run_folder.name}"
    with locked(run_folder / "champion.lock"), pytest.MonkeyPatch.context() as patch:
        if not trained.exists():
            patch.setenv("FRAUDSTREAM_MLFLOW_TRACKING_URI", stack.mlflow)
            assert main(["--data", str(simulated), "--model-name", name, "--trees", "20"]) == 0
            trained.touch()
    return name


@pytest.fixture
def port() -> int:
    """A free port."""
    return free_ports(1)[0]


@pytest.fixture
def env(stack: Servers, champion: str, unique: str) -> dict[str, str]:
    """Settings of a worker with topics and a group of its own; the topics exist, with two partitions."""
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka,
        "REDIS_URL": stack.redis,
        "MLFLOW_TRACKING_URI": stack.mlflow,
        "MODEL_NAME": champion,
        "CONSUMER_GROUP": f"group-{unique}",
        "TRANSACTIONS_TOPIC": f"transactions-{unique}",
        "LABELS_TOPIC": f"labels-{unique}",
        "ALERTS_TOPIC": f"alerts-{unique}",
        "SCORES_TOPIC": f"scores-{unique}",
        "TRANSACTIONS_DLQ_TOPIC": f"transactions-dlq-{unique}",
        "LABELS_DLQ_TOPIC": f"labels-dlq-{unique}",
    }
    settings = load_settings(**{k.lower(): v for k, v in env.items()})
    asyncio.run(create_topics(client_options(settings), settings, partitions=2))
    return env
