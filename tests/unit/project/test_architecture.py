"""The house: which room may import which, printed into CONTRIBUTING.md; adapters are picked in one place; importing anything connects to nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BEGIN, END = "<!-- rooms: made by `python -m tests.unit.project.test_architecture` -->\n", "<!-- /rooms -->"

ROOMS = {
    "stream_app": {
        "errors": "",
        "messages": "errors",
        "wire": "errors messages",
        "settings": "errors messages",
        "inspecting": "errors messages wire",
        "features": "errors",
        "explaining": "errors messages features",
        "rules": "errors messages features explaining",
        "scoring": "errors messages wire features explaining rules",
        "comparing": "messages features scoring",
        "delivery": "errors messages wire features rules scoring",
        "labelling": "errors messages wire",
        "operating": "errors",
        "audit": "errors messages features rules scoring",
        "adapters/kafka": "errors messages settings features rules delivery",
        "adapters/redis": "errors messages features scoring delivery",
        "adapters/models": "errors messages features explaining scoring",
        "adapters/schema_registry": "errors messages wire",
        "adapters/metrics": "errors messages features scoring operating",
        "adapters/faust": "errors messages settings operating adapters/kafka",
        "bootstrap_rules": "settings features rules scoring delivery adapters/kafka",
        "bootstrap_inputs": "errors messages wire settings delivery labelling adapters/schema_registry",
        "bootstrap": "errors messages wire settings features scoring delivery adapters/models",
        "bootstrap_worker": "messages wire settings features scoring delivery operating adapters/kafka adapters/redis adapters/schema_registry adapters/metrics bootstrap bootstrap_inputs bootstrap_rules",
        "bootstrap_state": "settings features scoring adapters/redis",
        "bootstrap_api": "errors messages settings features scoring delivery operating adapters/kafka adapters/redis adapters/metrics bootstrap_rules bootstrap",
        "worker": "errors messages settings features rules delivery operating adapters/faust bootstrap_worker",
        "api": "errors messages settings features rules scoring delivery operating bootstrap bootstrap_inputs bootstrap_api",
        "local": "errors messages settings",
        "commands": "errors messages wire inspecting settings features explaining rules scoring comparing delivery labelling audit adapters/kafka adapters/redis adapters/models bootstrap_rules bootstrap bootstrap_inputs worker api",
        "cli": "errors",
    },
    "training": {
        "data": "",
        "fitting": "data",
        "book": "data fitting",
        "registry": "fitting",
        "pipeline": "data fitting registry",
        "train": "data fitting registry pipeline",
    },
}
"""Each room, a folder or a file at the top, and the rooms that it may import beside itself. What it promises is the first sentence of its docstring."""
PURE = ("messages", "wire", "inspecting", "features", "explaining", "rules", "scoring", "comparing", "labelling", "audit")
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
"""What the pure rooms do without."""
SOME = {"delivery": {"time", "loguru"}, "messages/money": {"pathlib"}, "scoring/serving": {"time", "loguru"}}
"""Delivery waits and tells; the rates of money are a file; a model is followed by the clock."""
SERVED = {
    "scoring": {"ports", "positions", "degraded", "registered", "state_reader", "outcomes", "observation", "drift"},
    "delivery": {"ports", "placement"},
    "explaining": {"contributions", "onnx_graph"},
    "operating": {"logs", "progress"},
}
"""What adapters see of these rooms: ports and the types in them, nothing that decides."""
OF_TRAINING = {
    "errors", "messages", "wire/mapping", "wire/mapping_text", "wire/times", "features", "explaining", "scoring/ranking", "comparing/live_comparison",
}  # fmt: skip
"""What training may import of stream_app, rooms and some modules: a mapping is one for files and records. Its commands also the settings."""
COMMANDS_OF_TRAINING = {"train": {"settings"}, "promote": {"settings", "bootstrap_state"}, "stages": {"settings"}}
"""And a promotion what the workers' state keeps: a window that is not full there is a reason against it."""


