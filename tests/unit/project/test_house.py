"""The comforts of a developer: targets, hooks, the map of the house. Each is what it says it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stream_app.cli import COMMANDS
from tests.conftest import ROOT

MAKEFILE = ROOT.joinpath("Makefile").read_text()
TARGETS = {name: needs.split() for name, needs in re.findall(r"^([a-z-]+):([a-z -]*)(?:##.*)?$", MAKEFILE, re.MULTILINE)}
CONTRIBUTING = ROOT.joinpath("CONTRIBUTING.md").read_text()
HOOKS = yaml.safe_load(ROOT.joinpath(".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
PRE_COMMIT = str(Path(sys.prefix, "bin", "pre-commit"))


def test_make_help_lists_every_target() -> None:
    """With a sentence each; all are phony, and what they need exists."""
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+) +\S", shown, re.MULTILINE) == list(TARGETS)
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(TARGETS)
    assert {need for needs in TARGETS.values() for need in needs} <= set(TARGETS)


def test_a_target_calls_commands_that_there_are() -> None:
    """`fraudstream NAME` in the Makefile."""
    called = set(re.findall(r"^\t.*bin?\)?/fraudstream ([a-z-]+)", MAKEFILE.replace("$(BIN)", "bin"), re.MULTILINE))
    assert called
    assert called <= set(COMMANDS)


def test_hooks_and_documents_name_targets_that_there_are() -> None:
    """A renamed target leaves nothing behind."""
    texts = [CONTRIBUTING, *(f.read_text() for f in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))), *(h["entry"] for h in HOOKS)]
    for text in texts:
        named = {name for line in re.findall(r"(?:^|`)make ([a-z -]+)", text, re.MULTILINE) for name in line.split()}
        assert named <= set(TARGETS)


def test_hooks_are_sound_in_form() -> None:
    """By pre-commit's own check; none comes from elsewhere, so that hooks and CI run the same programs."""
    run = [PRE_COMMIT, "validate-config", str(ROOT / ".pre-commit-config.yaml")]
    ran = subprocess.run(run, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert {h["language"] for h in HOOKS} == {"system"}
    assert [h["id"] for h in HOOKS if "pre-push" in h["stages"]] == ["unit-tests"]


@pytest.mark.parametrize(
    ("hook", "code", "well"), [("format", "a = 1\n", True), ("format", "a=1\n", False), ("lint", "import os\n", False)]
)
def test_a_hook_refuses_what_ci_would_refuse(hook: str, code: str, well: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a case of the table
    """In a repository of its own, with this one's configuration and programs."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        tmp_path.joinpath(name).write_text(ROOT.joinpath(name).read_text())
    tmp_path.joinpath(".venv").symlink_to(sys.prefix)
    tmp_path.joinpath("change.py").write_text(code)
    clean = {n: v for n, v in os.environ.items() if not n.startswith("GIT_")} | {"PRE_COMMIT_HOME": str(tmp_path / "cache")}
    for command in (["git", "init", "--quiet"], ["git", "add", "change.py", "pyproject.toml", ".pre-commit-config.yaml"]):
        subprocess.run(command, cwd=tmp_path, env=clean, check=True)
    run = [PRE_COMMIT, "run", hook, "--files", "change.py"]
    ran = subprocess.run(run, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
    assert (ran.returncode == 0) is well, ran.stdout + ran.stderr


def test_the_map_of_the_house_is_whole() -> None:
    """Every folder of ours stands in it, and every file that it names is there."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    named = {word for word in re.findall(r"`([a-z_.-]+/[a-z_/.-]*)`", CONTRIBUTING) if not word.startswith(".venv")}
    assert [word for word in named if not ROOT.joinpath(word).exists() and not ROOT.joinpath("stream_app", word).exists()] == []
    if listed.returncode:
        pytest.skip("not a git checkout: which folders are ours cannot be asked")
    folders = {line.split("/")[0] for line in listed.stdout.splitlines() if "/" in line and not line.startswith(".")} - {"tests"}
    assert {folder for folder in folders if f"`{folder}/" not in CONTRIBUTING} == set()


def test_the_map_names_files_that_there_are() -> None:
    """The ways through the rooms and `Where do I put`: each path exists, in the project or in `stream_app/`."""
    part = CONTRIBUTING[CONTRIBUTING.index("## Ways through the rooms") : CONTRIBUTING.index("**A field more")]
    paths = re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:py|md))`", part)
    assert len(paths) > 40
    assert [p for p in paths if not any((root / p).exists() for root in (ROOT, ROOT / "stream_app"))] == []


@pytest.mark.parametrize(
    "thing", ["feature", "aggregation", "field", "metric", "command", "rule operator", "wire format", "store", "route", "gate"]
)
def test_where_to_put_a_thing_is_said_with_the_test_that_finds_what_was_forgotten(thing: str) -> None:
    """Ten things; the last column names a test that exists."""
    part = CONTRIBUTING[CONTRIBUTING.index("## Where do I put") : CONTRIBUTING.index("**A field more")]
    rows = [line for line in part.splitlines() if re.match(rf"\| {thing}\b", line)]
    assert len(rows) == 1
    tests = re.findall(r"`(tests/[\w/]+\.py)`", rows[0].split("|")[3])
    assert tests
    assert [t for t in tests if not (ROOT / t).exists()] == []


def test_the_glossary_has_a_word_once() -> None:
    """In the first column of the table; each has a meaning."""
    part = CONTRIBUTING[CONTRIBUTING.index("## Words") : CONTRIBUTING.index("## Ways through the rooms")]
    rows = [line.split("|")[1:3] for line in part.splitlines() if line.startswith("| ") and "---" not in line][1:]
    words = [word.strip() for names, _ in rows for word in names.split(",")]
    assert len(words) >= 20
    assert len(words) == len(set(words))
    assert all(meaning.strip() for _, meaning in rows)
