"""Policies: what checkov and actionlint think of everything that is shipped. An exception stands beside what it is about, with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.ship.chart import EVERYTHING, FEATURES, merged, rendered
from tests.ship.tools import passes, run, tool

RELEASE: dict[str, Any] = {
    "image": {"pullPolicy": "Always", "digest": "sha256:" + "0" * 64},
    "training": {"image": {"digest": "sha256:" + "0" * 64}},
}
"""As an installation is that pins its images: whether to is not the chart's to say."""


SECRETS_AS_FILES = "CKV_K8S_35"
"""The program's settings are environment variables, secrets among them: they are references to existing secrets."""


def _checkov(*arguments: str) -> list[str]:
    return [tool("checkov"), "--quiet", "--compact", "--skip-download", *arguments]


@pytest.mark.parametrize("features", ["defaults", "everything", "kafka-mutual-tls"])
def test_the_chart_keeps_the_policies_of_kubernetes(features: str, tmp_path: Path) -> None:
    """Rendered; with each of its kinds of pods."""
    values = {**FEATURES, "defaults": {}, "everything": EVERYTHING}[features]
    (tmp_path / "all.yaml").write_text(rendered(merged(values, RELEASE), tmp_path))
    passes(_checkov("--framework", "kubernetes", "--skip-check", SECRETS_AS_FILES, "--file", str(tmp_path / "all.yaml")))


def test_a_pod_with_rights_would_be_found(tmp_path: Path) -> None:
    """The check above can fail."""
    text = rendered(RELEASE, tmp_path).replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
    (tmp_path / "all.yaml").write_text(text)
    ended = run(_checkov("--framework", "kubernetes", "--file", str(tmp_path / "all.yaml")))
    assert ended.returncode == 1
    assert "CKV_K8S_22" in ended.stdout


def test_the_dockerfile_keeps_its_policies() -> None:
    """No root, no added archives, a health check."""
    passes(_checkov("--framework", "dockerfile", "--file", str(ROOT / "Dockerfile")))


def test_terraform_keeps_its_policies() -> None:
    """Modules and environments together."""
    passes(_checkov("--framework", "terraform", "--directory", str(ROOT / "terraform")))


def test_the_workflows_keep_their_policies() -> None:
    """Of checkov and actionlint."""
    passes(_checkov("--framework", "github_actions", "--directory", str(ROOT / ".github")))
    passes([tool("actionlint"), *map(str, (ROOT / ".github/workflows").glob("*.yml"))])


def test_every_exception_has_its_reason() -> None:
    """`checkov:skip=ID:why`, beside what it is about."""
    lines = [line for path in ROOT.joinpath("terraform").rglob("*.tf") for line in path.read_text().splitlines() if "checkov:skip" in line]
    lines += [line for line in ROOT.joinpath("Dockerfile").read_text().splitlines() if "checkov:skip" in line]
    assert lines
    assert [line for line in lines if len(line.partition("checkov:skip=")[2].partition(":")[2]) < len("a reason of some words")] == []
