"""`dvc repro` in a clone of this commit, and what it made over a folder as remote: `make repro-check`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT


def told(folder: Path, *command: str) -> str:
    """What a command prints there; with the python of this test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1800)
def test_a_clean_clone_reproduces_pushes_and_pulls(tmp_path: Path) -> None:
    """Everything is made once; nothing is made twice; another seed trains anew only; what is lost comes back from the remote."""
    clone, store = tmp_path / "clone", tmp_path / "store"
    told(tmp_path, "git", "clone", "--quiet", str(ROOT), str(clone))
    parameters = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
    parameters["simulate"] |= {"customers": 300, "terminals": 200, "days": 75}
    parameters["train"]["parameters"] = {"n_estimators": 20}
    (clone / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    told(clone, "dvc", "repro", "--quiet")
    made = (clone / "metrics" / "evaluation.json").read_bytes()
    assert "Data and pipelines are up to date" in told(clone, "dvc", "repro")
    parameters["train"]["seed"] = 1
    (clone / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    again = told(clone, "dvc", "repro")
    assert "Running stage 'train'" in again
    assert "Stage 'prepare' didn't change" in again
    assert (clone / "metrics" / "evaluation.json").read_bytes() != made
    told(clone, "dvc", "remote", "add", "--quiet", "--default", "store", str(store))
    told(clone, "dvc", "push", "--quiet")
    for folder in ("data", "models", ".dvc/cache"):
        shutil.rmtree(clone / folder)
    told(clone, "dvc", "pull", "--quiet")
    assert "models/model.onnx" not in told(clone, "dvc", "status")
    assert (clone / "models" / "model.onnx").stat().st_size > 10_000
