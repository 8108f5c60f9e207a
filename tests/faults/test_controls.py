"""The negative controls take out parts that the worker has: one whose part was renamed would prove nothing, and fail hours later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

INSTALL_ALL = """
import sys
from pathlib import Path
from tests.faults.controls import CONTROLS, install
from tests.faults.points import Points

here = Path(sys.argv[1])
for control in CONTROLS:
    install(control, Points(here / "arm", here / "report"))
"""


def test_every_control_finds_the_part_that_it_takes_out(tmp_path: Path) -> None:
    """In a process of its own: controls change classes."""
    command = [sys.executable, "-c", INSTALL_ALL, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
