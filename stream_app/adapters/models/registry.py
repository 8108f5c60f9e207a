"""Models from the MLflow registry over its REST API, with a verified copy on disk for when MLflow is down.

The mlflow package itself is not imported: that alone takes longer than a worker may take to start.
"""

from __future__ import annotations

import hashlib
import os
import time
from functools import cached_property
from pathlib import Path

import httpx
import msgspec
from loguru import logger

from stream_app.errors import ModelError, NoAccess, NoModel, Unavailable
from stream_app.messages.addresses import refused_by_mlflow, without_password, without_passwords
from stream_app.messages.alert import ModelReference
from stream_app.scoring.registered import FetchedModel, RegisteredVersion

SHA256_TAG = "sha256"
FEATURES_HASH_TAG = "features_hash"
MOST_ANSWER_BYTES = 1_048_576
MOST_MODEL_BYTES = 268_435_456
"""A bound of what is read into memory, not a size to aim at."""
READ_WITHIN_S = 120.0
"""The whole of an answer: each part of it alone may take `PART_WITHIN_S`."""
PART_WITHIN_S = 10.0
_PROXY_SCHEME = "mlflow-artifacts:"


class _Copy(msgspec.Struct, frozen=True):
    name: str
    alias: str
    version: str
    sha256: str


class _Tag(msgspec.Struct, frozen=True):
    key: str
    value: str


class _VersionAnswer(msgspec.Struct, frozen=True):
    version: str
    tags: tuple[_Tag, ...] = ()


class _Alias(msgspec.Struct, frozen=True):
    """MLflow's answer to `registered-models/alias`."""

    model_version: _VersionAnswer


class _DownloadUri(msgspec.Struct, frozen=True):
    """MLflow's answer to `get-download-uri`."""

    artifact_uri: str


class _MlflowError(msgspec.Struct, frozen=True):
    """MLflow's answer where it does not do what it is asked."""

    error_code: str
    message: str = ""

    @property
    def is_nothing_there(self) -> bool:
        """Whether the model, version or alias does not exist. MLflow has no code of its own for an alias."""
        return self.error_code == "RESOURCE_DOES_NOT_EXIST" or (
            self.error_code == "INVALID_PARAMETER_VALUE"
            and self.message.startswith("Registered model alias")
            and "not found" in self.message
        )


