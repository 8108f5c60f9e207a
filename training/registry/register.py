"""Into MLflow: a run with everything that explains the model, a registered version, and the alias that workers follow.

A worker fetches the model over plain HTTP, without mlflow; `Catalogue.served` is that way, and registration ends by walking it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from stream_app.errors import ModelError, Unavailable
from stream_app.features.model_metadata import OUTPUT_NAME
from stream_app.messages.addresses import without_password, without_passwords
from training.registry.catalogue import CHALLENGER, MODEL_FILE, Catalogue, check_reachable, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_app.features.compute import Vectors
    from training.fitting.registration import Registration

EXPERIMENT = "fraudstream"
CLIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",  # it would warn where git is missing
}
"""MLflow's own timeouts are minutes; and a training run is nobody else's business. What the user has set stands."""
REQUIREMENTS = ["onnxruntime", "numpy"]


@dataclass(frozen=True, slots=True)
class RunReport:
    """What the run says of the model.

    Attributes:
        parameters: what it was trained with.
        metrics: how good it is.
        tags: where it comes from.
        plots: PNG files.
        files: other artifacts, by name.
        example: a few vectors, float32 [rows, features].
        example_scores: what the model says of them, float32 [rows, 2].
        name: of the run and the version: what was trained on what.
        description: of the version, a few sentences.
        useless: why it must not be served, where it finds no more than chance or the amount alone; empty: it does.
    """

    parameters: Mapping[str, str | int | float]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    plots: tuple[Path, ...]
    files: Mapping[str, bytes]
    example: Vectors
    example_scores: Vectors
    name: str
    description: str
    useless: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A version in the registry; `url` is its page. `alias` is empty where it must not be served."""

    name: str
    version: str
    alias: str
    sha256: str
    run_id: str
    url: str

    def told(self) -> str:
        """What a person is told of it; where no worker follows it, why, and what to do."""
        place = f"registered: {self.name} version {self.version}"
        if self.alias:
            return f"{place}, alias {self.alias}, {self.url}"
        return (
            f"{place}, without an alias, {self.url}\nIt finds no more frauds than chance or the amount alone: no worker follows it. Give a longer "
            f'history or more frauds, or serve it all the same with `fraudstream promote {self.version} --force --why "…"`.'
        )


def register(exported: Any, report: RunReport, where: Registration) -> Registered:
    """Log the run, register the model's version, point an alias to it.

    1. run: parameters, metrics, tags, plots, model card, held-out period, and the model with signature and example;
    2. version of the registered model, tagged with the SHA-256 of its file;
    3. fetch the file as a worker will and compare;
    4. only then the alias: the first version is served, a later one becomes the challenger. One that is of no use is not served, unless forced.

    Args:
        exported: the ONNX model, past its parity gate.
        report: what to say of it.
        where: server, name and alias.

    Raises:
        Unavailable: MLflow stopped answering.
        ModelError: MLflow refused, or a worker could not fetch what was registered.
    """
    check_reachable(where.tracking_uri)
    digest = hashlib.sha256(exported.SerializeToString()).hexdigest()
    with _quiet(), _told(where):
        import mlflow  # noqa: PLC0415 - seconds to import, and its own environment is set first
        import mlflow.onnx  # noqa: PLC0415

        client = mlflow.MlflowClient(tracking_uri=where.tracking_uri, registry_uri=where.tracking_uri)
        run_id, version = _log(mlflow, exported, report, where)
        client.set_model_version_tag(where.name, version, "sha256", digest)
        client.set_model_version_tag(where.name, version, "features_hash", report.tags["features_hash"])
        client.set_model_version_tag(where.name, version, "name", report.name)
        client.update_model_version(where.name, version, report.description)
        catalogue = Catalogue(where.tracking_uri, where.name)
        if hashlib.sha256(catalogue.served(version)).hexdigest() != digest:
            raise ModelError(
                f"MLflow at {without_password(where.tracking_uri)} gives back another {MODEL_FILE} than it was given. The alias was not moved."
            )
        alias = alias_of_new(where, report.useless, served=where.serving in catalogue.aliases())
        if alias == where.serving:
            why = "trained with --alias" if where.alias else "the first version"
            catalogue.crown(alias, version, where.who, f"{why}; forced, {report.useless}: {where.forced}" if report.useless else why)
        elif alias:
            catalogue.alias(alias, version)
    url = f"{without_password(where.tracking_uri).rstrip('/')}/#/models/{where.name}/versions/{version}"
    return Registered(where.name, version, alias, digest, run_id, url)


def alias_of_new(where: Registration, useless: str, *, served: bool) -> str:
    """What a new version is called: as asked for; else as workers follow, where no version is called so yet; else challenger.

    Args:
        where: what was asked for.
        useless: why it must not be served; empty: it may.
        served: whether there is a version that workers follow.

    Returns:
        The alias; empty: none.
    """
    alias = where.alias or (CHALLENGER if served or where.needs_approval else where.serving)
    return "" if alias == where.serving and useless and not where.forced else alias


def code_revision() -> str:
    """The git revision of the code, "-dirty" where it was changed; empty without git."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607 - git is where the user has it
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout.strip()


def _log(mlflow: Any, exported: Any, report: RunReport, where: Registration) -> tuple[str, str]:
    from mlflow.models import infer_signature  # noqa: PLC0415

    mlflow.set_tracking_uri(where.tracking_uri)
    mlflow.set_registry_uri(where.tracking_uri)
    mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(run_name=report.name, tags=dict(report.tags)) as run:
        mlflow.log_params(dict(report.parameters))
        for plot in report.plots:
            mlflow.log_artifact(str(plot), "plots")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in report.files.items():
                Path(folder, name).write_bytes(content)
            mlflow.log_artifacts(folder)
        info = mlflow.onnx.log_model(
            exported,
            name="model",
            registered_model_name=where.name,
            signature=infer_signature(report.example, {OUTPUT_NAME: report.example_scores}),
            input_example=report.example,
            pip_requirements=REQUIREMENTS,
            onnx_execution_providers=["CPUExecutionProvider"],
            save_as_external_data=False,
        )
        mlflow.log_metrics(dict(report.metrics))
        return run.info.run_id, str(info.registered_model_version)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow tells on stdout, stderr and in warnings what our own lines say better; its errors still come as exceptions."""
    before = {name: os.environ.get(name) for name in CLIENT}
    os.environ.update({name: value for name, value in CLIENT.items() if before[name] is None})
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


@contextlib.contextmanager
def _told(where: Registration) -> Iterator[None]:
    """What mlflow raises becomes one line."""
    import requests  # noqa: PLC0415 - mlflow's HTTP client
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        yield
    except (httpx.TransportError, requests.ConnectionError, requests.Timeout) as error:
        raise unavailable(where.tracking_uri, str(error)) from None
    except (MlflowException, httpx.HTTPStatusError) as error:
        _refused(where, error)


def _refused(where: Registration, error: Exception) -> NoReturn:
    try:
        check_reachable(where.tracking_uri)
    except Unavailable as gone:
        raise gone from None
    why = " ".join(without_passwords(str(error)).split())[:300]
    raise ModelError(
        f"MLflow at {without_password(where.tracking_uri)} refused to register {where.name!r}: {why}. The alias was not moved."
    ) from None
