"""The workflows of GitHub Actions: pinned, with the least rights, about targets that there are, and sound by actionlint."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FLOWS: dict[str, dict[str, Any]] = {file.stem: yaml.safe_load(file.read_text()) for file in FILES}
JOBS = [(f"{flow}: {name}", job) for flow, about in FLOWS.items() for name, job in about["jobs"].items()]
every_job = pytest.mark.parametrize("job", [job for _, job in JOBS], ids=[name for name, _ in JOBS])
ACTIONLINT = next((p for p in (shutil.which("actionlint"), shutil.which(str(ROOT / ".tools/ship/bin/actionlint"))) if p), None)


def test_every_action_is_pinned_by_commit() -> None:
    """A tag can be moved; the comment says which version the commit is, and one action has one."""
    uses = [line for file in FILES for line in re.findall(r"uses: (.*)", file.read_text())]
    assert uses
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    assert len({line.split("@")[0] for line in uses}) == len(set(uses))


@pytest.mark.parametrize("flow", sorted(FLOWS))
def test_a_workflow_may_do_nothing_by_itself(flow: str) -> None:
    """What a job may do stands at the job; no key is stored anywhere."""
    assert FLOWS[flow]["permissions"] == {}
    assert "secrets." not in ROOT.joinpath(".github", "workflows", f"{flow}.yml").read_text()


@every_job
def test_a_job_has_the_least_rights_and_an_end(job: dict[str, Any]) -> None:
    """It may write only to make a release, and gets a token for AWS only in an environment, which can ask for a review."""
    assert job["timeout-minutes"] <= 90
    rights = dict(job["permissions"])
    if rights.pop("id-token", "") == "write":
        assert job["environment"]
        assert any("aws-actions/configure-aws-credentials@" in step.get("uses", "") for step in job["steps"])
    if rights.pop("contents") == "write":
        assert any("gh release create" in step.get("run", "") for step in job["steps"])
    assert rights == {}


@every_job
def test_a_job_leaves_no_credentials_in_the_checkout(job: dict[str, Any]) -> None:
    """What runs later, a package's script too, could read them."""
    checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@every_job
def test_no_job_writes_what_others_name_into_a_shell(job: dict[str, Any]) -> None:
    """A branch's or an input's text within a script would be run: it goes through the environment."""
    assert [step["run"] for step in job["steps"] if "${{" in step.get("run", "")] == []


def test_jobs_call_targets_that_there_are_and_ci_has_all_checks() -> None:
    """Each step of `.ci/run` is a job too, and each job is explained in CONTRIBUTING."""
    targets = set(re.findall(r"^([a-z-]+):", ROOT.joinpath("Makefile").read_text(), re.MULTILINE))
    called = {name for _, job in JOBS for step in job["steps"] for name in _targets(step.get("run", ""))}
    assert called <= targets
    steps = re.search(r"^for step in (.*); do$", ROOT.joinpath(".ci", "run").read_text(), re.MULTILINE)
    assert steps is not None
    assert set(steps[1].split()) <= called
    contributing = ROOT.joinpath("CONTRIBUTING.md").read_text()
    assert [name for name in FLOWS["ci"]["jobs"] if f"| `{name}` |" not in contributing] == []


def _targets(script: str) -> list[str]:
    return [name for line in re.findall(r"^make ([a-z -]+)", script, re.MULTILINE) for name in line.split()]


def test_actionlint_finds_the_workflows_sound() -> None:
    """GitHub's syntax, contexts, types of inputs."""
    if ACTIONLINT is None:
        pytest.skip("actionlint is not installed (go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12)")
    ran = subprocess.run([ACTIONLINT, "-no-color", *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
