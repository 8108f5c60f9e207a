"""The reference pages of the documents, made from the code at each build: settings, commands, messages, HTTP, metrics, features."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer.main

from stream_app.adapters.metrics.catalogue import metrics_table
from stream_app.api.app import ApiParts, create_app
from stream_app.api.keys import Keys, Scope, new_key
from stream_app.api.probes import Probes
from stream_app.cli import COMMANDS, cli
from stream_app.features.aggregations import DAY_S, HOUR_S
from stream_app.features.definitions import CATALOGUE, CONTEXT_FEATURES
from stream_app.messages.transaction import IntakeRules
from stream_app.settings import Settings, settings_table

ROOT = Path(__file__).resolve().parent.parent
MADE = "<!-- made by scripts/reference.py: a change here is lost -->"
LONG_LIST = 20
"""Allowed values of a field, up to which all are shown."""


def settings() -> str:
    """Every setting, with its default."""
    about = (
        "Environment variables, a file `.env` in the current directory, or `.fraudstream/local.env`, which `fraudstream local up` writes; the "
        "first that names a setting decides. A wrong value, or a name that is no setting, stops the program at start with one line."
    )
    return _page("Settings", about, settings_table())


def metrics() -> str:
    """Every metric."""
    return _page("Metrics", "What alarms are made of them, and what to do then: [Operating](../operations.md).", metrics_table())


def features() -> str:
    """Every feature of the catalogue, with its hash."""
    rows = ["| feature | over | window | delay | hop | hash |", "|---|---|---|---|---|---|"]
    for feature in CATALOGUE:
        spans = " | ".join(map(_span, (feature.window_s, feature.delay_s, feature.hop_s)))
        note = " (for the texts of reasons only)" if feature in CONTEXT_FEATURES else ""
        rows.append(f"| `{feature.name}`{note} | {feature.entity or 'the payment'} | {spans} | `{feature.hash}` |")
    about = (
        "The name and the hash derive from the definition. A model names the features that it was trained on, with their hashes; a worker whose "
        "definition is another refuses it. What each says, and how to add one: [Features](../features.md). What a window is: [Tiles](../tiles.md)."
    )
    return _page("Features", about, "\n".join(rows))


def commands() -> str:
    """Every command with its options, as typer knows them."""
    parts: list[str] = []
    group: Any = typer.main.get_command(cli)
    for name in COMMANDS:
        command = group.get_command(None, name)
        parts.append(f"## {name}\n\n{cleandoc(command.help or COMMANDS[name].help)}")
        below = getattr(command, "commands", None)
        parts += [f"### {name} {key}\n\n{cleandoc(one.help or '')}\n\n{_options(one)}" for key, one in (below or {}).items()]
        parts += [] if below else [_options(command)]
    about = "`fraudstream COMMAND`. An error is one line and an exit code: [Reliability](../reliability.md#exit-codes) lists the codes."
    return _page("Commands", about, "\n\n".join(parts))


def messages() -> str:
    """Every message, from its JSON Schema, with its first example."""
    parts = []
    for file in sorted((ROOT / "schemas").glob("*.json")):
        schema = json.loads(file.read_text(encoding="utf-8"))
        example = json.dumps(schema["examples"][0], indent=2, ensure_ascii=False)
        parts.append(f"## {file.stem}\n\n{schema['description']}\n\n{_fields(schema)}\n\n```json\n{example}\n```")
    return _page("Messages", "Made from the JSON Schemas in `schemas/`, which the tests hold to the code.", "\n\n".join(parts))


def openapi() -> dict[str, Any]:
    """The OpenAPI document of the API, as it serves it where keys are asked for; nothing is started."""
    nothing: Any = None
    key = new_key("docs", list(Scope))[1]
    most_rows = Settings.model_fields["api_max_batch"].default
    parts = ApiParts(nothing, nothing, nothing, Keys((key,)), IntakeRules(), nothing, most_rows, Probes(nothing, nothing))
    return create_app(parts).openapi()


def openapi_json() -> str:
    """The same as text, for programs."""
    return json.dumps(openapi(), indent=2)


def http() -> str:
    """Every route, with an example where it takes a body."""
    document, parts = openapi(), []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(f"## {method.upper()} {path}\n\n{operation.get('description') or operation['summary']}\n\n{_answers(operation)}")
            examples = [media["example"] for media in operation.get("requestBody", {}).get("content", {}).values()]
            parts += [f"```json\n{json.dumps(example, indent=2)}\n```" for example in examples]
    about = "Made from the [OpenAPI document](openapi.json), which the API serves at `/openapi.json`. How to start it, and its keys: [Ask over HTTP](../api.md)."
    return _page("HTTP", about, "\n\n".join(parts))


def _answers(operation: dict[str, Any]) -> str:
    rows = [f"| {status} | {_cell(answer['description'])} |" for status, answer in sorted(operation["responses"].items())]
    return "\n".join(["| status | meaning |", "|---|---|", *rows])


def _page(title: str, about: str, body: str) -> str:
    return f"{MADE}\n\n# {title}\n\n{about}\n\n{body}\n"


def _span(seconds: int) -> str:
    if not seconds:
        return "-"
    for length, unit in ((DAY_S, "d"), (HOUR_S, "h"), (60, "min")):
        if seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _options(command: Any) -> str:
    rows = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for option in command.params:
        names = "`, `".join([*option.opts, *option.secondary_opts]) if option.param_type_name == "option" else option.name.upper()
        kind = getattr(option.type_descriptor.annotation, "__name__", str(option.type_descriptor.annotation))
        default = "required" if option.required else "" if option.default in (None, "") else f"`{option.default}`"
        rows.append(f"| `{names}` | {'' if kind == 'bool' else kind} | {default} | {_cell(option.help or '')} |")
    return "\n".join(rows) if len(rows) > 2 else "No options."  # noqa: PLR2004 - the head of the table


def _fields(schema: dict[str, Any]) -> str:
    rows = ["| field | type | | meaning |", "|---|---|---|---|"]
    for name, about in _with_parts(schema, schema.get("$defs", {})):
        needed = "required" if name in schema["required"] else ""
        rows.append(f"| `{name}` | {_cell(_type(about, schema.get('$defs', {})))} | {needed} | {_cell(about.get('description', ''))} |")
    return "\n".join(rows)


def _with_parts(schema: dict[str, Any], named: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each field; below an object of ours, or a list of them, its own fields as `model.name`, `reasons[].code`."""
    for name, about in schema["properties"].items():
        yield name, about
        inner, mark = (about["items"], "[]") if "items" in about else (about, "")
        found = _resolved(inner, named)
        if "properties" in found:
            yield from ((f"{name}{mark}.{part}", below) for part, below in found["properties"].items())


def _resolved(about: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = named[about["$ref"].rpartition("/")[2]] if "$ref" in about else about
    return found


def _type(about: dict[str, Any], named: dict[str, Any]) -> str:
    """In words: `text, 1 to 64`, `number, 0 to 1, or null`, `one of …`."""
    if "anyOf" in about:
        return ", or ".join(_type(one, named) for one in about["anyOf"])
    about = _resolved(about, named)
    if "enum" in about:
        values = about["enum"]
        return "one of " + ", ".join(map(str, values)) if len(values) <= LONG_LIST else f"one of {len(values)} codes"
    kinds = about.get("type", "")
    words = {"string": "text", "array": "list", "null": "null"}
    text = " or ".join(words.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    low, high = about.get("minimum", about.get("minLength")), about.get("maximum", about.get("maxLength"))
    if low is not None and high is not None:
        return f"{text}, {low:,} to {high:,}"
    return f"{text}, up to {high:,}" if high is not None else text


PAGES: dict[str, Callable[[], str]] = {
    "settings": settings,
    "commands": commands,
    "messages": messages,
    "http": http,
    "metrics": metrics,
    "features": features,
}
"""Name of the page below `reference/`, and what makes it."""