def files(package: str) -> list[Path]:
    """All modules of a package that hold something."""
    return sorted(f for f in (ROOT / package).rglob("*.py") if f.stem not in {"__init__", "__main__"})


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Dotted names that a module imports, wherever in it."""
    return tuple(_imported(file))


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(dotted: str) -> str:
    """`scoring` of stream_app.scoring.scorer, `adapters/kafka` of stream_app.adapters.kafka.log."""
    _, room, *rest = dotted.split(".")
    return f"{room}/{rest[0]}" if room == "adapters" and rest else room


def name_of(file: Path) -> str:
    """`stream_app.scoring.scorer` of its file."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def rooms_of(file: Path, package: str) -> set[str]:
    """The rooms of a package that a module imports, its own left out."""
    own = room_of(name_of(file))
    return {room_of(name) for name in imported(file) if name.startswith(f"{package}.")} - {own}


def promise_of(package: str, room: str) -> str:
    """The first sentence of a room's docstring."""
    file = next(f for f in (ROOT / package / room / "__init__.py", ROOT / package / f"{room}.py") if f.exists())
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0].removesuffix(".")


def table(package: str) -> str:
    """The rooms of a package, inmost first, as CONTRIBUTING.md has them."""
    rows = [
        f"| `{name}` | {promise_of(package, name)} | {', '.join(f'`{i}`' for i in imports.split()) or 'nothing'} |"
        for name, imports in ROOMS[package].items()
    ]
    return "\n".join([f"| `{package}/` | promises | may import |", "|---|---|---|", *rows]) + "\n"


def document() -> str:
    """CONTRIBUTING.md with the tables as they are here."""
    before, rest = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + "\n" + table("stream_app") + "\n" + table("training") + "\n" + END + rest.split(END)[1]


@pytest.mark.parametrize("package", ROOMS)
def test_every_module_lies_in_a_room_and_every_room_holds_one(package: str) -> None:
    """What lies elsewhere belongs somewhere."""
    assert {room_of(name_of(f)) for f in files(package)} == set(ROOMS[package])


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_lie_in_order(package: str) -> None:
    """Each may import rooms that stand above it in the table, so there is no circle."""
    above: list[str] = []
    for name, imports in ROOMS[package].items():
        assert set(imports.split()) <= set(above), name
        above.append(name)


@pytest.mark.parametrize("file", [f for p in ROOMS for f in files(p)], ids=name_of)
def test_a_module_imports_what_its_room_may(file: Path) -> None:
    """Nothing outwards, nothing sideways."""
    package = name_of(file).split(".")[0]
    assert rooms_of(file, package) - set(ROOMS[package][room_of(name_of(file))].split()) == set()


@pytest.mark.parametrize("package", ROOMS)
def test_no_room_is_allowed_more_than_it_uses(package: str) -> None:
    """A line in the table that nobody needs would let one in that nobody meant."""
    used: dict[str, set[str]] = {name: set() for name in ROOMS[package]}
    for file in files(package):
        used[room_of(name_of(file))] |= rooms_of(file, package)
    unused = {name: set(imports.split()) - used[name] for name, imports in ROOMS[package].items()}
    assert {name: rooms for name, rooms in unused.items() if rooms} == {}


