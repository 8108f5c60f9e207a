"""`make deploy-api`: build the image, push it to ECR, let the ECS service of the API run it; the old tasks stay until the new ones are healthy.

Needs docker with buildx, and the AWS CLI with rights to the registry and the service. What to deploy where is named by the environment:

    AWS_REGION=eu-central-1 ECR_REPOSITORY=fraudstream ECS_CLUSTER=fraudstream-api make deploy-api
    PLATFORM=linux/arm64 …       on Graviton; linux/amd64 by default
    ECS_SERVICE=api, IMAGE_TAG=… the service's name; the tag, by default the commit

A deployment of Terraform names the image too (its variable `image`): tell it the image that this program prints, or its next run goes back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

ARCHITECTURES = {"linux/amd64": "X86_64", "linux/arm64": "ARM64"}
REGISTERED = ("containerDefinitions", "family", "taskRoleArn", "executionRoleArn", "networkMode", "volumes", "cpu", "memory")
OPTIONAL = ("placementConstraints", "requiresCompatibilities", "ephemeralStorage", "pidMode", "ipcMode", "proxyConfiguration")
"""Of a task definition: what may be given when one is registered. Its own number, state and dates may not."""


@dataclass(frozen=True, slots=True)
class Target:
    """What goes where.

    Attributes:
        region, repository: of ECR.
        cluster, service: of ECS.
        tag: of the image.
        platform: of `ARCHITECTURES`.
    """

    region: str
    repository: str
    cluster: str
    service: str
    tag: str
    platform: str


def main() -> None:
    """Deploy what stands in this folder."""
    target = _target(dict(os.environ))
    image = push(target)
    print(f"deploy-api: {image}")
    definition = register(target, image)
    where = ("--cluster", target.cluster, "--region", target.region)
    _aws("ecs", "update-service", *where, "--service", target.service, "--task-definition", definition)
    print(f"deploy-api: {definition}; waiting until its tasks are healthy and the old ones gone")
    _aws("ecs", "wait", "services-stable", *where, "--services", target.service)
    running = _service(target)["taskDefinition"]
    if running != definition:
        sys.exit(
            f"deploy-api: the service went back to {running}: the new tasks were not healthy. Their log says why; nothing else changed."
        )
    print("deploy-api: done")


def push(target: Target) -> str:
    """Build the image for its platform and push it; its name with the digest, which no later push can change."""
    account = _aws("sts", "get-caller-identity")["Account"]
    registry = f"{account}.dkr.ecr.{target.region}.amazonaws.com"
    password = _run(["aws", "ecr", "get-login-password", "--region", target.region])
    _run(["docker", "login", "--username", "AWS", "--password-stdin", registry], given=password)
    name = f"{registry}/{target.repository}"
    _run(["docker", "buildx", "build", "--platform", target.platform, "--provenance=false", "--push", "--tag", f"{name}:{target.tag}", "."])
    wanted = ("--repository-name", target.repository, "--image-ids", f"imageTag={target.tag}", "--region", target.region)
    return f"{name}@{_aws('ecr', 'describe-images', *wanted)['imageDetails'][0]['imageDigest']}"


def register(target: Target, image: str) -> str:
    """A task definition like the service's present one, with the image and its architecture; its ARN."""
    now = _aws("ecs", "describe-task-definition", "--task-definition", _service(target)["taskDefinition"], "--region", target.region)
    wanted = {key: value for key, value in now["taskDefinition"].items() if key in {*REGISTERED, *OPTIONAL}}
    wanted["runtimePlatform"] = {"cpuArchitecture": ARCHITECTURES[target.platform], "operatingSystemFamily": "LINUX"}
    for container in wanted["containerDefinitions"]:
        if container["name"] == target.service:
            container["image"] = image
    made = _aws("ecs", "register-task-definition", "--cli-input-json", json.dumps(wanted), "--region", target.region)
    return str(made["taskDefinition"]["taskDefinitionArn"])


def _service(target: Target) -> dict[str, Any]:
    where = ("--cluster", target.cluster, "--region", target.region)
    found = _aws("ecs", "describe-services", *where, "--services", target.service)["services"]
    if not found:
        sys.exit(f"deploy-api: cluster {target.cluster!r} has no service {target.service!r}. Name it with ECS_SERVICE.")
    service: dict[str, Any] = found[0]
    return service


def _target(environment: dict[str, str]) -> Target:
    missing = [name for name in ("AWS_REGION", "ECR_REPOSITORY", "ECS_CLUSTER") if not environment.get(name)]
    if missing:
        sys.exit(
            f"deploy-api: {', '.join(missing)} must be set: which registry and which service. scripts/deploy_api.py begins with an example."
        )
    platform = environment.get("PLATFORM") or "linux/amd64"
    if platform not in ARCHITECTURES:
        sys.exit(f"deploy-api: PLATFORM = {platform!r}: it must be {' or '.join(ARCHITECTURES)}.")
    tag = environment.get("IMAGE_TAG") or _run(["git", "rev-parse", "HEAD"]).strip()
    service = environment.get("ECS_SERVICE") or "api"
    return Target(environment["AWS_REGION"], environment["ECR_REPOSITORY"], environment["ECS_CLUSTER"], service, tag, platform)


def _aws(*words: str) -> Any:
    said = _run(["aws", *words, "--output", "json"])
    return json.loads(said) if said.strip() else {}


def _run(command: list[str], given: str = "") -> str:
    try:
        done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - the words above
    except FileNotFoundError:
        sys.exit(f"deploy-api: {command[0]} is not installed.")
    if done.returncode:
        sys.exit(f"deploy-api: `{' '.join(command[:3])} …` ended with {done.returncode}; see above.")
    return done.stdout


if __name__ == "__main__":
    main()
