"""Imports point inwards, adapters are picked in one place, and importing anything connects to nothing.

addresses, card_numbers, errors, iso ← transaction ← alert, money, features ← ports ← intake, decision ← scorer ← partition ← runtime ← bootstrap ← worker
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = (
    ("addresses", "card_numbers", "cut_bytes", "errors", "event_time", "headers", "iso", "majority"),
    ("transaction", "settings", "logs"),
    ("alert", "money", "outage", "placement", "progress", "topology", "watchdog"),
    ("features",),
    ("model_metadata", "contributions", "outcomes", "sentences"),
    ("observation", "drift", "onnx_graph"),
    ("ports", "shapley"),
    ("registered", "history", "present"),
    ("standing", "patience", "rebuild", "serving", "sweeper"),
    ("outputs", "provenance"),
    ("waiting", "intake", "decision", "dead_letter"),
    ("reasons",),
    ("explanation",),
    ("judge", "comparison"),
    ("inbox", "scorer", "takeover", "timeline"),
    ("isolation", "audit", "rehearsal", "repartition", "desk"),
    ("partition",),
    ("holdings", "backlog"),
    ("runtime",),
    ("bootstrap",),
    ("worker", "api"),
)
PACKAGES = {"features", "audit", "api"}
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
COMMANDS = {"cli", "doctor", "produce"}  # and cli_*: entry points, each imported when its command is called
PICKS_ADAPTERS = {"bootstrap", "worker", "api", "doctor", "cli", "adapters"}  # and cli_*
NO_IO = {
    "addresses",
    "card_numbers",
    "cut_bytes",
    "dead_letter",
    "errors",
    "event_time",
    "headers",
    "iso",
    "majority",
    "transaction",
    "alert",
    "features",
    "model_metadata",
    "observation",
    "contributions",
    "shapley",
    "drift",
    "sentences",
    "outcomes",
    "ports",
    "registered",
    "history",
    "desk",
    "standing",
    "provenance",
    "inbox",
    "waiting",
    "intake",
    "decision",
    "reasons",
    "explanation",
    "onnx_graph",
    "placement",
    "repartition",
    "judge",
    "comparison",
    "scorer",
    "audit",
    "timeline",
}
OUTSIDE = {
    "aiohttp",
    "aiokafka",
    "faust",
    "httpx",
    "logging",
    "loguru",
    "mlflow",
    "mode",
    "onnxruntime",
    "os",
    "pathlib",
    "redis",
    "socket",
    "time",
}
OF_TRAINING = {
    "addresses",
    "errors",
    "event_time",
    "iso",
    "transaction",
    "money",
    "features",
    "model_metadata",
    "onnx_graph",
    "reasons",
    "shapley",
}
"""What training may import of stream_app; `training.train`, its command, also the settings."""


def unit_of(file: Path) -> str:
    """`scorer` of stream_app/scorer.py, `features` of stream_app/features/plan.py; all cli_* are `cli`."""
    name = file.relative_to(ROOT).with_suffix("").parts[1]
    return "cli" if name.startswith("cli_") else name


def files(package: str) -> list[Path]:
    """All modules of a package."""
    return sorted(f for f in (ROOT / package).rglob("*.py") if f.stat().st_size)


def imported(file: Path) -> Iterator[str]:
    """Dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(file: Path, package: str = "stream_app") -> set[str]:
    """The parts of a package of ours that a module imports."""
    found = {name.split(".")[1] for name in imported(file) if name.startswith(f"{package}.")}
    return {"cli" if name.startswith("cli_") else name for name in found}


def test_there_is_something_to_look_at() -> None:
    """The tests below would hold for an empty tree."""
    assert len(files("stream_app")) > 30
    assert ours(ROOT / "stream_app" / "scorer.py") >= {"decision", "features", "intake", "ports", "transaction"}


def test_every_module_has_a_place() -> None:
    """A new module is given a layer here before it is used."""
    known = {*RANK, *COMMANDS, "adapters", "local", "__init__"}
    assert {unit_of(f) for f in files("stream_app")} - known == set()


