"""The model registry: whatever answers in its place, a worker hears `Unavailable` or `ModelError`, and waits."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from stream_app.adapters.models.registry import ModelRegistry
from stream_app.errors import ModelError, Unavailable
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
        (Page(b"", 401), "user:password"),
    ],
)
def test_what_is_not_mlflow_is_told_as_unavailable(page: Page, why: str, tmp_path: Path) -> None:
    """A login page, a redirection to one, a proxy: the worker waits, unready, or takes its copy; it does not end."""
    with web({}, page) as url, pytest.raises(Unavailable, match=why) as caught:
        ModelRegistry(url, tmp_path).fetch("fraud", "champion")
    assert "FRAUDSTREAM_MLFLOW_TRACKING_URI" in str(caught.value) or page.status == 503
    with web({**PAGES, "get-download-uri": page}) as url, pytest.raises(Unavailable, match=why):
        ModelRegistry(url, tmp_path).fetch("fraud", "champion")


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ({}, "has no model for name=fraud alias=champion"),
        ({"alias": Page(b'{"model_version": {"version": "3"}}')}, "version 3 has no tag 'sha256'"),
        ({**PAGES, "get-download-uri": Page(b'{"artifact_uri": "s3://bucket/m"}')}, "does not serve"),
        ({**PAGES, "model.onnx": LOGIN}, "is damaged"),
    ],
)
def test_a_model_that_cannot_be_had_is_told_with_its_remedy(pages: dict[str, Page], why: str, tmp_path: Path) -> None:
    """MLflow answers, and what it says is wrong."""
    with web(pages) as url, pytest.raises(ModelError, match=why):
        ModelRegistry(url, tmp_path).fetch("fraud", "champion")


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
