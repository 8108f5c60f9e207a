"""Terraform: formatted, parsed, linted, its docs made from it, and every argument one that the provider has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ship.tools import HOME, passes, run, tool

TERRAFORM = ROOT / "terraform"
FOLDERS = sorted({path.parent for path in TERRAFORM.rglob("*.tf") if ".terraform" not in path.parts})
IDS = [str(folder.relative_to(TERRAFORM)) for folder in FOLDERS]


def test_all_is_formatted() -> None:
    """By terraform itself; it parses each file for that."""
    passes([tool("terraform"), f"-chdir={TERRAFORM}", "fmt", "-check", "-diff", "-recursive"])


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_tflint_finds_nothing(folder: Path) -> None:
    """Types, descriptions, names, unused declarations, pinned providers."""
    passes([tool("tflint"), f"--chdir={folder}", f"--config={TERRAFORM}/.tflint.hcl", "--minimum-failure-severity=notice"])


@pytest.mark.parametrize("folder", FOLDERS, ids=IDS)
def test_terraform_validates(folder: Path, tmp_path: Path) -> None:
    """Where the providers can be downloaded."""
    terraform, own = tool("terraform"), {"TF_DATA_DIR": str(tmp_path / "data"), "TF_IN_AUTOMATION": "1"}
    ready = run(["timeout", "60", terraform, f"-chdir={folder}", "init", "-backend=false", "-input=false", "-lockfile=readonly"], env=own)
    if ready.returncode:
        pytest.skip("the providers cannot be downloaded: " + " ".join(ready.stderr.split())[:160])
    passes([terraform, f"-chdir={folder}", "validate"], env=own)


def test_the_docs_are_made_from_the_modules() -> None:
    """Inputs and outputs of every folder, in terraform/MODULES.md."""
    made = passes([tool("python"), str(ROOT / "scripts/ship/terraform_docs.py"), str(TERRAFORM)])
    path = TERRAFORM / "MODULES.md"
    if os.environ.get("SHIP_UPDATE"):
        path.write_text(made)
    assert made == path.read_text()


def _provider() -> str:
    found = sorted((HOME / "aws-provider").glob("*.whl"))
    if not found:
        pytest.skip("no schema of the AWS provider: scripts/ship/tools says why")
    return str(found[0])


ARGUMENTS = str(ROOT / "scripts" / "ship" / "terraform_arguments.py")


def test_every_type_argument_and_reference_is_one_of_the_provider() -> None:
    """Against the provider's schema, without the provider: required arguments are there, others are known."""
    passes([tool("python"), ARGUMENTS, str(TERRAFORM), _provider()])


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("number_of_broker_nodes =", "broker_nodes =", "number_of_broker_nodes is required and not given"),
        ("volume_size =", "volume_sizes =", "broker_node_group_info.storage_info.ebs_storage_info.volume_sizes is no argument"),
        ("aws_msk_configuration.this.latest_revision", "aws_msk_configuration.this.last", "aws_msk_configuration has no attribute last"),
        ('"aws_msk_scram_secret_association"', '"aws_msk_scram_secret"', "no such type"),
    ],
)
def test_a_wrong_argument_would_be_found(right: str, wrong: str, says: str, tmp_path: Path) -> None:
    """The check above can fail: on a type, an argument, one that is missing, an attribute."""
    text = (TERRAFORM / "modules" / "kafka" / "main.tf").read_text()
    assert right in text
    (tmp_path / "main.tf").write_text(text.replace(right, wrong))
    ended = run([tool("python"), ARGUMENTS, str(tmp_path), _provider()])
    assert ended.returncode == 1
    assert says in ended.stdout