@pytest.mark.parametrize("file", [f for f in files("stream_app") if unit_of(f) in RANK], ids=lambda f: f.stem)
def test_imports_point_inwards(file: Path) -> None:
    """A module imports only what lies further in than itself; within a package they are one."""
    unit = unit_of(file)
    inner = {name for name, rank in RANK.items() if rank < RANK[unit]} | ({unit} if unit in PACKAGES else set())
    beside = {"adapters"} if unit in PICKS_ADAPTERS else set()
    assert ours(file) - inner - beside == set()


@pytest.mark.parametrize("file", [f for f in files("stream_app") if unit_of(f) == "adapters"], ids=lambda f: f.stem)
def test_adapters_know_the_ports_and_what_lies_further_in(file: Path) -> None:
    """An adapter serves the core; it never calls it."""
    assert ours(file) - {name for name, rank in RANK.items() if rank <= RANK["registered"]} - {"adapters"} == set()


def test_only_the_composition_root_and_the_entry_points_pick_adapters() -> None:
    """Everything else sees ports."""
    assert {unit_of(f) for f in files("stream_app") if "adapters" in ours(f)} <= PICKS_ADAPTERS


def test_consumers_are_made_in_one_place() -> None:
    """So each reads within bounds; Faust makes the worker's own."""
    makers = {f.stem for f in files("stream_app") for node in ast.walk(ast.parse(f.read_text(encoding="utf-8")))
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AIOKafkaConsumer"}  # fmt: skip
    assert makers == {"kafka_consumer"}


def test_only_the_entry_points_know_the_worker_and_the_commands() -> None:
    """Nothing in the core knows how it is started."""
    knowing = {unit_of(f) for f in files("stream_app") if ours(f) & {"bootstrap", "worker", "api", "cli", "doctor", "local"}}
    assert knowing <= {"worker", "api", "cli", "doctor", "local"}


@pytest.mark.parametrize("file", [f for f in files("stream_app") if unit_of(f) in NO_IO], ids=lambda f: f.stem)
def test_the_core_has_no_io_clock_environment_or_logging(file: Path) -> None:
    """Not one module of them is imported there."""
    assert {name.split(".")[0] for name in imported(file)} & OUTSIDE == set()


def test_nothing_in_stream_app_imports_training() -> None:
    """The worker's image has no training; commands load it by name, when called."""
    assert [f.name for f in files("stream_app") for name in imported(f) if name.split(".")[0] == "training"] == []


@pytest.mark.parametrize("file", files("training"), ids=lambda f: f.stem)
def test_training_imports_the_pure_part_only(file: Path) -> None:
    """Features, types and errors; the commands also the settings; never an adapter or the stream."""
    assert ours(file) - OF_TRAINING - ({"settings"} if file.stem in {"train", "promote", "stages"} else set()) == set()


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_importing_the_worker_imports_no_training_library() -> None:
    """scikit-learn, mlflow and pandas alone take longer to import than a worker may take to start."""
    slow = "{'sklearn', 'mlflow', 'pandas', 'scipy.sparse', 'matplotlib', 'pyarrow', 'skl2onnx', 'onnx', 'training'}"
    assert python(f"import sys, stream_app.worker, stream_app.bootstrap; print(sorted({slow} & set(sys.modules)))") == "[]"


@pytest.mark.parametrize("package", ["stream_app", "training"])
def test_no_module_connects_or_starts_anything_at_import(package: str) -> None:
    """Every module is imported under an audit hook that sees connections, look-ups, servers and threads."""
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files(package) if f.stem not in {"__init__", "__main__"}]
    code = f"""
import importlib, sys, threading
seen = []
watched = {{"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"}}
sys.addaudithook(lambda event, args: seen.append(event) if event in watched else None)
for name in {names!r}:
    importlib.import_module(name)
print(seen, [t.name for t in threading.enumerate() if t is not threading.main_thread()])
"""
    assert python(code) == "[] []"
