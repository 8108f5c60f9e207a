"""The inputs and outputs of every Terraform folder as Markdown: terraform_docs.py FOLDER > FOLDER/MODULES.md."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hcl2


def main(folder: Path) -> None:
    """Print a section for each folder that has `.tf` files."""
    print("# Inputs and outputs\n\nMade from the modules by scripts/ship/terraform_docs.py.")
    for module in sorted({path.parent for path in folder.rglob("*.tf") if ".terraform" not in path.parts}):
        print(f"\n## {module.relative_to(folder)}")
        inputs, outputs = _declared(module / "variables.tf", "variable"), _declared(module / "outputs.tf", "output")
        if inputs:
            print("\n| input | default | meaning |\n|---|---|---|")
        for name, body in inputs:
            default = "required" if "default" not in body else f"`{_shown(body['default'])}`"
            print(f"| `{name}` | {default} | {_text(body['description'])} |")
        if outputs:
            print("\n| output | meaning |\n|---|---|")
        for name, body in outputs:
            print(f"| `{name}` | {_text(body['description'])} |")


def _declared(path: Path, section: str) -> list[tuple[str, dict[str, Any]]]:
    if not path.exists():
        return []
    blocks = hcl2.loads(path.read_text()).get(section, [])
    return [(name.strip('"'), body) for block in blocks for name, body in block.items()]


def _text(value: Any) -> str:
    return (value[0] if isinstance(value, list) else str(value)).strip('"').replace("|", "\\|")


def _shown(value: Any) -> str:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value).replace("'", '"') or '""')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
