"""`make security-check`: what is mended stays mended, and the tests that say so can fail. The last line is one JSON object.

    {"checks": 60, "failed": 0, "controls_failed_as_they_should": true, "skipped": {finding: reason}}

1. All tests of all checks run once, on this tree.
2. Then each mend is switched off by itself, in a copy of the tracked files, and the tests that hold it run there: one of them must fail, of
   what it asserts. A test that could not be collected or prepared, or that met a name that there is not, proves nothing.

Where no test of a check could run (a tool is missing) it is skipped, and told with the reason. The exit code is 1 where anything is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stream_app.local.stack import LocalStack
from tests.conftest import ROOT, RUN_FOLDER
from tests.security.checks import CHECKS, Check

LONGEST_TEST_S = 240
LONGEST_CONTROL_S = 600
LONGEST_TREE_S = 3_600
MOST_BYTES = 8 * 2**30
"""What each process of a run may allocate: some mends are bounds of memory, and without one nothing else would stop it."""
_NO_PROOF = ("ImportError", "ModuleNotFoundError", "NameError", "SyntaxError", "IndentationError", "fixture ")
"""How the text of a failure begins that says nothing of the mend."""


class Case(NamedTuple):
    """What became of one test; `why` is the first line of what pytest says.

    `passed`, `failed` of what it asserts, `broken` before or behind it, or `skipped`.
    """

    test: str
    outcome: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a check; texts are empty where there is nothing to say.

    Attributes:
        wrong: what is not as it should be.
        skipped: why its tests could not run.
        shown: by what the control was found.
    """

    wrong: str = ""
    skipped: str = ""
    shown: str = ""


def main(only: str = "") -> int:
    """Run the checks, or those that `only` stands in."""
    checks = [check for check in CHECKS if any(only in text for text in (check.finding, check.file, *check.tests))]
    if not checks:
        sys.exit(f"security-check: {only!r} stands in no finding, test or file of a check")
    with tempfile.TemporaryDirectory(prefix="fraudstream-security-") as folder:
        os.environ[RUN_FOLDER] = folder  # so that servers are started once, by the first test that needs them
        try:
            verdicts = _verdicts(checks, Path(folder))
        finally:
            LocalStack(Path(folder) / "servers").down()
    wrong = {check.finding: verdict.wrong for check, verdict in verdicts.items() if verdict.wrong}
    for finding, why in wrong.items():
        _say(f"WRONG: {finding}\n       {why}")
    ran = [verdict for verdict in verdicts.values() if not verdict.skipped]
    line = {
        "checks": len(checks),
        "failed": len(wrong),
        "controls_failed_as_they_should": bool(ran) and all(verdict.shown for verdict in ran),
        "skipped": {check.finding: verdict.skipped for check, verdict in verdicts.items() if verdict.skipped},
    }
    _say(json.dumps(line, ensure_ascii=False))
    return int(bool(wrong))


def _verdicts(checks: Sequence[Check], folder: Path) -> dict[Check, Verdict]:
    """All checks on this tree, then all controls, one after the other."""
    _say(f"{len(checks)} checks, on this tree")
    on_tree = run_tests(ROOT, sorted({test for check in checks for test in check.tests}), LONGEST_TREE_S)
    before = {check: of_tree(check, on_tree) for check in checks}
    copy = folder / "copy"
    copy_tree(copy)
    verdicts: dict[Check, Verdict] = {}
    for number, check in enumerate(checks, 1):
        began, verdict = time.monotonic(), before[check]
        verdicts[check] = verdict if verdict.wrong or verdict.skipped else _control(check, copy)
        told = "; ".join(filter(None, (verdicts[check].wrong, verdicts[check].skipped, verdicts[check].shown)))
        _say(f"{number}/{len(checks)} {check.finding} [{time.monotonic() - began:.0f} s] {told}")
    return verdicts


def of_tree(check: Check, cases: Sequence[Case]) -> Verdict:
    """What the tests of a check say as they should pass."""
    of_check = cases_of(check.tests, cases)
    missing = [test for test in check.tests if not cases_of([test], cases)]
    if missing:
        return Verdict(wrong=f"{missing[0]} did not run on this tree{_first(cases, 'broken')}")
    bad = [case for case in of_check if case.outcome in {"failed", "broken"}]
    if bad:
        return Verdict(wrong=f"on this tree {bad[0].test}: {bad[0].why}")
    of_each = (cases_of([test], cases) for test in check.tests)
    skipped = next((of_test for of_test in of_each if all(case.outcome == "skipped" for case in of_test)), None)
    return Verdict(skipped=skipped[0].why) if skipped else Verdict()


