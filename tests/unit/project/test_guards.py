"""What guards data and secrets and is no program of ours: Terraform's plans, git, commands that a page tells to type."""

from __future__ import annotations

import re

from tests.conftest import ROOT

MODULES = ROOT / "terraform" / "modules"


def block(file: str, head: str) -> str:
    """What stands in braces behind a head, to the line that closes them."""
    found = re.search(rf"^{re.escape(head)} \{{\n(.*?)^\}}", (MODULES / file).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found, head
    return found[1]


def test_a_plan_that_removes_what_holds_data_is_refused() -> None:
    """Brokers, state, models, and the key that all are encrypted with."""
    guard = block("stack/main.tf", 'resource "terraform_data" "guard"')
    assert "prevent_destroy = true" in guard
    guarded = re.search(r"triggers_replace = \[(.*)\]", guard)
    assert guarded
    assert guarded[1].split(", ") == ["module.kafka.arn", "module.redis.arn", "module.mlflow.bucket_arn", "aws_kms_key.this.arn"]


def test_no_image_that_has_a_tag_is_forgotten() -> None:
    """It may be what runs, and a node that is replaced must find it."""
    policy = block("registry/main.tf", 'resource "aws_ecr_lifecycle_policy" "this"')
    assert re.findall(r'tagStatus = "(\w+)"', policy) == ["untagged"]
    assert "imageCountMoreThan" not in policy


def test_the_brokers_disks_grow_and_have_an_alarm() -> None:
    """Full disks stop all."""
    block("kafka/main.tf", 'resource "aws_appautoscaling_policy" "disk"')
    alarm = block("observability/main.tf", 'resource "aws_cloudwatch_metric_alarm" "kafka_disk"')
    assert re.search(r'metric_name +=\s*"KafkaDataLogsDiskUsed"', alarm)
    assert re.search(r"alarm_actions +=\s*\[aws_sns_topic", alarm)


def test_no_command_of_a_page_takes_a_key_for_several() -> None:
    """A card's id may hold a space: xargs would make two keys of its one, the second of which whoever sent it may choose."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    calls = [call for page in pages for call in re.findall(r"\bxargs\b.*", page.read_text(encoding="utf-8"))]
    assert calls
    assert [call for call in calls if not call.startswith("xargs -d '\\n' ")] == []


def test_git_leaves_out_what_holds_secrets() -> None:
    """Settings with passwords, and the file that `fraudstream api-key` writes."""
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/.env", "/.envrc", "/api-keys", "/.fraudstream/"} <= set(ignored)
