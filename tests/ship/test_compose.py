"""docker-compose.yml, up: from nothing to scored payments, scaled, and down again."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import pytest

from tests.ship.composition import Composition
from tests.ship.engine import Images, NoEngine

pytestmark = [pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def up(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composition]:
    """Everything but the traffic, started as the file says, with its waits."""
    try:
        composition = Composition.prepare(images, tmp_path_factory.mktemp("compose"))
    except NoEngine as why:
        pytest.skip(str(why))
    composition.run("down", "--volumes", "--remove-orphans", check=False)
    try:
        composition.run("up", "--detach", "--quiet-pull")
        yield composition
    finally:
        composition.run("--profile", "*", "down", "--volumes", "--remove-orphans", check=False)


def test_every_service_is_healthy_or_has_done_its_work(up: Composition) -> None:
    """Topics, bucket and trainer have ended well; the others are healthy."""

    def well() -> bool:
        return all(state in {"healthy", "exited 0"} for state in up.states().values())

    up.wait("all services well", well, 180)
    states = up.states()
    assert {name for name, state in states.items() if state == "exited 0"} == {"topics", "bucket", "keys", "trainer"}
    assert {"kafka", "redis", "postgres", "objects", "mlflow", "worker", "api", "prometheus"} <= states.keys()
    if up.stood_in:
        warnings.warn(UserWarning("stand-ins for Kafka, Redis, PostgreSQL, the S3 store and Prometheus; Grafana was not run"), stacklevel=1)


def test_the_model_lies_in_the_store_and_its_record_in_the_database(up: Composition) -> None:
    """Not in the MLflow server, whose file system is read-only."""
    files = up.run("exec", "-T", "objects", "find", "/objects/mlflow", "-name", "model.onnx").stdout
    assert files.strip()
    ask = 'PGPASSWORD="$POSTGRES_PASSWORD" psql --host=127.0.0.1 --username=mlflow --tuples-only --command="select count(*) from model_versions" mlflow'
    assert int(up.run("exec", "-T", "postgres", "sh", "-c", ask).stdout) == 1


def test_the_trainer_trains_once(up: Composition) -> None:
    """Started again, it finds the model."""
    assert "nothing to train" in up.run("run", "--rm", "--no-deps", "-T", "trainer").stdout


def test_the_worker_scores_the_traffic(up: Composition) -> None:
    """The profile `traffic`; seen through Prometheus, as an operator would."""
    up.wait("worker ready", lambda: "ready" in (up.asks("http://127.0.0.1:9464/readyz") or ""), 60)
    up.run("--profile", "traffic", "up", "--detach", "producer")
    up.wait("1,000 payments scored", lambda: (up.measured("sum(fraudstream_transactions_scored_total)") or 0) > 1000, 180)


def test_the_api_asks_for_the_key_that_was_made_for_it(up: Composition) -> None:
    """The key in the log of `keys` opens it; without one it stays shut."""
    key = re.search(r"fs_\S+", up.run("logs", "--no-color", "keys").stdout)
    assert key
    ask = "import sys, urllib.request as u; print(u.urlopen(u.Request('http://api:8000/v1/model', headers=dict(a.split('=', 1) for a in sys.argv[1:]))).status)"
    assert up.run("exec", "-T", "worker", "python", "-c", ask, f"Authorization=Bearer {key[0]}").stdout.strip() == "200"
    assert "401" in up.run("exec", "-T", "worker", "python", "-c", ask, check=False).stderr


def test_a_second_worker_takes_half_of_the_partitions(up: Composition) -> None:
    """`--scale worker=2`: Prometheus finds both, each has two of the four."""
    up.run("up", "--detach", "--no-recreate", "--scale", "worker=2", "worker")
    up.wait("two workers with two partitions each", lambda: up.measured("count(fraudstream_partitions_owned==2)") == 2, 120)


def test_a_worker_told_to_stop_ends_by_itself(up: Composition) -> None:
    """Within its grace period, with exit code 0: it was not killed."""
    up.run("stop", "worker")
    codes = set(up.run("ps", "--all", "--format", "{{.ExitCode}}", "worker").stdout.split())
    assert codes == {"0"}