def _control(check: Check, copy: Path) -> Verdict:
    """The mend of a check switched off in the copy, and on again."""
    file = copy / check.file
    text = file.read_text(encoding="utf-8")
    if text.count(check.mended) != 1:
        return Verdict(wrong=f"the text to switch off stands {text.count(check.mended)} times in {check.file}")
    _write(file, text.replace(check.mended, check.broken))
    try:
        cases = run_tests(copy, check.tests, LONGEST_CONTROL_S, "-x")
    finally:
        _write(file, text)
    return of_control(cases)


def of_control(cases: Sequence[Case]) -> Verdict:
    """What the tests of a check say as one of them should fail."""
    proof = next((case for case in cases if case.outcome == "failed" and not case.why.startswith(_NO_PROOF)), None)
    if proof is not None:
        return Verdict(shown=f"{proof.test.rpartition('::')[2]}: {proof.why}")
    if bad := _first(cases, "failed") or _first(cases, "broken"):
        return Verdict(wrong=f"control: no test failed of what it asserts{bad}")
    return Verdict(wrong="control: the mend is switched off, and its tests pass" if cases else "control: no test ran")


def _first(cases: Iterable[Case], outcome: str) -> str:
    return next((f" ({case.test}: {case.why})" for case in cases if case.outcome == outcome), "")


def cases_of(tests: Sequence[str], cases: Iterable[Case]) -> list[Case]:
    """Those of these tests, whatever their parameters."""
    return [case for case in cases if case.test.partition("[")[0] in tests or case.test in tests]


def copy_tree(copy: Path) -> None:
    """Copy the tracked files as they are here, and see that the copy's packages are imported from it: the project is installed editable.

    Raises:
        SystemExit: if they are not, or this is no git checkout.
    """
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        sys.exit("security-check: not a git checkout, so which files are the project's cannot be asked")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    for name in (".venv", ".tools"):
        if (ROOT / name).exists():
            (copy / name).symlink_to(ROOT / name)
    for package in ("stream_app", "training"):
        ask = [sys.executable, "-c", f"import {package}; print({package}.__file__)"]
        found = subprocess.run(ask, cwd=copy.parent, env=_environment(copy), capture_output=True, text=True, check=True).stdout.strip()
        if not Path(found).is_relative_to(copy):
            sys.exit(f"security-check: {package} is imported from {found}, not from the copy: a control would change nothing")


def run_tests(tree: Path, tests: Sequence[str], within_s: float, *options: str) -> list[Case]:
    """Run tests of a tree; what became of each, or a case `pytest` that says why nobody knows."""
    report = Path(os.environ[RUN_FOLDER]) / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", f"--timeout={LONGEST_TEST_S}", *options, *tests]
    said = ended(command, tree, within_s)
    if not report.exists():
        return [Case("pytest", "broken", said)]
    return cases_in(report.read_text(encoding="utf-8"))


def ended(command: Sequence[str], tree: Path, within_s: float) -> str:
    """Run a command of a tree to its end; the last that it said. What it started ends with it where it takes too long, or this process ends."""
    with subprocess.Popen(
        command,
        cwd=tree,
        env=_environment(tree),
        text=True,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        if sys.platform == "linux":
            resource.prlimit(running.pid, resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
        try:
            said, _ = running.communicate(timeout=within_s)
        except BaseException as error:
            os.killpg(running.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return f"took more than {within_s:.0f} s"
            raise
    return said.strip()[-300:]


def cases_in(report: str) -> list[Case]:
    """The cases of a report of pytest in JUnit's form."""
    return [_case(element) for element in ET.fromstring(report).iter("testcase")]  # noqa: S314 - pytest wrote it just now


def _case(element: ET.Element) -> Case:
    test = f"{element.get('classname', '').replace('.', '/')}.py::{element.get('name')}"
    for tag, outcome in (("error", "broken"), ("failure", "failed"), ("skipped", "skipped")):
        if (found := element.find(tag)) is not None:
            why = (found.get("message") or found.text or outcome).strip()
            return Case(test, outcome, why.splitlines()[0][:200] if why else outcome)
    return Case(test, "passed")


def _environment(tree: Path) -> dict[str, str]:
    """So that every process of the tests, whatever its folder, imports the packages of the tree."""
    return {**os.environ, "PYTHONPATH": str(tree), "SHIP_CHECK": "1"}


def _write(file: Path, text: str) -> None:
    """Python knows its compiled files by the second and the size: the one of before must not be taken for this one."""
    changed_s = int(file.stat().st_mtime) + 1
    file.write_text(text, encoding="utf-8")
    os.utime(file, (changed_s, changed_s))


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="python -m tests.security.run", description="What is mended stays mended.")
    arguments.add_argument("--only", default="", help="a text that stands in a finding, a test or a file")
    sys.exit(main(arguments.parse_args().only))
