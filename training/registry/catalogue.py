"""The versions of one registered model in MLflow, over its REST API: in milliseconds, where its own client takes seconds to import."""

from __future__ import annotations

import getpass
import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from stream_app.errors import ModelError, NoAccess, Unavailable
from stream_app.messages.addresses import refused_by_mlflow, without_password, without_passwords

if TYPE_CHECKING:
    from collections.abc import Mapping

ARTIFACTS = "mlflow-artifacts:/"
MODEL_FILE = "model.onnx"
TIMEOUT_S = 5.0
_REFUSED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
CHALLENGER = "challenger"
"""Alias of a new version where another is served already."""
PROMOTED_OVER = "promoted_over"
"""Tag of a version that was made the champion: the version that was it before; empty for the first."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version: its number, the run that made it, its tags."""

    number: str
    run_id: str
    tags: Mapping[str, str]


class Catalogue:
    """The versions of one model. Every method raises Unavailable where MLflow does not answer, NoAccess and ModelError where it refuses."""

    def __init__(self, tracking_uri: str, name: str) -> None:
        self.name = name
        self._uri = tracking_uri.rstrip("/")

    def aliases(self) -> dict[str, str]:
        """Version of each alias; empty where there is no such model."""
        answer = self._answer("GET", "registered-models/get", missing=True, params={"name": self.name})
        return {one["alias"]: str(one["version"]) for one in answer.get("registered_model", {}).get("aliases", ())}

    def version(self, number: str) -> Version:
        """A version by its number."""
        found = self._answer("GET", "model-versions/get", params={"name": self.name, "version": number})["model_version"]
        return Version(number, str(found.get("run_id", "")), {tag["key"]: tag.get("value", "") for tag in found.get("tags", ())})

    def file(self, version: Version) -> bytes:
        """The ONNX file of a version, as a worker fetches it; it is the one that was registered."""
        content = self.served(version.number)
        if hashlib.sha256(content).hexdigest() != version.tags.get("sha256"):
            raise ModelError(
                f"The file of {self.name} version {version.number} is not the one that was registered (its SHA-256 is another). Train it again."
            )
        return content

    def served(self, number: str) -> bytes:
        """The file of a version, over plain HTTP through the server's artifact proxy."""
        place = self._answer("GET", "model-versions/get-download-uri", params={"name": self.name, "version": number})
        return self._artifact(place["artifact_uri"], MODEL_FILE)

    def artifact(self, version: Version, file: str) -> bytes:
        """A file of the run that made a version."""
        run = self._answer("GET", "runs/get", params={"run_id": version.run_id})["run"]
        return self._artifact(run["info"]["artifact_uri"], file)

    def tag(self, number: str, tags: Mapping[str, str]) -> None:
        """Write tags of a version over."""
        for key, value in tags.items():
            self._answer("POST", "model-versions/set-tag", json={"name": self.name, "version": number, "key": key, "value": value})

    def alias(self, alias: str, number: str) -> None:
        """Point an alias to a version."""
        self._answer("POST", "registered-models/alias", json={"name": self.name, "alias": alias, "version": number})

    def drop(self, alias: str) -> None:
        """Remove an alias."""
        self._answer("DELETE", "registered-models/alias", json={"name": self.name, "alias": alias})

    def crown(self, alias: str, number: str, who: str, why: str) -> None:
        """Let the workers follow a version: who, why, when and over which are tagged first, then the alias moves."""
        before = self.aliases().get(alias, "")
        if before == number:
            return
        self.tag(number, {"promoted_at": now(), "promoted_by": who, "promoted_why": why, PROMOTED_OVER: before})
        self.alias(alias, number)

    def _artifact(self, uri: str, file: str) -> bytes:
        if not uri.startswith(ARTIFACTS):
            raise ModelError(
                f"MLflow at {without_password(self._uri)} keeps artifacts at {without_password(uri)}, out of a worker's reach. Start it with --serve-artifacts."
            )
        path = uri.removeprefix(ARTIFACTS).strip("/")
        return self._request("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}/{file}", {}).content

    def _answer(self, method: str, path: str, *, missing: bool = False, **request: Any) -> dict[str, Any]:
        answer = self._request(method, f"/api/2.0/mlflow/{path}", request, missing=missing)
        return {} if answer.status_code == httpx.codes.NOT_FOUND else dict(answer.json())

    def _request(self, method: str, path: str, request: dict[str, Any], *, missing: bool = False) -> httpx.Response:
        try:
            answer = httpx.request(method, self._uri + path, timeout=TIMEOUT_S, **request)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unavailable(self._uri, str(error) or type(error).__name__) from None
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise unavailable(self._uri, f"HTTP {answer.status_code}")
        if answer.status_code in _REFUSED:
            raise _no_access(self._uri, answer)
        if answer.is_error and not (missing and "RESOURCE_DOES_NOT_EXIST" in answer.text):  # a proxy's 404 says nothing of a model
            why = " ".join(without_passwords(answer.text).split())[:300]
            raise ModelError(f"MLflow at {without_password(self._uri)} refused {path} of model {self.name!r}: {why}. Nothing was changed.")
        return answer


def check_reachable(tracking_uri: str) -> None:
    """Ask before training whether MLflow is there and lets us in: its own client would try for minutes, and health is told to anybody.

    Raises:
        Unavailable: it does not answer, with the remedy.
        NoAccess: it refuses the login, or the name that it is asked by.
    """
    for path in ("/health", "/api/2.0/mlflow/registered-models/search?max_results=1"):
        try:
            answer = httpx.get(f"{tracking_uri.rstrip('/')}{path}", timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unavailable(tracking_uri, str(error) or type(error).__name__) from None
        if answer.status_code in _REFUSED:
            raise _no_access(tracking_uri, answer)
        if answer.status_code != httpx.codes.OK:
            raise unavailable(tracking_uri, f"HTTP {answer.status_code} at {path.partition('?')[0]}")


def _no_access(tracking_uri: str, answer: httpx.Response) -> NoAccess:
    told = f"MLflow at {without_password(tracking_uri)} refused us ({answer.status_code}): {refused_by_mlflow(answer.text)}"
    return NoAccess(f"{told} Nothing was changed.")


def unavailable(tracking_uri: str, why: str) -> Unavailable:
    """MLflow does not answer, with the remedy."""
    short = " ".join(without_passwords(why).split())[:200].rstrip(".")
    remedy = "Start one with `fraudstream local up`, set FRAUDSTREAM_MLFLOW_TRACKING_URI, or train with --no-register"
    return Unavailable(f"MLflow at {without_password(tracking_uri)} does not answer ({short}). {remedy}.")


def now() -> str:
    """The time of day, for tags."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user() -> str:
    """Who does it, for the record: by name, or by number where this machine knows no name, as in a container of any user id."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
