"""Terraform: formatted, parsed, linted, its docs made from it, and every argument one that the provider has."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.ship.tools import HOME, passes, run, tool

TERRAFORM = ROOT / "terraform"
FOLDERS = sorted({path.parent for path in TERRAFORM.rglob("*.tf") if ".terraform" not in path.parts})
IDS = [str(folder.relative_to(TERRAFORM)) for folder in FOLDERS]

TESTS = sorted(TERRAFORM.rglob("*.tftest.hcl"))
MOCKS_SINCE = (1, 7)


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


@pytest.mark.parametrize("file", TESTS, ids=[file.name for file in TESTS])
def test_terraforms_own_tests_pass(file: Path, tmp_path: Path) -> None:
    """Plans with mock providers; no account is needed, but terraform 1.7 and the providers' schemas."""
    terraform, module = tool("terraform"), file.parents[1]
    version = json.loads(passes([terraform, "version", "-json"]))["terraform_version"]
    if tuple(map(int, version.split("-")[0].split(".")[:2])) < MOCKS_SINCE:
        pytest.skip(f"terraform {version} has no mock providers: 1.7 and later")
    own = {"TF_DATA_DIR": str(tmp_path / "data"), "TF_IN_AUTOMATION": "1"}
    ready = run(["timeout", "60", terraform, f"-chdir={module}", "init", "-backend=false", "-input=false"], env=own)
    if ready.returncode:
        pytest.skip("the providers cannot be downloaded: " + " ".join(ready.stderr.split())[:160])
    passes([terraform, f"-chdir={module}", "test"], env=own)


def unknown_names(test: str, module: str) -> set[str]:
    """Variables, resources and runs' variables that a test names and its module does not have."""
    declared = {f"var.{name}" for name in re.findall(r'^variable "(\w+)"', module, re.MULTILINE)}
    declared |= {".".join(pair) for pair in re.findall(r'^resource "(\w+)" "(\w+)"', module, re.MULTILINE)}
    named = set(re.findall(r"\b(var\.\w+|aws_\w+\.\w+)", test))
    for block in re.findall(r"^( *)variables \{\n(.*?)^\1\}", test, re.MULTILINE | re.DOTALL):
        named |= {f"var.{name}" for name in re.findall(rf"^{block[0]}  (\w+) +=", block[1], re.MULTILINE)}
    return named - declared


@pytest.mark.parametrize("file", TESTS, ids=[file.name for file in TESTS])
def test_terraforms_own_tests_name_what_their_module_has(file: Path) -> None:
    """Where they cannot be run: a variable or resource that was renamed would be found."""
    module = "\n".join(path.read_text() for path in file.parents[1].glob("*.tf"))
    text = file.read_text()
    assert unknown_names(text, module) == set()
    assert unknown_names(text + "\nvariables {\n  no_such = 1\n}\naws_no.such", module) == {"var.no_such", "aws_no.such"}


def test_the_docs_are_made_from_the_modules() -> None:
    """Inputs and outputs of every folder, in terraform/MODULES.md."""
    made = passes([tool("python"), str(ROOT / "scripts/ship/terraform_docs.py"), str(TERRAFORM)])
    path = TERRAFORM / "MODULES.md"
    if os.environ.get("SHIP_UPDATE"):
        path.write_text(made)
    current = made == path.read_text()
    assert current, "terraform/MODULES.md is behind the modules: `SHIP_UPDATE=1 make ship-check` makes it anew"


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
