"""`fraudstream verify`: what a running system decided, computed again from its topics."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer
from rich.console import Console

from stream_app.adapters.models.onnx_model import OnnxModel
from stream_app.adapters.models.registry import ModelRegistry
from stream_app.audit.rulings import beside_models
from stream_app.audit.story import story
from stream_app.audit.verification import ModelName, Verification, VerificationReport
from stream_app.commands.coroutines import result_of
from stream_app.commands.evidence import Evidence, gathered
from stream_app.commands.rule_evidence import Reach, decided_again
from stream_app.commands.times import moment_ms
from stream_app.errors import ModelError
from stream_app.messages.money import Money, read_rates
from stream_app.settings import Settings, load_settings


def verify_command(
    since: Annotated[
        str | None, typer.Option(help="Decisions made from this time on: 2026-11-20T12:00:00 (UTC), or ms. Default: all.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Up to, not including, this time.")] = None,
) -> None:
    """Compute features and scores of served decisions again, offline, and compare them to the bit; the last line is JSON."""
    settings = load_settings()
    money = Money(settings.base_currency, read_rates(settings.rates_file))
    evidence = result_of(gathered(settings, money, (moment_ms(since, "--since"), moment_ms(until, "--until"))))
    models = _models(settings, {(d.model.name, d.model.version) for d in evidence.decisions})
    features = {name: model.metadata.resolved() for name, model in models.items()}
    beside = beside_models(evidence.decisions)
    report = Verification(evidence.histories, models, features, money.unit, beside).run(evidence.decisions, evidence.full_from_ms)
    metadata = {name: model.metadata for name, model in models.items()}
    rulings = result_of(decided_again(settings, evidence, metadata, money.unit))
    report.count(rulings.report)
    _tell(report, evidence, rulings.reach, Console(stderr=True, highlight=False, soft_wrap=True))
    print(json.dumps(summary(report, evidence) | {"rules_reach": rulings.reach}))
    sys.exit(0 if report.equal else 1)


def _models(settings: Settings, names: Iterable[ModelName]) -> dict[ModelName, OnnxModel]:
    """The models that decided."""
    registry = ModelRegistry(settings.mlflow_tracking_uri, settings.model_cache)
    models = {}
    for name, version in sorted(names):
        fetched = registry.download(registry.numbered(name, version))
        model = OnnxModel(fetched.content, fetched.reference)
        if model.metadata.base_currency != settings.base_currency:
            raise ModelError(
                f"Model {name} version {version} was trained on amounts in {model.metadata.base_currency}; FRAUDSTREAM_BASE_CURRENCY is "
                f"{settings.base_currency}. Give the settings of the worker that decided."
            )
        models[name, version] = model
    return models


def summary(report: VerificationReport, evidence: Evidence) -> dict[str, Any]:
    """The last line: what was compared, what differed, what could not be compared."""
    compared = report.event_order
    return {
        "vectors": report.vectors,
        "differences": report.differences,
        "scores": report.scores,
        "score_differences": report.score_differences,
        "decisions": report.rulings,
        "decision_differences": report.ruling_differences,
        "apart": dict(report.apart) | ({"no score of these topics": evidence.foreign} if evidence.foreign else {}),
        "labels": report.labels,
        "unserved": report.unserved,
        "partitions": len(evidence.histories),
        "event_order": {
            "vectors": compared.vectors,
            "differing": compared.differing,
            "features": {name: {"vectors": count, "largest": largest} for name, (count, largest) in sorted(compared.largest.items())},
            "unexplained": compared.unexplained,
            "displaced_s": compared.displaced_ms / 1000,
        },
    }


def _tell(report: VerificationReport, evidence: Evidence, reach: Reach, console: Console) -> None:
    compared = report.event_order
    console.print(f"{report.vectors:,} vectors over the recorded order, {report.labels:,} labels among it: {report.differences:,} differ.")
    console.print(f"{report.scores:,} scores, one by one and in batches: {report.score_differences:,} differ.")
    console.print(
        f"{report.rulings:,} decisions taken again by the rules and lists of their moment: {report.ruling_differences:,} differ. "
        f"What was in force is known {_reach('rules', reach)}, {_reach('lists', reach)}."
    )
    for why, count in sorted(report.apart.items()):
        console.print(f"Apart: {count:,} {why}.")
    if report.unserved:
        console.print(f"{report.unserved:,} payments between them have no score in the topic.")
    differing = ", ".join(f"{kind} {count:,}" for kind, count in compared.differing.items())
    console.print(f"In pure order of event time, vectors that differ in features of kind: {differing}.")
    for name, (count, largest) in sorted(compared.largest.items()):
        console.print(f"  {name}: {count:,} vectors, by {largest:g} at most")
    if any(compared.differing.values()):
        console.print(
            f"  Events arrived up to {compared.displaced_ms / 1000:,.1f} s out of order; differences without such an event: {compared.unexplained:,}."
        )
    if report.first_ruling:
        console.print(report.first_ruling, markup=False)
    if report.first is not None:
        for line in story(report.first, evidence.histories):
            console.print(line, markup=False)


def _reach(kind: str, reach: Reach) -> str:
    """From where on rules, or lists, are known."""
    since = reach[kind]
    return (
        f"of {kind} from offset {since} on"
        if since is not None
        else f"of {kind} not at all: the beginning of their topic is gone, and it holds no whole checkpoint"
    )