def types_of(file: Path) -> Iterator[str]:
    """The types that a module names at its top, or for the checker alone: classes and aliases; a private one is as one without the underscore."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for node in (*body, *(inner for block in body if isinstance(block, ast.If) for inner in block.body)):
        match node:
            case ast.ClassDef(name=name) | ast.TypeAlias(name=ast.Name(id=name)):
                yield name.lstrip("_")
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript(value=ast.Name(id="Annotated" | "Literal"))):
                yield name.lstrip("_")


def test_a_type_has_one_name_and_a_name_is_one_type() -> None:
    """One word for one thing: who reads `Batch` or `Headers` need not ask which of four."""
    places: dict[str, list[str]] = {}
    for file in (f for p in ROOMS for f in files(p)):
        for name in types_of(file):
            places.setdefault(name, []).append(name_of(file))
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_the_map_is_in_contributing() -> None:
    """Made anew with `python -m tests.unit.project.test_architecture`."""
    current = document() == (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert current, "CONTRIBUTING.md's map is behind ROOMS: `.venv/bin/python -m tests.unit.project.test_architecture` makes it anew"


@pytest.mark.parametrize("file", [f for f in files("stream_app") if room_of(name_of(f)).startswith("adapters")], ids=name_of)
def test_adapters_serve_ports_and_call_nothing_that_decides(file: Path) -> None:
    """An adapter serves the core."""
    seen = [name.split(".")[1:3] for name in imported(file) if name.startswith("stream_app.")]
    assert [f"{room}/{module}" for room, module in seen if module not in SERVED.get(room, {module})] == []


def test_consumers_are_made_in_one_place() -> None:
    """So each reads within bounds; Faust makes the worker's own."""
    makers = {name_of(f) for f in files("stream_app") for node in ast.walk(ast.parse(f.read_text(encoding="utf-8")))
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AIOKafkaConsumer"}  # fmt: skip
    assert makers == {"stream_app.adapters.kafka.consumer"}


@pytest.mark.parametrize("file", [f for f in files("stream_app") if room_of(name_of(f)) in {*PURE, "delivery"}], ids=name_of)
def test_the_core_has_no_io_clock_environment_or_logging(file: Path) -> None:
    """Not one module of them is imported there, but for those in `SOME`."""
    room = room_of(name_of(file))
    allowed = SOME.get(room, set()) | SOME.get(f"{room}/{file.stem}", set())
    assert {name.split(".")[0] for name in imported(file)} & OUTSIDE - allowed == set()


def test_nothing_in_stream_app_imports_training() -> None:
    """The worker's image has no training; commands load it by name, when called."""
    assert [f.name for f in files("stream_app") for name in imported(f) if name.split(".")[0] == "training"] == []


@pytest.mark.parametrize("file", files("training"), ids=name_of)
def test_training_imports_the_pure_part_only(file: Path) -> None:
    """Features, types and errors, and how scores are ranked; the commands also the settings, and one what state keeps; never an adapter or the stream."""
    allowed = OF_TRAINING | COMMANDS_OF_TRAINING.get(file.stem, set())
    doors = tuple(f"stream_app.{name.replace('/', '.')}." for name in allowed)
    assert [name for name in imported(file) if name.startswith("stream_app.") and not f"{name}.".startswith(doors)] == []


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_importing_the_worker_imports_no_training_library() -> None:
    """scikit-learn, mlflow and pandas alone take longer to import than a worker may take to start."""
    slow = "{'sklearn', 'mlflow', 'pandas', 'scipy.sparse', 'matplotlib', 'pyarrow', 'skl2onnx', 'onnx', 'training'}"
    assert python(f"import sys, stream_app.worker, stream_app.bootstrap; print(sorted({slow} & set(sys.modules)))") == "[]"


def test_a_worker_holds_no_library_that_only_others_need_once_its_kernels_are_there() -> None:
    """Numba imports scipy and coverage where they are installed, with linear algebra and SQLite: 18 MB that no image has, and a clone's worker had."""
    code = """
import sys
from stream_app.commands.operate import NOT_SERVING, leave_out
leave_out(NOT_SERVING)
import stream_app.worker
from stream_app.features.warm import warm
from stream_app.rules.warm import warm as warm_rules
warm()
warm_rules()
heavy = {"scipy.linalg", "coverage.data", "sqlite3", "sklearn", "mlflow", "pandas", "pyarrow", "onnx", "fastapi", "matplotlib", "training"}
print(sorted(heavy & set(sys.modules)))
"""
    assert python(code) == "[]"


@pytest.mark.parametrize("package", ROOMS)
def test_no_module_connects_or_starts_anything_at_import(package: str) -> None:
    """Every module is imported under an audit hook that sees connections, look-ups, servers and threads."""
    code = f"""
import importlib, sys, threading
seen = []
watched = {{"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"}}
sys.addaudithook(lambda event, args: seen.append(event) if event in watched else None)
for name in {[name_of(f) for f in files(package)]!r}:
    importlib.import_module(name)
print(seen, [t.name for t in threading.enumerate() if t is not threading.main_thread()])
"""
    assert python(code) == "[] []"


if __name__ == "__main__":
    (ROOT / "CONTRIBUTING.md").write_text(document(), encoding="utf-8")
