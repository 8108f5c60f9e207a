"""The images, built and run: what is in them, who they run as, and that they work on a file system that nobody may write to."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.ship.engine import TARGETS, Images

SERVING_MB = 600
LOCKED_DOWN = ("--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")  # noqa: S108
pytestmark = [pytest.mark.timeout(1800)]


def test_the_serving_image_is_small(images: Images) -> None:
    """Workers are started where they are needed: their image must be there first."""
    assert images.engine.inspect(TARGETS["worker"])["Size"] <= SERVING_MB * 1_000_000


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_image_runs_as_root_or_holds_what_built_it(images: Images, target: str) -> None:
    """Neither a compiler, nor pip or uv, nor a file that its user could replace a program with."""
    config = images.engine.inspect(TARGETS[target])["Config"]
    assert config["User"] == "10001:10001"
    tools = "for t in cc gcc g++ clang make pip uv; do command -v $t && exit 1; done; test ! -e /opt/uv && test ! -w /opt/fraudstream"
    images.engine.run("run", *LOCKED_DOWN, "--entrypoint", "sh", TARGETS[target], "-c", tools)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_image_says_what_it_is(images: Images, target: str) -> None:
    """Labels of the OCI; the version is the project's."""
    labels = images.engine.inspect(TARGETS[target])["Config"]["Labels"]
    version = re.search(r'^version = "(.+)"$', ROOT.joinpath("pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert labels["org.opencontainers.image.version"] == version[1]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_kernels_of_the_serving_image_are_compiled_already(images: Images) -> None:
    """Every kernel is loaded, none compiled, by a user who cannot write there; on any CPU of the architecture."""
    warm = "from stream_app.explaining import shapley; from stream_app.features.warm import warm; warm(); shapley.warm()"
    arguments = ("--env", "NUMBA_DEBUG_CACHE=1", "--entrypoint", "python", TARGETS["worker"], "-c", warm)
    said = images.engine.run("run", *LOCKED_DOWN, *arguments).stdout
    assert "data loaded from '/opt/fraudstream/numba" in said
    assert "saved" not in said


def test_a_wrong_setting_stops_the_container_in_one_line(images: Images) -> None:
    """As on the command line: exit code and remedy reach whoever runs it."""
    wrong = ("--env", "FRAUDSTREAM_REDIS_URL=localhost:6379", TARGETS["worker"])
    ended = images.engine.run("run", *LOCKED_DOWN, *wrong, check=False)
    assert ended.returncode == 78
    assert ended.stderr.startswith("fraudstream: FRAUDSTREAM_REDIS_URL = 'localhost:6379' is wrong")
    assert ended.stderr.count("\n") == 1


def test_the_training_image_trains(images: Images) -> None:
    """Simulated payments in, a model out, without network and on a read-only file system."""
    train = (
        "fraudstream simulate --customers 200 --terminals 400 --days 50 --out /tmp/payments.parquet"
        " && python -m training.train --data /tmp/payments.parquet --no-register --out /tmp/model.onnx --trees 10"
        " && test -s /tmp/model.onnx"
    )
    images.engine.run("run", *LOCKED_DOWN, "--env", "HOME=/tmp", "--entrypoint", "sh", TARGETS["training"], "-c", train)


def test_the_health_check_of_the_serving_image_fails_where_nothing_answers(images: Images) -> None:
    """It is not a check that always passes."""
    check = images.engine.inspect(TARGETS["worker"])["Config"]["Healthcheck"]["Test"]
    assert check[:2] == ["CMD", "python"]
    ended = images.engine.run("run", *LOCKED_DOWN, "--entrypoint", "python", TARGETS["worker"], *check[2:], check=False)
    assert ended.returncode != 0
