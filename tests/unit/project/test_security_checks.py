"""The rows of `make security-check`: each names tests that there are and a mend that can be switched off, and the table of them is current."""

from __future__ import annotations

import ast
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.security import run as security
from tests.security.checks import CHECKS, Check
from tests.security.run import Case
from tests.waiting import until

DOCUMENT = ROOT / "docs" / "security-checks.md"
BEGIN, END = "<!-- checks: made by `python -m tests.unit.project.test_security_checks` -->\n", "<!-- /checks -->"
row = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.finding[:60])


def table() -> str:
    """One row a check."""
    rows = [f"| {check.finding} | {'<br>'.join(map(_shown, check.tests))} | `{check.file}` |" for check in CHECKS]
    return "\n".join(["| what could happen | the test | where its control switches the mend off |", "|---|---|---|", *rows, ""])


def _shown(test: str) -> str:
    file, _, name = test.partition("::")
    return f"`{file}`<br>{name.removeprefix('test_').replace('_', ' ')}"


def document() -> str:
    """docs/security-checks.md with the table as it is here."""
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]


def test_the_table_of_checks_is_made_from_them() -> None:
    """`python -m tests.unit.project.test_security_checks` writes it."""
    assert DOCUMENT.read_text(encoding="utf-8") == document()


@row
def test_a_check_names_tests_that_there_are(check: Check) -> None:
    """By file and function, without parameters: all of a test's cases count."""
    assert check.tests
    for test in check.tests:
        file, _, name = test.partition("::")
        functions = {
            node.name for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, test


@row
def test_a_control_switches_off_one_text_that_is_there_and_leaves_a_program(check: Check) -> None:
    """A text that was edited since, or stands twice, would switch off nothing, or something else."""
    text = (ROOT / check.file).read_text(encoding="utf-8")
    assert text.count(check.mended) == 1
    assert check.mended != check.broken
    if check.file.endswith(".py"):
        ast.parse(text.replace(check.mended, check.broken))


def test_no_control_uses_a_name_that_there_is_not(tmp_path: Path) -> None:
    """It would fail of that, whatever its tests hold. Asked of the linter, all files at once."""
    for number, check in enumerate(CHECKS):
        if check.file.endswith(".py"):
            text = (ROOT / check.file).read_text(encoding="utf-8")
            (tmp_path / f"control_{number}.py").write_text(text.replace(check.mended, check.broken), encoding="utf-8")
    (tmp_path / "control_that_is_found.py").write_text("print(no_such_name)\n", encoding="utf-8")
    lint = [
        str(Path(sys.prefix, "bin", "ruff")),
        "check",
        "--isolated",
        "--target-version=py312",
        "--select=F821",
        "--output-format=concise",
    ]
    found = subprocess.run([*lint, str(tmp_path)], capture_output=True, text=True, check=False).stdout.splitlines()
    assert [Path(line.partition(":")[0]).stem for line in found if "F821" in line] == ["control_that_is_found"]


def test_a_finding_is_told_once() -> None:
    """As a sentence; it is the check's name too."""
    findings = [check.finding for check in CHECKS]
    assert len(findings) == len(set(findings))
    assert all(finding.endswith(".") and "|" not in finding for finding in findings)


REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_well[1]"/>
<testcase classname="tests.unit.test_a" name="test_found"><failure message="AssertionError: assert 1 == 2&#10; more">trace</failure></testcase>
<testcase classname="tests.unit.test_a" name="test_left_out"><skipped message="no helm"/></testcase>
<testcase classname="tests.unit.test_a" name="test_unprepared"><error message="failed on setup with &quot;OSError&quot;">trace</error></testcase>
</testsuite></testsuites>"""


def test_what_became_of_a_test_is_read_from_pytests_report() -> None:
    """A failure of what it asserts is another thing than one before it."""
    assert security.cases_in(REPORT) == [
        Case("tests/unit/test_a.py::test_well[1]", "passed"),
        Case("tests/unit/test_a.py::test_found", "failed", "AssertionError: assert 1 == 2"),
        Case("tests/unit/test_a.py::test_left_out", "skipped", "no helm"),
        Case("tests/unit/test_a.py::test_unprepared", "broken", 'failed on setup with "OSError"'),
    ]


THERE = Case("t.py::test_a", "passed")


@pytest.mark.parametrize(
    ("cases", "wrong", "skipped"),
    [
        ([THERE], "", ""),
        ([], "did not run", ""),
        ([Case("t.py::test_a[1]", "passed"), Case("t.py::test_a[2]", "failed", "assert 0")], "t.py::test_a[2]: assert 0", ""),
        ([Case("t.py::test_a", "broken", "no server")], "no server", ""),
        ([Case("t.py::test_a", "skipped", "no helm")], "", "no helm"),
        ([THERE, Case("t.py::test_ab", "failed", "another")], "", ""),
    ],
)
def test_on_the_tree_all_cases_of_a_check_pass_or_it_says_why_not(cases: list[Case], wrong: str, skipped: str) -> None:
    """One that is skipped is told, and is no success."""
    found = security.of_tree(Check("It fails.", ("t.py::test_a",), "f", "a", "b"), cases)
    assert wrong in found.wrong
    assert bool(wrong) == bool(found.wrong)
    assert found.skipped == skipped


@pytest.mark.parametrize(
    ("cases", "proven", "wrong"),
    [
        ([Case("t", "passed"), Case("t::test_a", "failed", "AssertionError: x")], True, ""),
        ([Case("t", "passed")], False, "its tests pass"),
        ([], False, "no test ran"),
        ([Case("t", "broken", "collection failure")], False, "collection failure"),
        ([Case("t", "failed", "NameError: name 'x' is not defined")], False, "NameError"),
        ([Case("t", "failed", "ModuleNotFoundError: No module named 'x'")], False, "ModuleNotFoundError"),
        ([Case("t", "skipped", "no helm")], False, "its tests pass"),
    ],
)
def test_a_control_is_proven_by_a_failure_of_what_a_test_asserts_alone(cases: list[Case], proven: bool, wrong: str) -> None:  # noqa: FBT001 - a case of the table
    """Not by one that could not be collected, prepared or imported."""
    found = security.of_control(cases)
    assert bool(found.shown) == proven
    assert wrong in found.wrong
    assert bool(wrong) == bool(found.wrong)


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """And told as such: nothing that a control started is left behind it."""
    lock = tmp_path / "held"
    sleeps = "import time; time.sleep(600)"
    started = (
        f"import fcntl, subprocess, sys; held = open({str(lock)!r}, 'w'); fcntl.flock(held, fcntl.LOCK_EX); "
        f"subprocess.Popen([sys.executable, '-c', {sleeps!r}], pass_fds=[held.fileno()]); {sleeps}"
    )
    assert security.ended([sys.executable, "-c", started], tmp_path, 5.0) == "took more than 5 s"

    def is_free() -> bool:
        with lock.open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    until(is_free, "the processes that held the file to end")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds another process")
def test_a_control_takes_no_memory_without_bound(tmp_path: Path) -> None:
    """A mend may be what bounds it."""
    takes = "bytearray(9 * 2**30)"
    assert security.ended([sys.executable, "-c", takes], tmp_path, 60.0).endswith("MemoryError")


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