class ModelRegistry:
    """Finds a model by name and alias, see `registered.Registry`."""

    def __init__(self, tracking_uri: str, cache: Path) -> None:
        self._uri = tracking_uri.rstrip("/")
        self._shown = without_password(self._uri)
        self._cache = cache

    @cached_property
    def _client(self) -> httpx.Client:
        """Made once: reading the authorities of TLS takes tens of milliseconds of CPU. No connection is kept between two looks."""
        return httpx.Client(
            timeout=PART_WITHIN_S, limits=httpx.Limits(max_keepalive_connections=0), headers={"Accept-Encoding": "identity"}
        )

    def version_of(self, name: str, alias: str) -> RegisteredVersion:
        """See `registered.Registry`."""
        return _registered(name, self._ask(_Alias, "/api/2.0/mlflow/registered-models/alias", name=name, alias=alias).model_version)

    def numbered(self, name: str, number: str) -> RegisteredVersion:
        """A version by its number, whatever alias it has or had.

        Raises:
            ModelError: if there is none, or our training did not register it.
            Unavailable: if MLflow does not answer, or what answers is not MLflow.
        """
        return _registered(name, self._ask(_Alias, "/api/2.0/mlflow/model-versions/get", name=name, version=number).model_version)

    def download(self, version: RegisteredVersion) -> FetchedModel:
        """See `registered.Registry`."""
        content = self._content(version.name, version.version)
        _verify(content, version.sha256, f"The registry's model {version.name} version {version.version}")
        return FetchedModel(content, ModelReference(version.name, version.version), "registry", version.features_hash)

    def fetch(self, name: str, alias: str) -> FetchedModel:
        """The model behind an alias: from the registry, else the copy on disk.

        Raises:
            ModelError: if the registry says there is none, or what it gave is damaged.
            Unavailable: if MLflow does not answer and there is no copy.
        """
        try:
            return self.download(self.version_of(name, alias))
        except Unavailable as error:
            return self.copy(name, alias, error)

    def copy(self, name: str, alias: str, away: Unavailable) -> FetchedModel:
        """See `registered.Registry`."""
        folder = self._folder(name, alias)
        try:
            copy = msgspec.json.decode((folder / "copy.json").read_bytes(), type=_Copy)
            content = (folder / f"{copy.sha256}.onnx").read_bytes()
        except (OSError, msgspec.MsgspecError):
            raise Unavailable(f"{away} There is no copy of {name}@{alias} in {self._cache} either.") from None
        _verify(content, copy.sha256, f"The copy of {name} version {copy.version} in {folder}")
        return FetchedModel(content, ModelReference(name, copy.version), "disk", "")

    def keep(self, alias: str, model: FetchedModel) -> None:
        """See `registered.Registry`."""
        reference, sha256 = model.reference, hashlib.sha256(model.content).hexdigest()
        try:
            self._write(model.content, _Copy(reference.name, alias, reference.version, sha256))
        except OSError as error:
            logger.warning(
                "No copy of the model is kept in {}: {}. Without one this worker cannot start while MLflow is down: "
                "make the folder writable, or set FRAUDSTREAM_MODEL_CACHE to one that is.",
                self._cache,
                error,
            )

    def _content(self, name: str, version: str) -> bytes:
        uri = self._ask(_DownloadUri, "/api/2.0/mlflow/model-versions/get-download-uri", name=name, version=version).artifact_uri
        if not uri.startswith(_PROXY_SCHEME):
            raise ModelError(
                f"Model {name} version {version} lies at {without_password(uri)}, which the MLflow server does not serve. Start it with --serve-artifacts."
            )
        content = self._get(
            f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix(_PROXY_SCHEME).lstrip('/')}/model.onnx", MOST_MODEL_BYTES
        )
        if content is None:
            raise ModelError(
                f"Model {name} version {version} at {self._shown} is larger than {MOST_MODEL_BYTES} bytes, more than a worker loads. "
                "Train a smaller one, or see what lies there as model.onnx."
            )
        return content

    def _ask[T](self, kind: type[T], path: str, **query: str) -> T:
        content = self._get(path, MOST_ANSWER_BYTES, **query)
        if content is None:
            raise self._not_mlflow(f"a page of more than {MOST_ANSWER_BYTES} bytes")
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._not_mlflow(f"a page that is no answer of MLflow: {content[:40]!r}") from None

    def _not_mlflow(self, what: str) -> Unavailable:
        return Unavailable(
            f"What answers at {self._shown} is not MLflow but gave {what}. "
            "Is a login page or a proxy before it? Set FRAUDSTREAM_MLFLOW_TRACKING_URI to MLflow itself, or have this machine let through."
        )

    def _get(self, path: str, most_bytes: int, **query: str) -> bytes | None:
        """The content of an answer; None where there is more than `most_bytes`, which is not read.

        Raises:
            NoModel: MLflow says that there is no such thing.
            ModelError: it does not do what it is asked.
            Unavailable: no answer, not all of it in time, or one that is not of MLflow.
        """
        try:
            with self._client.stream("GET", self._uri + path, params=query) as answer:
                content = self._read(answer, MOST_ANSWER_BYTES if answer.is_error else most_bytes)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            why = without_passwords(str(error)) or type(error).__name__
            raise Unavailable(
                f"MLflow at {self._shown} did not answer ({why}). Check FRAUDSTREAM_MLFLOW_TRACKING_URI and the server."
            ) from None
        if answer.is_success:
            return content
        raise self._refused(answer.status_code, content or b"", " ".join(f"{k}={v}" for k, v in query.items()) or path)

    def _read(self, answer: httpx.Response, most_bytes: int) -> bytes | None:
        """All of it, as it comes: nothing is unpacked, and no more is kept than may be."""
        declared = answer.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most_bytes:
            return None
        content, until = bytearray(), time.monotonic() + READ_WITHIN_S
        for part in answer.iter_raw():
            content += part
            if len(content) > most_bytes:
                return None
            if time.monotonic() > until:
                raise Unavailable(
                    f"MLflow at {self._shown} gave {len(content)} bytes in {READ_WITHIN_S:g} s, and not all. Check the network."
                )
        return bytes(content)

    def _refused(self, status: int, content: bytes, what: str) -> ModelError | Unavailable:
        """What an answer means that is none."""
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return Unavailable(f"MLflow at {self._shown} answered {status}.")
        if status < httpx.codes.BAD_REQUEST:
            return self._not_mlflow(f"a redirection ({status})")
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return NoAccess(f"MLflow at {self._shown} refused us ({status}): {refused_by_mlflow(content.decode(errors='replace'))}")
        if status == httpx.codes.TOO_MANY_REQUESTS:
            return Unavailable(f"MLflow at {self._shown}, or a proxy before it, takes no more requests now ({status}).")
        return self._fault(status, content, what)

    def _fault(self, status: int, content: bytes, what: str) -> ModelError | Unavailable:
        """What MLflow says of a request that it does not do; a proxy's page says nothing of a model."""
        try:
            fault = msgspec.json.decode(content, type=_MlflowError)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._not_mlflow(f"{status} and no reason of MLflow")
        said = f"{fault.error_code}: {fault.message}"[:300]
        if fault.is_nothing_there:
            return NoModel(f"MLflow at {self._shown} has no model for {what} ({said}). Train one: `python -m training.train --data FILE`.")
        return ModelError(f"MLflow at {self._shown} refused {what} ({said}). Check FRAUDSTREAM_MODEL_NAME and the aliases.")

    def _write(self, content: bytes, copy: _Copy) -> None:
        """First the content, then the note that names it, each moved into place whole."""
        folder = self._folder(copy.name, copy.alias)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in ((f"{copy.sha256}.onnx", content), ("copy.json", msgspec.json.encode(copy))):
            unfinished = folder / f".{name}.{os.getpid()}"
            unfinished.write_bytes(data)
            unfinished.replace(folder / name)
        for old in folder.glob("*.onnx"):
            if old.stem != copy.sha256:
                old.unlink(missing_ok=True)

    def _folder(self, name: str, alias: str) -> Path:
        return self._cache / hashlib.sha256(f"{self._uri}|{name}|{alias}".encode()).hexdigest()[:16]


def _verify(content: bytes, sha256: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ModelError(f"{what} is damaged: its SHA-256 is {found[:12]}…, not {sha256[:12]}…. Register the model again.")


def _registered(name: str, version: _VersionAnswer) -> RegisteredVersion:
    tags = {t.key: t.value for t in version.tags}
    if SHA256_TAG not in tags:
        raise ModelError(f"Model {name} version {version.version} has no tag {SHA256_TAG!r}. Register it with `python -m training.train`.")
    return RegisteredVersion(name, version.version, tags[SHA256_TAG], tags.get(FEATURES_HASH_TAG, ""))
