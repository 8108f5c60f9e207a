"""The model registry: whatever answers in its place, a worker hears `Unavailable` or `ModelError`, and waits."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from stream_app.adapters.models import registry as registry_module
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.errors import ModelError, NoModel, Unavailable
from stream_app.scoring.registered import RegisteredVersion
from tests.web import Page, web

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = b"a model"
TAGS = {"sha256": hashlib.sha256(CONTENT).hexdigest(), "features_hash": "f00d"}
ALIAS = {"model_version": {"version": "3", "tags": [{"key": k, "value": v} for k, v in TAGS.items()]}}
PAGES = {
    "alias": Page(json.dumps(ALIAS).encode()),
    "get-download-uri": Page(b'{"artifact_uri": "mlflow-artifacts:/1/models/m/artifacts"}'),
    "model.onnx": Page(CONTENT),
}
MISSING = Page(b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model with name=fraud not found"}', 404)
NO_ALIAS = Page(b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias champion not found."}', 400)
LOGIN = Page(b"<html>Please log in</html>")


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """What is logged."""
    told: list[str] = []
    handler = logger.add(told.append, format="{message}", level="WARNING")
    yield told
    logger.remove(handler)


def test_a_model_is_fetched_and_its_copy_serves_when_mlflow_is_gone(tmp_path: Path) -> None:
    """The bytes, the version, and where they came from."""
    with web(PAGES) as url:
        registry = ModelRegistry(url, tmp_path)
        fetched = registry.fetch("fraud", "champion")
        assert (fetched.content, fetched.reference.version, fetched.origin, fetched.features_hash) == (CONTENT, "3", "registry", "f00d")
        registry.keep("champion", fetched)
    again = registry.fetch("fraud", "champion")
    assert (again.content, again.reference.version, again.origin) == (CONTENT, "3", "disk")


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (LOGIN, "is not MLflow but gave a page"),
        (Page(b"[]"), "is not MLflow but gave a page"),
        (Page(b'{"model_version": null}'), "is not MLflow but gave a page"),
        (Page(b"\xff\xfe"), "is not MLflow but gave a page"),
        (Page(b"", 302, "https://login.example"), r"is not MLflow but gave a redirection \(302\)"),
        (Page(b"", 503), "answered 503"),
        (Page(b"Not Found", 404), "is not MLflow but gave 404"),
        (Page(b'{"message": "Bad Request"}', 400), "is not MLflow but gave 400"),
        (Page(b"", 429), "takes no more requests"),
        (Page(b" " * 65_536, endless=True), "is not MLflow but gave a page of more than 1048576 bytes"),
        (Page(b"", 401), "user:password"),
        (Page(b"Permission denied", 403), "Permission denied.*user:password"),
        (Page(b"Invalid Host header - possible DNS rebinding attack detected", 403), r"Invalid Host header.*--allowed-hosts"),
    ],
)
def test_what_is_not_mlflow_is_told_as_unavailable(page: Page, why: str, tmp_path: Path) -> None:
    """A login page, a redirection to one, a proxy: the worker waits, unready, or takes its copy; it does not end."""
    with web({}, page) as url, pytest.raises(Unavailable, match=why) as caught:
        ModelRegistry(url, tmp_path).fetch("fraud", "champion")
    assert "FRAUDSTREAM_MLFLOW_TRACKING_URI" in str(caught.value) or page.status in {429, 503}
    with web({**PAGES, "get-download-uri": page}) as url, pytest.raises(Unavailable, match=why):
        ModelRegistry(url, tmp_path).fetch("fraud", "champion")


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ({"alias": MISSING}, "has no model for name=fraud alias=champion"),
        ({"alias": NO_ALIAS}, "has no model for name=fraud alias=champion"),
        ({"alias": Page(b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid name"}', 400)}, "refused name=fraud"),
        ({"alias": Page(b'{"model_version": {"version": "3"}}')}, "version 3 has no tag 'sha256'"),
        ({**PAGES, "get-download-uri": Page(b'{"artifact_uri": "s3://bucket/m"}')}, "does not serve"),
        ({**PAGES, "model.onnx": LOGIN}, "is damaged"),
    ],
)
def test_a_model_that_cannot_be_had_is_told_with_its_remedy(pages: dict[str, Page], why: str, tmp_path: Path) -> None:
    """MLflow answers, and what it says is wrong."""
    with web(pages) as url, pytest.raises(ModelError, match=why):
        ModelRegistry(url, tmp_path).fetch("fraud", "champion")


@pytest.mark.parametrize("page", [MISSING, NO_ALIAS])
def test_an_alias_points_to_nothing_where_mlflow_says_so(page: Page, tmp_path: Path) -> None:
    """Then a challenger ends. Whatever else is refused, by MLflow or a proxy before it, is not that."""
    with web({"alias": page}) as url, pytest.raises(NoModel):
        ModelRegistry(url, tmp_path).version_of("fraud", "champion")
    for other in (Page(b"", 404), Page(b"", 429), Page(b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid name"}', 400)):
        with web({"alias": other}) as url, pytest.raises((ModelError, Unavailable)) as caught:
            ModelRegistry(url, tmp_path).version_of("fraud", "champion")
        assert not isinstance(caught.value, NoModel)


def test_a_model_without_end_is_refused_and_not_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that sends for ever, and one that says beforehand that it will: a few megabytes are taken, and it is told as too large."""
    monkeypatch.setattr(registry_module, "MOST_MODEL_BYTES", 4_000_000)
    for page in (Page(b"x" * 1_000_000, endless=True), Page(b"x", length="5000000000")):
        with web({**PAGES, "model.onnx": page}) as url:
            tracemalloc.start()
            with pytest.raises(ModelError, match="larger than 4000000 bytes"):
                ModelRegistry(url, tmp_path).fetch("fraud", "champion")
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert most < 20_000_000


def test_a_model_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of it comes in time, the whole does not: MLflow is taken for away, and the copy serves."""
    monkeypatch.setattr(registry_module, "READ_WITHIN_S", 0.2)
    with web({**PAGES, "model.onnx": Page(b"x", endless=True)}) as url, pytest.raises(Unavailable, match=r"in 0\.2 s, and not all"):
        ModelRegistry(url, tmp_path).download(RegisteredVersion("fraud", "3", "", ""))


def test_an_unwritable_cache_is_warned_of_and_the_model_served(tmp_path: Path, warnings: list[str]) -> None:
    """That the copy of a model cannot be kept is no reason not to score with it."""
    cache = tmp_path / "file"
    cache.write_text("not a folder")
    with web(PAGES) as url:
        registry = ModelRegistry(url, cache)
        registry.keep("champion", registry.fetch("fraud", "champion"))
    assert "FRAUDSTREAM_MODEL_CACHE" in "".join(warnings)
    assert str(cache) in "".join(warnings)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:9/[", "[bad"])
def test_no_password_of_the_address_is_told(address: str, tmp_path: Path) -> None:
    """Not where nobody answers, nor where the address is none."""
    with pytest.raises(Unavailable, match="MLflow at http://…@") as caught:
        ModelRegistry(f"http://user:pa$s@{address}", tmp_path).fetch("fraud", "champion")
    assert "pa$s" not in str(caught.value)
