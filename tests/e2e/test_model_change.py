"""A running worker on a real registry: another model comes in and goes out again without a restart, a bad one does not come in."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tests.e2e.models import Shelf, variant, without_parity
from tests.e2e.workers import Worker, worker
from tests.servers import Servers
from tests.waiting import until


def in_use(running: Worker) -> str:
    """The version that the metrics name."""
    lines = [line for line in running.status("metrics")[1].splitlines() if line.startswith("fraudstream_model_info{")]
    return lines[0].partition('version="')[2].partition('"')[0] if lines else ""


def has_refused(running: Worker, versions: int) -> bool:
    """Whether so many versions were refused."""
    return running.metric("fraudstream_models_refused_total") == versions


def test_a_worker_takes_up_a_moved_alias_and_refuses_a_bad_version(
    stack: Servers, env: dict[str, str], champion: str, port: int, unique: str, tmp_path: Path
) -> None:
    """A version of other scores, one of another file, one of other features: each refused, in metrics and log; then back."""
    content = Shelf(stack.mlflow, champion).content()
    shelf = Shelf(stack.mlflow, f"moved-{unique}")
    shelf.make()
    before = shelf.add(content)
    shelf.point("champion", before)
    bad = [
        (without_parity(content), {}, "gives other scores here"),
        (content, {"sha256": "0" * 64}, "is damaged"),
        (content, {"features_hash": "0" * 16}, "it was registered with 0000"),
    ]
    with worker({**env, "MODEL_NAME": shelf.name}, port, tmp_path) as running:
        until(running.ready, "the worker to be ready")
        assert in_use(running) == before
        better = shelf.add(variant(content, threshold=0.99))
        shelf.point("champion", better)
        until(lambda: in_use(running) == better, "the moved alias")
        for number, (file, tags, why) in enumerate(bad, 1):
            refused = shelf.add(file, **tags)
            shelf.point("champion", refused)
            until(partial(has_refused, running, number), why)
            assert (in_use(running), running.metric("fraudstream_model_refused")) == (better, 1)
            assert f"version {refused} is refused; version {better} stays in use" in running.log.read_text()
            assert why in running.log.read_text()
        shelf.point("champion", before)
        until(lambda: in_use(running) == before, "the way back")
        assert running.metric("fraudstream_model_refused") == 0
        assert running.stop() == 0
