"""Are types, arguments and attributes of AWS ones that the provider has, and required ones given? `terraform_arguments.py FOLDER WHEEL`.

`terraform validate` asks the provider itself, which is downloaded from a registry that not every machine reaches. Here they are read from
the wheel of cdktf-cdktf-provider-aws, whose classes are generated from the provider's schema: one keyword an argument, one class a
block, and no default where it is required. Values are not looked at.
"""

from __future__ import annotations

import ast
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

META = {"for_each", "count", "depends_on", "lifecycle", "provider", "provisioner", "connection", "dynamic"}
OWN = {"scope", "id_", "connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What one block takes: by name, whether it is required and, where it is a block itself, its class."""

    required: frozenset[str]
    blocks: dict[str, str | None]
    attributes: frozenset[str]


class Schema:
    """The provider's types, read from the wheel when they are asked for."""

    def __init__(self, wheel: Path) -> None:
        self._wheel = zipfile.ZipFile(wheel)
        self._read: dict[str, dict[str, Arguments]] = {}

    def classes(self, kind: str) -> dict[str, Arguments] | None:
        """All classes of a type, as `aws_vpc` or `data_aws_region`, its own first; None where there is no such type."""
        if kind not in self._read:
            module = kind.removeprefix("aws_") if kind.startswith("aws_") else kind
            try:
                source = self._wheel.read(f"cdktf_cdktf_provider_aws/{module}/__init__.py")
            except KeyError:
                return None
            found = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
            found.sort(key=lambda node: "cdktf.Terraform" not in "".join(map(ast.unparse, node.bases)))
            self._read[kind] = {node.name: _arguments(node) for node in found}
        return self._read[kind]


def _arguments(node: ast.ClassDef) -> Arguments:
    attributes = frozenset(item.name for item in node.body if isinstance(item, ast.FunctionDef))
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            names = [(a, d) for a, d in zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True) if a.arg not in OWN]
            required = frozenset(a.arg for a, default in names if default is None)
            return Arguments(required, {a.arg: _class(a.annotation) for a, _ in names}, attributes)
    return Arguments(frozenset(), {}, attributes)


def _class(annotation: ast.expr | None) -> str | None:
    found = re.findall(r"'([A-Z]\w+)'", ast.unparse(annotation)) if annotation else []
    return found[0] if found else None


def faults(schema: Schema, kind: str, body: dict[str, Any]) -> Iterator[str]:
    """What the provider would refuse of a resource or data source."""
    classes = schema.classes(kind)
    if classes is None:
        yield "no such type"
        return
    yield from _faults(classes, next(iter(classes)), body, "")


def _faults(classes: dict[str, Arguments], name: str, body: dict[str, Any], path: str) -> Iterator[str]:
    takes = classes[name]
    given = {key: value for key, value in body.items() if not key.startswith("__") and key not in META}
    dynamic = {label for block in body.get("dynamic", []) for label in block}
    for key, value in given.items():
        block = takes.blocks.get(key)
        if key not in takes.blocks:
            yield f"{path}{key} is no argument"
        elif block is not None:
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, dict):
                    yield from _faults(classes, block, inner, f"{path}{key}.")
    for key in sorted(takes.required - given.keys() - dynamic):
        yield f"{path}{key} is required and not given"


def unknown_references(schema: Schema, text: str) -> Iterator[str]:
    """References to attributes that the type does not have."""
    for data, kind, attribute in re.findall(r"\b(data\.)?(aws_\w+)\.\w+(?:\[[^\]]*\])?\.(\w+)", text):
        classes = schema.classes(("data_" if data else "") + kind)
        if classes is not None and attribute not in next(iter(classes.values())).attributes:
            yield f"{data}{kind} has no attribute {attribute}"


def _name(text: str) -> str:
    return text.strip('"')


def _plain(value: Any) -> Any:
    """Without the quotes that some versions of the parser leave around names."""
    if isinstance(value, dict):
        return {_name(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def main(folder: Path, wheel: Path) -> int:
    """Print each fault; 1 where there is one, 2 where nothing was looked at."""
    schema, looked, found = Schema(wheel), 0, 0
    for path in sorted(p for p in folder.rglob("*.tf") if ".terraform" not in p.parts):
        text = path.read_text()
        for fault in unknown_references(schema, text):
            found += 1
            print(f"{path}: {fault}")
        parsed = _plain(hcl2.loads(text))
        for section, prefix in (("resource", ""), ("data", "data_")):
            for block in parsed.get(section, []):
                for kind, named in block.items():
                    if not kind.startswith("aws_"):
                        continue
                    for name, body in named.items():
                        looked += 1
                        for fault in faults(schema, prefix + kind, body):
                            found += 1
                            print(f"{path}: {section} {kind}.{name}: {fault}")
    print(f"{looked} resources and data sources of AWS looked at, {found} faults")
    return 2 if not looked else int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
