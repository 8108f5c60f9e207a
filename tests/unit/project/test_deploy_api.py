"""`make deploy-api` against stand-ins of `aws` and `docker`, which note what they are asked: there is no account of AWS in a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
home = Path({home!r})
given = "" if sys.stdin.isatty() else sys.stdin.read()
with (home / "asked").open("a") as asked:
    asked.write(json.dumps([Path(sys.argv[0]).name, *sys.argv[1:], given]) + "\\n")
answers = json.loads((home / "answers").read_text())
print(answers.get(" ".join(sys.argv[1:3]), ""))
sys.exit(int((home / "fails").read_text() == " ".join(sys.argv[1:3])))
"""
OLD = {
    "family": "f",
    "taskDefinitionArn": "arn:old",
    "revision": 3,
    "status": "ACTIVE",
    "cpu": "512",
    "containerDefinitions": [{"name": "api", "image": "old", "user": "10001"}, {"name": "sidecar", "image": "other"}],
}


class Account:
    """An account as the stand-ins show it."""

    def __init__(self, home: Path) -> None:
        """Programs, and what they answer."""
        self.home = home
        for name in ("aws", "docker"):
            home.joinpath(name).write_text(STAND_IN.format(python=sys.executable, home=str(home)))
            home.joinpath(name).chmod(0o755)
        home.joinpath("fails").write_text("")
        self.answers(after="arn:new")

    def answers(self, after: str) -> None:
        """`after`: the task definition that the service runs in the end; the first look at it gets the same, which is not looked at."""
        said = {
            "sts get-caller-identity": {"Account": "123456789012"},
            "ecr get-login-password": "secret",
            "ecr describe-images": {"imageDetails": [{"imageDigest": "sha256:aa"}]},
            "ecs describe-services": {"services": [{"taskDefinition": after}]},
            "ecs describe-task-definition": {"taskDefinition": OLD},
            "ecs register-task-definition": {"taskDefinition": {"taskDefinitionArn": "arn:new"}},
        }
        self.home.joinpath("answers").write_text(json.dumps({k: v if isinstance(v, str) else json.dumps(v) for k, v in said.items()}))

    def deploy(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the program."""
        named = {"AWS_REGION": "eu-west-1", "ECR_REPOSITORY": "fs", "ECS_CLUSTER": "c", "IMAGE_TAG": "t"} | environment
        run = [sys.executable, str(ROOT / "scripts" / "deploy_api.py")]
        return subprocess.run(run, env={"PATH": str(self.home)} | named, capture_output=True, text=True, check=False)

    def asked(self) -> list[list[str]]:
        """Every call, with what it was given."""
        return [json.loads(line) for line in self.home.joinpath("asked").read_text().splitlines()]


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """Where everything goes well."""
    return Account(tmp_path)


@pytest.mark.parametrize(("platform", "architecture"), [("linux/amd64", "X86_64"), ("linux/arm64", "ARM64")])
def test_the_service_gets_the_image_that_was_built_by_its_digest(account: Account, platform: str, architecture: str) -> None:
    """On its architecture; other containers and settings of the task stay; the end is awaited."""
    ran = account.deploy(PLATFORM=platform)
    assert ran.returncode == 0, ran.stderr
    asked = account.asked()
    assert [" ".join(a[:3]) for a in asked] == [
        "aws sts get-caller-identity",
        "aws ecr get-login-password",
        "docker login --username",
        "docker buildx build",
        "aws ecr describe-images",
        "aws ecs describe-services",
        "aws ecs describe-task-definition",
        "aws ecs register-task-definition",
        "aws ecs update-service",
        "aws ecs wait",
        "aws ecs describe-services",
    ]
    assert asked[2][-1].strip() == "secret"
    assert platform in asked[3]
    wanted = json.loads(asked[7][asked[7].index("--cli-input-json") + 1])
    image = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/fs@sha256:aa"
    assert wanted["containerDefinitions"] == [{"name": "api", "image": image, "user": "10001"}, {"name": "sidecar", "image": "other"}]
    assert wanted["runtimePlatform"] == {"cpuArchitecture": architecture, "operatingSystemFamily": "LINUX"}
    assert not {"revision", "status", "taskDefinitionArn"} & set(wanted)
    assert "secret" not in ran.stdout + ran.stderr


def test_a_service_that_went_back_by_itself_is_no_success(account: Account) -> None:
    """ECS' circuit breaker brings the old tasks back, and the service is stable then too."""
    account.answers(after="arn:old")
    ran = account.deploy()
    assert ran.returncode == 1
    assert "went back to arn:old" in ran.stderr


def test_nothing_is_registered_where_the_image_was_not_pushed(account: Account) -> None:
    """The first failure ends it."""
    account.home.joinpath("fails").write_text("buildx build")
    ran = account.deploy()
    assert ran.returncode == 1
    assert "`docker buildx build …` ended with 1" in ran.stderr
    assert account.asked()[-1][:3] == ["docker", "buildx", "build"]


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"AWS_REGION": "", "ECS_CLUSTER": ""}, "AWS_REGION, ECS_CLUSTER must be set"),
        ({"PLATFORM": "linux/s390x"}, "it must be linux/amd64 or"),
    ],
)
def test_what_is_not_named_is_told_before_anything_is_built(account: Account, environment: dict[str, str], told: str) -> None:
    """In one line, with the remedy."""
    ran = account.deploy(**environment)
    assert ran.returncode == 1
    assert told in ran.stderr
    assert not account.home.joinpath("asked").exists()
